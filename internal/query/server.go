package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// Deps are what the read API needs from others. All but Ready are required.
type Deps struct {
	// Reads is the database.
	Reads *postgres.Reader
	// Authenticate returns the record of a key that may read. It answers from
	// memory; its errors are those of internal/apikey.
	Authenticate func(key string) (apikey.Record, error)
	// Log gets one line per request at debug, and every 5xx at warn.
	Log *slog.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Ready are the named conditions under which reads can be served.
	Ready map[string]func() error
	// Version is shown at /.
	Version string
}

// Options bound what the read API does. The zero value is refused.
type Options struct {
	// AnonymousTenant is whose data a request without a key reads; empty refuses it.
	AnonymousTenant string
	// CORSOrigins are the web origins whose pages may read, "*" for any.
	CORSOrigins []string
	// MaxInFlight is how many requests are served at once.
	MaxInFlight int
	// RequestTimeout bounds all that a request asks of the database together.
	RequestTimeout time.Duration
}

// Server is the read API. It is safe for concurrent use.
type Server struct {
	deps     Deps
	options  Options
	log      *slog.Logger
	metrics  *metrics
	echo     *echo.Echo
	slots    chan struct{} // one token for each request at work
	draining atomic.Bool
}

// New makes a server that listens nowhere yet; see [Server.Handler].
func New(deps Deps, options Options) (*Server, error) {
	switch {
	case deps.Reads == nil || deps.Authenticate == nil || deps.Log == nil || deps.Registerer == nil:
		return nil, errors.New("query: a dependency is missing")
	case options.MaxInFlight < 1 || options.RequestTimeout < time.Millisecond:
		return nil, errors.New("query: requests need a slot and time")
	}
	m, err := newMetrics(deps.Registerer)
	if err != nil {
		return nil, fmt.Errorf("query: register metrics: %w", err)
	}
	s := &Server{deps: deps, options: options, log: deps.Log, metrics: m, slots: make(chan struct{}, options.MaxInFlight)}
	s.echo = s.router()
	return s, nil
}

// Handler serves the routes. Use it with [NewHTTPServer], or behind any server
// that bounds headers and time.
func (s *Server) Handler() http.Handler { return s.echo }

// StopAccepting makes readiness fail, so that a load balancer sends requests
// elsewhere, while those that still come are served. It comes before the HTTP
// server is shut down.
func (s *Server) StopAccepting() { s.draining.Store(true) }

// errStopping is why a stopping server is not ready.
var errStopping = errors.New("query: the server is stopping")

// Accepting returns an error once the server is stopping.
func (s *Server) Accepting() error {
	if s.draining.Load() {
		return errStopping
	}
	return nil
}

// Bounds of a connection that are nobody's business to configure.
const (
	readTimeout    = 10 * time.Second // a request is a few headers
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	// answerTime is what is left for writing the answer.
	answerTime = 20 * time.Second
)

// NewHTTPServer makes a server that bounds the size of a header and the time of
// every phase of a request. Its own complaints are logged at debug and cut
// before the client's address, which they all contain.
func NewHTTPServer(handler http.Handler, options Options, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + options.RequestTimeout + answerTime,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(addressless{log.Handler()}, slog.LevelDebug),
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
