// Package ingestd puts the HTTP edge together: queue, keys, decoder and server.
//
// It owns the queue connection, the key watcher and the listener, and stops
// them in the order in which nothing that was let in is refused: readiness
// fails first, then the HTTP server finishes its requests, then the group
// commit drains, then keys and queue are let go.
package ingestd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/front"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/ingest"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/unreal"
	"github.com/nexero-vr/nexero/internal/version"
	"github.com/nexero-vr/nexero/internal/wrongclock"
)

const (
	// closeTimeout bounds letting go of a connection or of the keys.
	closeTimeout = 5 * time.Second
	// stopGrace is more than a service can take beyond its deadline until the
	// group leaves it behind.
	stopGrace = 2 * time.Second
)

// budget divides the time for draining: the HTTP server may finish its requests
// in the first part, the group commit its envelopes in the second, which is a
// quarter, but a second at least where that leaves HTTP half.
func budget(drain time.Duration) (serving, commit time.Duration) {
	commit = min(max(drain/4, time.Second), drain/2)
	return drain - commit, commit
}

// Ingest is the edge, built and listening but not serving yet.
type Ingest struct {
	log    *slog.Logger
	drain  time.Duration
	conn   *queue.Conn
	keys   *apikey.Watcher
	server *ingest.Server
	front  *front.Front
	pace   *front.Pace
}

// New connects to the queue, makes sure that its stream exists, and listens.
// It waits for a queue that does not answer yet, until ctx ends. tracer may be nil.
func New(ctx context.Context, cfg *config.Ingest, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (_ *Ingest, err error) {
	options := optionsOf(cfg)
	i := &Ingest{log: log, drain: cfg.Process.DrainTimeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.abandon(ctx))
		}
	}()
	i.conn, err = queue.Connect(ctx, queue.Config{
		URL: cfg.Queue.URL.Reveal(), CredsFile: cfg.Queue.CredsFile,
		Replicas: cfg.Queue.Replicas, MaxBytes: int64(cfg.Queue.MaxBytes),
		AckWait: cfg.Queue.AckWait, RequestTimeout: cfg.Queue.RequestTimeout,
		LargestMessage: int64(options.LargestEnvelope()),
	}, log, reg, queue.Publisher)
	if err != nil {
		return nil, err
	}
	if err := i.conn.Provision(ctx); err != nil {
		return nil, err
	}
	sessions := i.conn.SessionStates(int64(cfg.Intake.SessionStateBytes))
	if err := sessions.Provision(ctx); err != nil {
		// Posts do not need it, and the first that would use it tries again.
		log.WarnContext(ctx, "session states are not available", "error", err)
	}
	if err := i.watchKeys(ctx, reg); err != nil {
		return nil, err
	}
	document, page, err := documents()
	if err != nil {
		return nil, err
	}
	//nolint:contextcheck // a request brings its own context
	i.server, err = ingest.New(ingest.Deps{
		Decoder: unreal.NewDecoder(options.Limits, func(tenant string) bool {
			return slices.Contains(cfg.Intake.StrictTenants, tenant)
		}),
		Publisher:    publisher{i.conn},
		Sessions:     sessions,
		Authenticate: i.authenticate,
		Log:          log, Registerer: reg, Tracer: tracer,
		Ready: map[string]func() error{ingest.ReadyQueue: i.conn.Ready, "keys": i.keys.Ready},
		Now:   wrongclock.Now, Version: version.Get().Version,
		Document: document, Page: page,
	}, options)
	if err != nil {
		return nil, err
	}
	i.pace = front.NewPace(options.Rates, i.server.SetRates)
	server := ingest.NewHTTPServer(i.server.Handler(), options, log)
	if i.front, err = front.Open(ctx, cfg.HTTP.Listen, &cfg.Exposure, server, i.server.Limit, log); err != nil {
		return nil, err
	}
	return i, nil
}

