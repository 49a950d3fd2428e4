package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Bounds of a connection that are nobody's business to configure.
const (
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is longer than the pauses between the posts of a headset.
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	// answerTime is what is left for writing the answer.
	answerTime = 10 * time.Second
)

// NewHTTPServer makes a server that bounds the size of a header and the time of
// every phase of a request. The root listens, sets TLS and shuts it down.
//
// The server's own complaints are logged at debug and cut before the client's
// address, which they all contain.
func NewHTTPServer(handler http.Handler, options Options, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		// The body's own deadline is set when it is read; this one is for what
		// nobody reads.
		ReadTimeout:    readHeaderTimeout + options.BodyTimeout,
		WriteTimeout:   readHeaderTimeout + options.BodyTimeout + options.RequestTimeout + answerTime,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(addressless{log.Handler()}, slog.LevelDebug),
	}
}

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
