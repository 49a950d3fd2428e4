// Package workerd puts the worker together: queue, store, the loops that load
// from one into the other, and the roll-ups of what was loaded.
//
// It owns the queue connection and the database pool. Its stop ends the
// roll-ups, lets the loops commit and acknowledge what they hold, and then
// closes both.
package workerd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/rollup"
	"github.com/nexero-vr/nexero/internal/worker"
)

const (
	// closeTimeout bounds letting go of a connection or of the pool.
	closeTimeout = 5 * time.Second
	// longestPause lies between two looks for a database that is away.
	longestPause = 3 * time.Second
	// rollupDrain is how long roll-ups in progress may go on in a stop. They are
	// short, and one that is cut off is only done again.
	rollupDrain = 5 * time.Second
)

// Worker is a worker, connected but neither loading nor rolling up yet.
type Worker struct {
	log    *slog.Logger
	drain  time.Duration
	conn   *queue.Conn
	store  *postgres.Store
	worker *worker.Worker
	roller *rollup.Roller
}

// New connects to queue and database and checks that the database keeps what
// it commits. It waits for a queue that does not answer yet, until ctx ends.
// tracer may be nil.
func New(ctx context.Context, cfg *config.Worker, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (_ *Worker, err error) {
	w := &Worker{log: log, drain: cfg.Process.DrainTimeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.abandon(ctx))
		}
	}()
	w.store, err = postgres.Open(ctx, postgres.Config{
		URL: cfg.Database.URL.Reveal(), MaxConns: cfg.Database.MaxConns,
		RequireSyncStandby: cfg.Database.RequireSyncStandby,
		StatementTimeout:   cfg.Database.StatementTimeout,
		LockTimeout:        cfg.Database.LockTimeout,
		IdleTimeout:        cfg.Database.IdleTimeout,
		PoseRetention:      cfg.Database.PoseRetention,
		EventRetention:     cfg.Database.EventRetention,
		SessionRetention:   cfg.Database.SessionRetention,
	}, log, reg)
	if err != nil {
		return nil, err
	}
	if err := w.awaitDurable(ctx); err != nil {
		return nil, err
	}
	w.warnUnseen(ctx)
	w.conn, err = queue.Connect(ctx, queue.Config{
		URL: cfg.Queue.URL.Reveal(), CredsFile: cfg.Queue.CredsFile,
		Replicas: cfg.Queue.Replicas, MaxBytes: int64(cfg.Queue.MaxBytes),
		AckWait: cfg.Queue.AckWait, RequestTimeout: cfg.Queue.RequestTimeout,
	}, log, reg, queue.Consumer)
	if err != nil {
		return nil, err
	}
	if err := w.conn.Provision(ctx); err != nil {
		return nil, err
	}
	w.worker, err = worker.New(worker.Deps{
		Source: source{w.conn}, Store: store{w.store}, Classify: classify,
		OldestMessage: w.conn.OldestMessage, Log: log, Registerer: reg, Tracer: tracer,
	}, worker.Options{
		Loops: cfg.Loading.Loops, MaxMessages: cfg.Loading.GatherMessages,
		MaxBytes: int(cfg.Loading.GatherBytes), MaxEvents: cfg.Loading.GatherEvents,
		Linger: cfg.Loading.GatherAge, AckWait: cfg.Queue.AckWait,
		LoadTimeout: cfg.Loading.LoadTimeout, DrainTimeout: cfg.Process.DrainTimeout,
	})
	if err != nil {
		return nil, err
	}
	return w, w.addRoller(cfg, reg, tracer)
}

// addRoller makes the roll-ups, on the same store as the loads.
func (w *Worker) addRoller(cfg *config.Worker, reg prometheus.Registerer, tracer trace.Tracer) (err error) {
	queued := &backlog{status: w.conn.Status, after: cfg.Rollup.YieldAfter, messages: cfg.Loading.GatherMessages}
	w.roller, err = rollup.New(rollup.Deps{
		Store: w.store, Archive: w.store, Forget: w.forgetBatches, ForgetSessions: w.store.ForgetSessions, Behind: queued.behind, Classify: classifyRollup,
		Log: w.log, Registerer: reg, Tracer: tracer,
	}, rollup.Options{
		Loops: cfg.Rollup.Loops, Interval: cfg.Rollup.Interval, Sessions: cfg.Rollup.Sessions,
		Pause: cfg.Rollup.Pause, DrainTimeout: w.rollupDrain(),
	})
	return err
}