// Service builds the edge as a service of its own.
func Service(ctx context.Context, cfg *config.Ingest, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (daemon.Service[config.Ingest], error) {
	i, err := New(ctx, cfg, log, reg, tracer)
	if err != nil {
		return daemon.Service[config.Ingest]{}, err
	}
	return daemon.Service[config.Ingest]{Run: i.Run, Checks: i.Checks(), StopDeadline: i.StopDeadline(), Reload: i.Reload}, nil
}

func optionsOf(cfg *config.Ingest) ingest.Options {
	options := ingest.DefaultOptions()
	options.Limits = event.Limits{
		Events:        cfg.Intake.EventsPerRequest,
		BodyBytes:     int64(cfg.Intake.BodyBytes),
		InflatedBytes: int64(cfg.Intake.InflatedBytes),
		EventBytes:    int(cfg.Intake.EventBytes),
		StringBytes:   int(cfg.Intake.StringBytes),
		Depth:         cfg.Intake.Depth,
	}
	options.Exposure = front.Exposure(&cfg.Exposure)
	options.CORSCredentials = cfg.HTTP.CORSCredentials
	options.Rates = ratesOf(cfg)
	options.AnonymousTenant = cfg.HTTP.AnonymousTenant
	options.Environment = cfg.Process.Environment
	options.TraceFollowClients = cfg.Process.Telemetry.TraceFollowClients
	options.BodyTimeout = cfg.HTTP.BodyTimeout
	options.RequestTimeout = cfg.HTTP.RequestTimeout
	options.MaxInFlightBytes = int64(cfg.Intake.MaxInFlightBytes)
	options.EnvelopeBytes = int(cfg.Intake.EnvelopeBytes)
	options.MaxEnvelopesInFlight = cfg.Intake.MaxEnvelopesInFlight
	return options
}

func (i *Ingest) watchKeys(ctx context.Context, reg prometheus.Registerer) error {
	bucket, stream, err := i.conn.Keys(ctx)
	if err != nil {
		return err
	}
	i.keys = apikey.NewWatcher(apikey.NewBucket(bucket, stream), i.log)
	if err := reg.Register(i.keys); err != nil {
		return fmt.Errorf("register metrics of api keys: %w", err)
	}
	return nil
}

// authenticate is what the edge asks of keys: whose it is, if it may post.
func (i *Ingest) authenticate(key string) (tenant, keyID string, err error) {
	record, err := i.keys.Authenticate(key, apikey.ScopePost)
	if err != nil {
		return "", "", err
	}
	return record.Tenant, record.ID, nil
}

func ratesOf(cfg *config.Ingest) gate.Rates {
	rates := front.Rates(&cfg.Rates)
	rates.KeyBytes, rates.AddressBytes = int64(cfg.ByteRates.Key), int64(cfg.ByteRates.Address)
	return rates
}

// Favour lets one more key send at the higher rates, whatever is reloaded. It is for a pipeline that
// makes its own key, and comes before Run.
func (i *Ingest) Favour(keyID string) error {
	return i.pace.Favour(keyID)
}

// Reload takes over the rates of cfg and nothing else: what bounds memory goes
// with the memory that the process was given, and the rest is part of a listener
// or of a connection. It is called by one goroutine at a time, during Run.
func (i *Ingest) Reload(_ context.Context, cfg *config.Ingest) error { return i.pace.Set(ratesOf(cfg)) }

// Addr is the address that is listened on.
func (i *Ingest) Addr() string { return i.front.Addr() }

// URL is where clients on this machine reach the edge.
func (i *Ingest) URL() string { return i.front.URL() }

// Host lets guest answer the paths that it owns on the edge's address; see
// [front.Front.Host].
func (i *Ingest) Host(owns func(path string) bool, guest http.Handler) { i.front.Host(owns, guest) }

// Checks are what must hold for the edge to be ready.
func (i *Ingest) Checks() []obs.Check {
	return []obs.Check{{Name: ingest.ReadyQueue, Ready: i.conn.Ready}, {Name: "keys", Ready: i.keys.Ready}, {Name: "accepting", Ready: i.server.Accepting}}
}

// Run serves until ctx ends, then drains.
func (i *Ingest) Run(ctx context.Context) error {
	serving, commit := budget(i.drain)
	group := lifecycle.NewGroup(i.log)
	// Last of all handlers, so that a guest's requests count too.
	group.Add(lifecycle.Service{Name: "queue connection", Stop: i.conn.Close, Deadline: closeTimeout})
	group.Add(lifecycle.Service{Name: "key watcher", Run: i.keys.Run, Deadline: closeTimeout})
	group.Add(lifecycle.Service{Name: "group commit", Stop: i.server.Drain, Deadline: commit})
	group.Add(lifecycle.Service{
		Name: "http server", Deadline: serving,
		Run: func(context.Context) error { return i.front.Serve() },
		Stop: func(ctx context.Context) error {
			i.server.StopAccepting(serving)
			return i.front.Stop(ctx)
		},
	})
	return group.Run(ctx)
}

// StopDeadline is the longest time that Run takes after its context has ended.
func (i *Ingest) StopDeadline() time.Duration { return i.drain + 2*closeTimeout + 4*stopGrace }

// abandon lets go of what New had when it failed.
func (i *Ingest) abandon(ctx context.Context) error {
	if i.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return i.conn.Close(ctx)
}

// publisher is the queue in the edge's words.
type publisher struct{ conn *queue.Conn }

// Publish implements [ingest.Publisher].
func (p publisher) Publish(ctx context.Context, id string, message []byte) error {
	err := p.conn.Publish(ctx, id, message)
	switch {
	case errors.Is(err, queue.ErrFull):
		return fmt.Errorf("%w: %w", ingest.ErrFull, err)
	case errors.Is(err, queue.ErrTooLarge):
		return fmt.Errorf("%w: %w", ingest.ErrTooLarge, err)
	default:
		// The edge treats anything else as unknown and tries again, which is
		// right for a queue that is away for a moment too.
		return err
	}
}
