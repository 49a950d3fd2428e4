package gate

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// answerTime is what is left for writing the answer. It is nobody's business to
// configure.
const answerTime = 10 * time.Second

// NewHTTPServer makes a server that bounds the size of a header and the time of
// every phase of a request: body is how long the body may take, 0 where nobody
// reads one, and work how long the answer may. The caller listens, by
// [Guard.Limit], sets TLS and shuts it down.
//
// The server's own complaints are logged at debug and cut before the client's
// address, which they all contain.
func NewHTTPServer(handler http.Handler, exposure *Exposure, body, work time.Duration, log *slog.Logger) *http.Server {
	// Not HTTP/2: one connection would be many requests, and closing it after a
	// refusal would end all of them. Clients are headsets and proxies.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ConnContext:       markOver,
		ReadHeaderTimeout: exposure.HeaderTimeout,
		// The body's own deadline is set when it is read; this one is for what
		// nobody reads.
		ReadTimeout:  exposure.HeaderTimeout + body,
		WriteTimeout: exposure.HeaderTimeout + body + work + answerTime,
		IdleTimeout:  exposure.IdleTimeout,
		// At least 1: to net/http 0 is a limit of its own, a megabyte.
		MaxHeaderBytes: max(exposure.MaxHeaderBytes-headerSlack, 1),
		ErrorLog:       slog.NewLogLogger(addressless{log.Handler()}, slog.LevelDebug),
	}
}

// headerSlack is how many bytes of a header net/http takes beyond its limit.
const headerSlack = 4 << 10

// addressless passes net/http's complaints on without what follows "from" or
// "serving", which is where they name the client.
type addressless struct{ slog.Handler }

// Handle implements slog.Handler.
func (a addressless) Handle(ctx context.Context, complaint slog.Record) error {
	text, _, _ := strings.Cut(strings.TrimSpace(complaint.Message), " from ")
	text, _, _ = strings.Cut(text, " serving ")
	record := slog.NewRecord(complaint.Time, complaint.Level, "http server complained", 0)
	record.AddAttrs(slog.String("complaint", text))
	return a.Handler.Handle(ctx, record)
}
