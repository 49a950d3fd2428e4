package rollup

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
)

// Deps are what a Roller works with. All but Tracer are required.
type Deps struct {
	Store   Store
	Archive Archive
	// Forget deletes some rows of the ledger that nothing in the queue can need
	// any more, and returns how many: 0 when there are none left, an error and
	// none when that cannot be known. One goroutine calls it at a time, here and in
	// any number of processes.
	Forget func(ctx context.Context) (rows int64, err error)
	// ForgetSessions deletes some sessions that are no longer kept, and returns how
	// many and whether there may be more. After an error the next call goes on
	// elsewhere, or with fewer. It is called as Forget is, but not before
	// Options.RetentionInterval after the start.
	ForgetSessions func(ctx context.Context) (sessions int64, more bool, err error)
	// Behind reports whether loads should come first. It is called before each
	// roll-up, from all loops: it answers at once, as a rule from memory.
	Behind func(ctx context.Context) bool
	// Classify sorts the Store's errors. It is called from all loops.
	Classify   func(error) Class
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Tracer makes the spans of roll-ups; nil for none.
	Tracer trace.Tracer
}

// Roller rolls up sessions and customers and gives up expired days. It runs
// once.
type Roller struct {
	store     Store
	archive   Archive
	forget    func(ctx context.Context) (int64, error)
	forgetOld func(ctx context.Context) (int64, bool, error)
	behind    func(ctx context.Context) bool
	classify  func(error) Class
	log       *slog.Logger
	opts      Options
	metrics   *metrics
	tracer    trace.Tracer

	started atomic.Bool
	state   state
	refused refusals
}

// New checks deps and opts and registers the metrics. Nothing runs yet.
func New(deps Deps, opts Options) (*Roller, error) {
	if deps.Store == nil || deps.Archive == nil || deps.Forget == nil || deps.ForgetSessions == nil ||
		deps.Behind == nil || deps.Classify == nil || deps.Log == nil || deps.Registerer == nil {
		return nil, errors.New("rollup: a dependency is missing")
	}
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("rollup: options: %w", err)
	}
	metrics, err := newMetrics(deps.Registerer)
	if err != nil {
		return nil, fmt.Errorf("rollup: register metrics: %w", err)
	}
	return &Roller{
		store: deps.Store, archive: deps.Archive, forget: deps.Forget, forgetOld: deps.ForgetSessions, behind: deps.Behind, classify: deps.Classify,
		log: deps.Log, opts: opts, metrics: metrics, tracer: deps.Tracer,
		state: state{log: deps.Log, metrics: metrics},
	}, nil
}

// Ready returns nil while sessions and customers are rolled up, or nothing is
// due, else why not. It does not wait and may be called at any time from
// anywhere.
func (r *Roller) Ready() error { return r.state.ready() }

// Run rolls up until ctx ends, or until the store needs a person ([ClassStop]),
// which is its error. It returns when every goroutine has ended. Roll-ups in
// progress get Options.DrainTimeout and are rolled back after that: what they
// had claimed is due again.
func (r *Roller) Run(ctx context.Context) error {
	if r.started.Swap(true) {
		return errors.New("rollup: runs once")
	}
	defer r.state.enterPhase(phaseStopped)
	// No roll-up begins after the end of soft, none goes on after that of hard.
	soft, stop := context.WithCancel(ctx)
	defer stop()
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	r.state.enterPhase(phaseRunning)
	done := r.start(soft, hard, stop)

	var err error
	select {
	case err = <-done:
	case <-soft.Done():
		r.state.enterPhase(phaseStopping)
		limit := time.AfterFunc(r.opts.DrainTimeout, cut)
		err = <-done
		limit.Stop()
	}
	return err
}

// start starts all goroutines. The first one that needs a person stops the
// others. The channel gets their errors, joined, when all have ended.
func (r *Roller) start(soft, hard context.Context, stop context.CancelFunc) <-chan error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	start := func(run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				stop()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	for number := range r.opts.Loops {
		start(func() error { return r.newLoop(number, workSessions, newSessions(r).roll).run(soft, hard) })
	}
	start(func() error { return r.newLoop(r.opts.Loops, workCustomers, newCustomers(r).roll).run(soft, hard) })
	start(func() error { r.watchBacklog(soft); return nil })
	start(func() error { r.keepDays(soft, hard); return nil })
	done := make(chan error, 1)
	go func() {
		wg.Wait()
		done <- errors.Join(errs...)
	}()
	return done
}

// watchBacklog shows what waits until ctx ends.
func (r *Roller) watchBacklog(ctx context.Context) {
	for {
		backlog, err := r.store.Backlog(ctx)
		switch {
		case err == nil:
			r.metrics.backlog.Set(float64(backlog.Batches))
			r.metrics.lag.Set(backlog.Age.Seconds())
		case !ended(ctx):
			// Shown, not logged: when the store is away the loops say so.
			r.metrics.errors.WithLabelValues(workBacklog, r.classify(err).String()).Inc()
		}
		if !wait(ctx, r.opts.BacklogInterval) {
			return
		}
	}
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

// ended reports whether ctx has.
func ended(ctx context.Context) bool { return ctx.Err() != nil }

// wait returns after d or when ctx ends, and whether it was the former.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !ended(ctx)
	case <-ctx.Done():
		return false
	}
}
