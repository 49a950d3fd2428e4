// Package queryd puts the read API together: database, keys and server.
//
// It owns the reader's pool, the queue connection for the keys, the key watcher
// and the listener, and stops them in the order in which nobody who was let in
// is refused: readiness fails first, then the HTTP server finishes its
// requests, then keys, queue and pool are let go.
//
// The read API needs the queue for its keys alone. A database that is away
// keeps it from being ready and does not keep it from starting: whoever asks is
// told 503 and when to come again.
package queryd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/front"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/query"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/version"
)

const (
	// closeTimeout bounds letting go of a connection, of the keys or of the pool.
	closeTimeout = 5 * time.Second
	// stopGrace is more than a service can take beyond its deadline until the
	// group leaves it behind.
	stopGrace = 2 * time.Second
)

// Query is the read API, built but not serving yet.
type Query struct {
	log    *slog.Logger
	drain  time.Duration
	reader *postgres.Reader
	conn   *queue.Conn
	keys   *apikey.Watcher
	server *query.Server
	pace   *front.Pace
	// front is nil where another server has the address.
	front *front.Front
}

// New connects to the queue, makes sure that there is a bucket of keys, and
// listens. It waits for a queue that does not answer yet, until ctx ends. tracer
// may be nil.
func New(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (_ *Query, err error) {
	q, err := NewGuest(ctx, cfg, log, reg, tracer)
	if err != nil {
		return nil, err
	}
	server := query.NewHTTPServer(q.server.Handler(), optionsOf(cfg), log)
	if q.front, err = front.Open(ctx, cfg.Front.Listen, &cfg.Exposure, server, q.server.Limit, log); err != nil {
		return nil, errors.Join(err, q.abandon(ctx))
	}
	return q, nil
}

// NewGuest is New without a listener: [Query.Handler] is served on the address
// of another server, which is stopped before. That server bounds connections,
// headers and time, for all of the address; rates and failed keys count here,
// apart from those of the other server.
func NewGuest(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (_ *Query, err error) {
	options := optionsOf(cfg)
	q := &Query{log: log, drain: cfg.Process.DrainTimeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.abandon(ctx))
		}
	}()
	q.reader, err = postgres.OpenReader(ctx, postgres.ReaderConfig{
		URL: cfg.Database.URL.Reveal(), MaxConns: cfg.Reading.MaxConns, StatementTimeout: cfg.Reading.StatementTimeout,
	}, log)
	if err != nil {
		return nil, err
	}
	if err := q.watchKeys(ctx, cfg, reg); err != nil {
		return nil, err
	}
	q.server, err = query.New(query.Deps{
		Reads: q.reader,
		Authenticate: func(key string) (tenant, keyID string, err error) {
			record, err := q.keys.Authenticate(key, apikey.ScopeRead)
			return record.Tenant, record.ID, err
		},
		Log: log, Registerer: reg,
		Ready: map[string]func() error{"database": q.reader.Ready, "keys": q.keys.Ready},
		Now:   time.Now, Version: version.Get().Version, Tracer: tracer,
	}, *options)
	if err != nil {
		return nil, err
	}
	q.pace = front.NewPace(options.Rates, q.server.SetRates)
	return q, nil
}

