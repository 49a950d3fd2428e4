package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// Deps are what the edge needs from others. All but Ready and Tracer are required.
type Deps struct {
	// Decoder judges bodies. Its limits must be Options.Limits.
	Decoder *unreal.Decoder
	// Publisher is the durable queue.
	Publisher Publisher
	// Sessions is what replicas know together of sessions under way.
	Sessions SessionStates
	// Authenticate names the tenant and the id of a key that may send events.
	// It is called for every request and answers from memory. Its errors are
	// those of internal/apikey.
	Authenticate func(key string) (tenant, keyID string, err error)
	// Tracer makes the spans of requests and envelopes; nil for none.
	Tracer trace.Tracer
	// Log gets one line per request at debug, and every 5xx at warn.
	Log *slog.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Ready are the named conditions under which posts can be accepted. The one
	// named ReadyQueue is what /health reports as database.
	Ready map[string]func() error
	// Now stamps receipts and answers.
	Now func() time.Time
	// Version is shown by /health.
	Version string
	// Document and Page are the API document, as JSON and as HTML. Without them
	// their paths are 404.
	Document, Page []byte
}

// ReadyQueue is the name of the condition that the queue can be reached.
const ReadyQueue = "queue"

// Server is the edge. It is safe for concurrent use.
type Server struct {
	deps      Deps
	options   Options
	log       *slog.Logger
	metrics   *metrics
	guard     *gate.Guard
	echo      *echo.Echo
	committer *committer
	budget    budget
	inflater  *inflater
	// exchanges and buffers recycle the memory of requests.
	exchanges, buffers sync.Pool
	// recent remembers the digests of acknowledged batches by id.
	recent     *lru.Cache[event.UUID, [16]byte]
	sightings  *sightings
	unreadable *hourlyLimit
	arrivals   arrivals
	draining   atomic.Bool
	checks     transitions
}

// New makes a server that listens nowhere yet; see [Server.Handler].
func New(deps Deps, options Options) (*Server, error) {
	if deps.Decoder == nil || deps.Publisher == nil || deps.Sessions == nil || deps.Authenticate == nil ||
		deps.Log == nil || deps.Registerer == nil || deps.Now == nil {
		return nil, errors.New("ingest: a dependency is missing")
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Registerer)
	if err != nil {
		return nil, fmt.Errorf("ingest: register metrics: %w", err)
	}
	s := &Server{deps: deps, options: options, log: deps.Log, metrics: m}
	s.guard, err = gate.New(gate.Deps{
		Authenticate: deps.Authenticate, Log: deps.Log, Registerer: deps.Registerer, Panics: m.panics, Now: deps.Now,
	}, *options.guard())
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	s.budget = budget{most: options.MaxInFlightBytes, gauge: m.bodyBytes}
	s.exchanges.New = func() any { return new(exchange) }
	s.buffers.New = func() any { return new(make([]byte, readBufferSize)) }
	if s.inflater, err = newInflater(options.Limits.InflatedBytes, &s.buffers); err != nil {
		return nil, err
	}
	if s.recent, err = lru.New[event.UUID, [16]byte](options.RememberedBatches); err != nil {
		return nil, fmt.Errorf("ingest: remember batches: %w", err)
	}
	if s.sightings, err = newSightings(options.RememberedSessions); err != nil {
		return nil, fmt.Errorf("ingest: remember sessions: %w", err)
	}
	if s.unreadable, err = newHourlyLimit(options.UnreadablePerHour); err != nil {
		return nil, fmt.Errorf("ingest: count unreadable bodies: %w", err)
	}
	s.committer = newCommitter(deps.Publisher, options, m, deps.Log)
	s.committer.tracer = deps.Tracer
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
func NewHTTPServer(handler http.Handler, options Options, log *slog.Logger) *http.Server {
	return gate.NewHTTPServer(handler, &options.Exposure, options.BodyTimeout, options.RequestTimeout, log)
}

// Drain takes no more posts, and waits until every batch that was taken is
// acknowledged or refused. Readiness fails from its first call on. The root
// first lets its HTTP server finish the requests under way, then drains: in
// this order nobody is refused who had been let in. The error says what was
// unconfirmed when ctx ended; those clients were answered 503.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	return s.committer.Drain(ctx)
}

// StopAccepting makes readiness fail, so that a load balancer sends new posts
// elsewhere, while posts that still come are served. It comes before the HTTP
// server is shut down, which has budget to do so: bodies must have arrived in
// the first half of it, so that the second is for the queue and the answers.
func (s *Server) StopAccepting(budget time.Duration) {
	s.draining.Store(true)
	s.arrivals.hurry(time.Now().Add(budget / 2))
}

// Accepting returns an error once the server is stopping.
func (s *Server) Accepting() error {
	if s.draining.Load() {
		return ErrDraining
	}
	return nil
}
