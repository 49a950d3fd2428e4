package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// ErrDrain is a stop within which not everything in hand could be written. The
// rest was given back to the queue; nothing is lost.
var ErrDrain = errors.New("worker: stopped before everything in hand was written")

// Deps are what a worker works with. All but Tracer are required.
type Deps struct {
	Source Source
	Store  Store
	// Classify sorts the Store's errors. It is called from all loops.
	Classify func(error) Class
	// OldestMessage returns when the oldest message in the queue was stored, and
	// false when there is none.
	OldestMessage func(ctx context.Context) (time.Time, bool, error)
	Log           *slog.Logger
	Registerer    prometheus.Registerer
	// Tracer makes the spans of loads with batches that are traced; nil for none.
	Tracer trace.Tracer
}

// Worker moves messages from a source to a store. It runs once.
type Worker struct {
	source   Source
	store    Store
	classify func(error) Class
	oldest   func(ctx context.Context) (time.Time, bool, error)
	log      *slog.Logger
	opts     Options
	metrics  *metrics
	tracer   trace.Tracer

	started atomic.Bool
	state   state
	// newer holds back fetching after a message of a newer layout.
	newer newerLayout
	// lastLoad is when a write last succeeded, in nanoseconds since 1970. A
	// message that fails while others succeed has a trouble of its own.
	lastLoad atomic.Int64
}

// New checks deps and opts and registers the metrics. Nothing runs yet.
func New(deps Deps, opts Options) (*Worker, error) {
	if deps.Source == nil || deps.Store == nil || deps.Classify == nil || deps.OldestMessage == nil ||
		deps.Log == nil || deps.Registerer == nil {
		return nil, errors.New("worker: a dependency is missing")
	}
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("worker: options: %w", err)
	}
	metrics, err := newMetrics(deps.Registerer)
	if err != nil {
		return nil, fmt.Errorf("worker: register metrics: %w", err)
	}
	w := &Worker{
		source: deps.Source, store: deps.Store, classify: deps.Classify, oldest: deps.OldestMessage,
		log: deps.Log, opts: opts, metrics: metrics, tracer: deps.Tracer,
	}
	w.state.init(deps.Log, metrics)
	return w, nil
}

// Ready returns nil while the worker fetches and writes, else why not. It does
// not wait and may be called at any time from anywhere.
func (w *Worker) Ready() error { return w.state.ready() }

// Run makes partitions and then works until ctx ends, or until the store needs
// a person ([ClassStop]). It returns when every goroutine has ended and every
// message was acknowledged or given back: nil after a clean drain, [ErrDrain]
// when something had to be given back unwritten.
func (w *Worker) Run(ctx context.Context) error {
	if w.started.Swap(true) {
		return errors.New("worker: runs once")
	}
	defer w.state.enterPhase(phaseStopped)
	// Fetching ends with soft, writing with hard: a SIGTERM ends the first at
	// once and the second when the drain has used its time up.
	soft, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()

	w.state.enterPhase(phasePreparing)
	if err := w.prepare(soft); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before there was anything to do
		}
		return err
	}
	w.state.enterPhase(phaseRunning)
	ended := w.startLoops(soft, hard, stop)

	var err error
	select {
	case err = <-ended:
	case <-soft.Done():
		w.state.enterPhase(phaseStopping)
		crashpoint.At(crashpoint.WorkerDraining)
		limit := time.AfterFunc(w.opts.DrainTimeout, cut)
		err = <-ended
		limit.Stop()
	}
	return err
}

// startLoops starts the loops and the upkeep of partitions. The first one that
// needs a person stops the others. The channel gets their errors, joined, when
// all have ended.
func (w *Worker) startLoops(soft, hard context.Context, stop context.CancelCauseFunc) <-chan error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	start := func(run func() error) {
		wg.Go(func() {
			err := run()
			if err == nil {
				return
			}
			stop(err)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	for number := range w.opts.Loops {
		start(func() error { return newLoop(w, number).run(soft, hard) })
	}
	start(func() error { return w.keepPartitions(soft) })
	ended := make(chan error, 1)
	go func() {
		wg.Wait()
		ended <- errors.Join(errs...)
	}()
	return ended
}

// newPauses returns the growing pauses between attempts of one loop.
func newPauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     firstPause,
		Multiplier:          pauseFactor,
		RandomizationFactor: pauseJitter,
		MaxInterval:         pauseLimit,
	}
}

// wait returns after d or when ctx ends, and whether it was the former.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
