package query

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// Deps are what the read API needs from others. All but Ready and Tracer are required.
type Deps struct {
	// Reads is the database.
	Reads *postgres.Reader
	// Authenticate names the tenant and the id of a key that may read. It answers
	// from memory; its errors are those of internal/apikey.
	Authenticate func(key string) (tenant, keyID string, err error)
	// Tracer makes the spans of requests; nil for none.
	Tracer trace.Tracer
	// Log gets one line per request at debug, and every 5xx at warn.
	Log *slog.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Ready are the named conditions under which reads can be served.
	Ready map[string]func() error
	// Now is the clock of rates.
	Now func() time.Time
	// Version is shown at /.
	Version string
}

// Options bound what the read API does. The zero value is refused; start from
// [DefaultOptions].
type Options struct {
	gate.Exposure

	// Rates bound how often clients may ask, in requests: bytes are 0.
	Rates gate.Rates
	// AnonymousTenant is whose data a request without a key reads; empty refuses it.
	AnonymousTenant string
	// TraceFollowClients lets a request's traceparent decide whether it is
	// traced, and in which trace.
	TraceFollowClients bool
	// MaxInFlight is how many requests are served at once.
	MaxInFlight int
	// RequestTimeout bounds all that a request asks of the database together.
	RequestTimeout time.Duration
}

// DefaultOptions are those of one replica beside a database of its own size.
func DefaultOptions() Options {
	rates := gate.DefaultRates()
	rates.KeyBytes, rates.AddressBytes = 0, 0
	return Options{Exposure: gate.DefaultExposure(), Rates: rates, MaxInFlight: 64, RequestTimeout: 10 * time.Second}
}

// guard is what the guard is told.
func (o *Options) guard() gate.Options {
	exposure := o.Exposure
	// Pages read with a key and without cookies.
	exposure.CORSCredentials = false
	return gate.Options{
		Exposure: exposure, Rates: o.Rates, AnonymousTenant: o.AnonymousTenant,
		Service: "query", Routes: routes, Kinds: problemKinds,
		Methods: []string{http.MethodGet, http.MethodHead},
		Headers: []string{"Authorization", "X-API-Key", "X-Correlation-ID"},
		Wording: gate.Wording{Action: "read", Again: "the same request"},
	}
}

// Server is the read API. It is safe for concurrent use.
type Server struct {
	deps     Deps
	options  Options
	log      *slog.Logger
	metrics  *metrics
	guard    *gate.Guard
	echo     *echo.Echo
	slots    chan struct{} // one token for each request at work
	draining atomic.Bool
}

// New makes a server that listens nowhere yet; see [Server.Handler].
func New(deps Deps, options Options) (*Server, error) {
	switch {
	case deps.Reads == nil || deps.Authenticate == nil || deps.Log == nil || deps.Registerer == nil || deps.Now == nil:
		return nil, errors.New("query: a dependency is missing")
	case options.MaxInFlight < 1 || options.RequestTimeout < time.Millisecond:
		return nil, errors.New("query: requests need a slot and time")
	}
	m, err := newMetrics(deps.Registerer)
	if err != nil {
		return nil, fmt.Errorf("query: register metrics: %w", err)
	}
	s := &Server{deps: deps, options: options, log: deps.Log, metrics: m, slots: make(chan struct{}, options.MaxInFlight)}
	s.guard, err = gate.New(gate.Deps{
		Authenticate: deps.Authenticate, Log: deps.Log, Registerer: deps.Registerer, Panics: m.panics, Now: deps.Now,
	}, options.guard())
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	s.echo = s.router()
	return s, nil
}

// Handler serves the routes. Use it with [NewHTTPServer], or behind any server
// that bounds headers and time.
func (s *Server) Handler() http.Handler { return s.echo }

// Limit bounds the connections that are accepted from inner, as the options say.
func (s *Server) Limit(inner net.Listener) net.Listener { return s.guard.Limit(inner) }

// SetRates replaces the rates while the server runs. What clients had used up
// is forgotten. The error is that of [New] for such rates; nothing changes then.
func (s *Server) SetRates(r gate.Rates) error { return s.guard.SetRates(r) }

// NewHTTPServer makes a server with the time that the options give each phase
// of a request. The root listens, sets TLS and shuts it down.
func NewHTTPServer(handler http.Handler, options *Options, log *slog.Logger) *http.Server {
	return gate.NewHTTPServer(handler, &options.Exposure, 0, options.RequestTimeout, log)
}

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