// forgetBatches is [rollup.Deps].Forget. It asks the queue each time: what it
// said before says nothing about a message that was put back since.
func (w *Worker) forgetBatches(ctx context.Context) (int64, error) {
	return w.store.ForgetBatches(ctx, w.conn.OldestMessage)
}

func (w *Worker) rollupDrain() time.Duration { return min(rollupDrain, w.drain) }

// Service builds the worker as a service of its own.
func Service(ctx context.Context, cfg *config.Worker, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (daemon.Service[config.Worker], error) {
	w, err := New(ctx, cfg, log, reg, tracer)
	if err != nil {
		return daemon.Service[config.Worker]{}, err
	}
	return daemon.Service[config.Worker]{Run: w.Run, Checks: w.Checks(), StopDeadline: w.StopDeadline()}, nil
}

// awaitDurable checks the database, and waits for one that is away or starting.
// A database that would lose what it commits, or has another schema, ends the
// wait: only an operator changes that.
func (w *Worker) awaitDurable(ctx context.Context) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = longestPause
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := w.store.CheckDurable(ctx)
		if err != nil && postgres.Classify(err) != postgres.ClassRetry {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		w.log.LogAttrs(ctx, slog.LevelWarn, "database cannot be checked, trying again", slog.Any("error", err))
	}))
	return err
}

// warnUnseen says when frozen workers cannot be seen. That is no reason for not
// working: nothing else is needed from it, until one freezes.
func (w *Worker) warnUnseen(ctx context.Context) {
	reason, err := w.store.StalledUnseen(ctx)
	if err != nil {
		reason = err.Error()
	}
	if reason != "" {
		w.log.LogAttrs(ctx, slog.LevelWarn, "a worker that freezes in the middle of a load may hold up the others", slog.String("reason", reason))
	}
}

// Checks are what must hold for the worker to be ready.
func (w *Worker) Checks() []obs.Check {
	return []obs.Check{
		{Name: "queue", Ready: w.conn.Ready},
		{Name: "loading", Ready: w.worker.Ready},
		{Name: "roll-ups", Ready: w.roller.Ready},
	}
}

// Run loads and rolls up until ctx ends, then drains.
func (w *Worker) Run(ctx context.Context) error {
	group := lifecycle.NewGroup(w.log)
	// A server that fell silent keeps a pool from closing for longer than anybody
	// should wait: it notices by itself that we are gone.
	group.Add(lifecycle.Service{Name: "database pool", Deadline: closeTimeout, Stop: func(context.Context) error {
		w.store.Close()
		return nil
	}})
	group.Add(lifecycle.Service{Name: "queue connection", Stop: w.conn.Close})
	group.Add(lifecycle.Service{Name: "loading", Run: w.worker.Run, Deadline: w.drain + closeTimeout})
	group.Add(lifecycle.Service{Name: "roll-ups", Run: w.roller.Run, Deadline: w.rollupDrain() + closeTimeout})
	return group.Run(ctx)
}

// StopDeadline is the longest time that Run takes after its context has ended:
// roll-ups, loading, the connection and the pool stop one after the other, and
// each may take a little more than its deadline until it is left behind.
func (w *Worker) StopDeadline() time.Duration {
	const grace = 2 * time.Second
	return w.rollupDrain() + w.drain + 3*closeTimeout + lifecycle.DefaultDeadline + 4*grace
}

// abandon lets go of what New had when it failed.
func (w *Worker) abandon(ctx context.Context) error {
	if w.store != nil {
		w.store.Close()
	}
	if w.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return w.conn.Close(ctx)
}
