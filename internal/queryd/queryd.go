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
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
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
	// http and listener are nil where another server has the address.
	http     *http.Server
	requests daemon.Requests
	listener net.Listener
}

// New connects to the queue, makes sure that there is a bucket of keys, and
// listens. It waits for a queue that does not answer yet, until ctx ends.
func New(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer) (_ *Query, err error) {
	q, err := NewGuest(ctx, cfg, log, reg)
	if err != nil {
		return nil, err
	}
	q.http = query.NewHTTPServer(q.requests.Count(q.server.Handler()), optionsOf(cfg), log)
	q.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Front.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for clients: %w", err), q.abandon(ctx))
	}
	return q, nil
}

// NewGuest is New without a listener: [Query.Handler] is served on the address
// of another server, which is stopped before.
func NewGuest(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer) (_ *Query, err error) {
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
		Authenticate: func(key string) (apikey.Record, error) {
			return q.keys.Authenticate(key, apikey.ScopeRead)
		},
		Log: log, Registerer: reg,
		Ready:   map[string]func() error{"database": q.reader.Ready, "keys": q.keys.Ready},
		Version: version.Get().Version,
	}, optionsOf(cfg))
	return q, err
}

// Service builds the read API as a service of its own.
func Service(ctx context.Context, cfg *config.Query, log *slog.Logger, reg prometheus.Registerer) (daemon.Service[config.Query], error) {
	q, err := New(ctx, cfg, log, reg)
	if err != nil {
		return daemon.Service[config.Query]{}, err
	}
	return daemon.Service[config.Query]{Run: q.Run, Checks: q.Checks(), StopDeadline: q.StopDeadline()}, nil
}

func optionsOf(cfg *config.Query) query.Options {
	options := query.Options{
		MaxInFlight: cfg.Reading.MaxInFlight, RequestTimeout: cfg.Reading.RequestTimeout, CORSOrigins: cfg.Front.CORSOrigins,
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
	if q.listener == nil {
		return ""
	}
	return q.listener.Addr().String()
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
	if q.http != nil {
		group.Add(lifecycle.Service{Name: "http server", Run: q.serve, Stop: q.stopServing, Deadline: q.drain})
	}
	return group.Run(ctx)
}

func (q *Query) serve(context.Context) error {
	err := q.http.Serve(q.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stopServing lets the server finish its requests until ctx ends, and cuts off
// those that are left, so that the pool does not wait for them.
func (q *Query) stopServing(ctx context.Context) error {
	q.server.StopAccepting()
	return q.requests.Stop(ctx, q.http)
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