// Service builds the read API as a service of its own.
func Service(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (daemon.Service[config.Query], error) {
	q, err := New(ctx, cfg, log, reg, tracer)
	if err != nil {
		return daemon.Service[config.Query]{}, err
	}
	return daemon.Service[config.Query]{Run: q.Run, Checks: q.Checks(), StopDeadline: q.StopDeadline(), Reload: q.Reload}, nil
}

func optionsOf(cfg *config.Query) *query.Options {
	options := &query.Options{
		Exposure: front.Exposure(&cfg.Exposure), Rates: front.Rates(&cfg.Rates),
		MaxInFlight: cfg.Reading.MaxInFlight, RequestTimeout: cfg.Reading.RequestTimeout,
		TraceFollowClients: cfg.Process.Telemetry.TraceFollowClients,
	}
	// Posting without a key is one thing, reading another.
	if cfg.Reading.AnonymousRead {
		options.AnonymousTenant = cfg.Front.AnonymousTenant
	}
	return options
}

func (q *Query) watchKeys(ctx context.Context, cfg *config.Query, reg prometheus.Registerer) (err error) {
	q.conn, err = queue.Connect(ctx, queue.Config{
		URL: cfg.Queue.URL.Reveal(), CredsFile: cfg.Queue.CredsFile,
		Replicas: cfg.Queue.Replicas, RequestTimeout: cfg.Queue.RequestTimeout,
	}, q.log, reg, queue.Operator)
	if err != nil {
		return err
	}
	// It may be the first program that is started.
	if err := q.conn.ProvisionKeys(ctx); err != nil {
		return err
	}
	bucket, stream, err := q.conn.Keys(ctx)
	if err != nil {
		return err
	}
	q.keys = apikey.NewWatcher(apikey.NewBucket(bucket, stream), q.log)
	if err := reg.Register(q.keys); err != nil {
		return fmt.Errorf("register metrics of api keys: %w", err)
	}
	return nil
}

// Addr is the address that is listened on, "" for a guest.
func (q *Query) Addr() string {
	if q.front == nil {
		return ""
	}
	return q.front.Addr()
}

// URL is where clients on this machine reach the read API, "" for a guest.
func (q *Query) URL() string {
	if q.front == nil {
		return ""
	}
	return q.front.URL()
}

// Favour lets one more key ask at the higher rates, whatever is reloaded. It is for a pipeline that
// makes its own key, and comes before Run.
func (q *Query) Favour(keyID string) error {
	return q.pace.Favour(keyID)
}

// Reload takes over the rates of cfg and nothing else. It is called by one
// goroutine at a time, during Run.
func (q *Query) Reload(_ context.Context, cfg *config.Query) error {
	return q.pace.Set(front.Rates(&cfg.Rates))
}

// Handler answers the requests for the paths of [Query.Owns].
func (q *Query) Handler() http.Handler { return q.server.Handler() }

// Owns reports whether a path is the read API's on an address with others.
func (q *Query) Owns(path string) bool { return query.Owns(path) }

// Checks are what must hold for the read API to be ready.
func (q *Query) Checks() []obs.Check {
	return []obs.Check{
		{Name: "database", Ready: q.reader.Ready}, {Name: "read keys", Ready: q.keys.Ready}, {Name: "answering", Ready: q.server.Accepting},
	}
}

// Run serves until ctx ends, then finishes the requests under way.
func (q *Query) Run(ctx context.Context) error {
	group := lifecycle.NewGroup(q.log)
	group.Add(lifecycle.Service{Name: "reader pool", Deadline: closeTimeout, Stop: func(context.Context) error {
		q.reader.Close()
		return nil
	}})
	group.Add(lifecycle.Service{Name: "queue connection", Stop: q.conn.Close, Deadline: closeTimeout})
	group.Add(lifecycle.Service{Name: "key watcher", Run: q.keys.Run, Deadline: closeTimeout})
	group.Add(lifecycle.Service{Name: "database watch", Run: q.reader.Run, Deadline: closeTimeout})
	if q.front != nil {
		group.Add(lifecycle.Service{
			Name: "http server", Deadline: q.drain,
			Run: func(context.Context) error { return q.front.Serve() },
			Stop: func(ctx context.Context) error {
				q.server.StopAccepting()
				return q.front.Stop(ctx)
			},
		})
	}
	return group.Run(ctx)
}

// StopDeadline is the longest time that Run takes after its context has ended.
func (q *Query) StopDeadline() time.Duration { return q.drain + 4*closeTimeout + 5*stopGrace }

// abandon lets go of what New had when it failed.
func (q *Query) abandon(ctx context.Context) error {
	if q.reader != nil {
		q.reader.Close()
	}
	if q.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return q.conn.Close(ctx)
}
