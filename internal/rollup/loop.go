package rollup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/codes"

	"github.com/nexero-vr/nexero/internal/facts"
)

// loop gives one kind of work its pace. It belongs to one goroutine.
type loop struct {
	*Roller

	number int
	// work is the label of what it does, and roll does it once and reports
	// whether more is due right away.
	work string
	roll func(ctx context.Context) (more bool, err error)
	// pauses grow from one failed roll-up to the next.
	pauses *backoff.ExponentialBackOff
	// last is when the last roll-up ended, with an error or without.
	last time.Time
}

func (r *Roller) newLoop(number int, work string, roll func(context.Context) (bool, error)) *loop {
	return &loop{Roller: r, number: number, work: work, roll: r.traced(work, roll), pauses: newPauses()}
}

// traced gives each of roll's roll-ups a span, of which the store's COMMIT is a
// part.
func (r *Roller) traced(work string, roll func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	if r.tracer == nil {
		return roll
	}
	return func(ctx context.Context) (more bool, err error) {
		ctx, span := r.tracer.Start(ctx, "roll up "+work)
		if more, err = roll(ctx); err != nil {
			span.SetStatus(codes.Error, r.classify(err).String())
		}
		span.End()
		return more, err
	}
}

// run works until soft ends; hard cuts off the roll-up that the drain is
// waiting for. The error is a store that needs a person.
func (l *loop) run(soft, hard context.Context) error {
	for l.yield(soft, l.last) {
		began := time.Now()
		more, err := l.roll(hard)
		l.last = time.Now()
		if ended(hard) {
			return nil // cut off: rolled back, and due again
		}
		if err != nil {
			if err := l.fail(soft, err); err != nil {
				return err
			}
			continue
		}
		l.pauses.Reset()
		l.state.leave(soft, l.number)
		// Little is due: one roll-up of a few sessions is cheaper than some of one.
		if !more && !wait(soft, time.Until(began.Add(l.opts.Pause))) {
			return nil
		}
	}
	return nil
}

// fail decides what follows a roll-up that failed. It returns when it may be
// tried again, or the error of a store that needs a person.
func (l *loop) fail(soft context.Context, err error) error {
	class := l.classify(err)
	l.metrics.errors.WithLabelValues(l.work, class.String()).Inc()
	switch class {
	case ClassStop:
		return fmt.Errorf("rollup: the store needs a person: %w", err)
	case ClassRetry:
		l.state.enter(soft, l.number, err)
	case ClassData:
		// The store works; what it refuses is found and left alone.
		l.log.LogAttrs(soft, slog.LevelError, "store refuses a roll-up", slog.String("work", l.work), slog.Any("error", err))
	}
	wait(soft, l.pauses.NextBackOff())
	return nil
}

// yield lets loads go first while the queue is behind, but no longer than the
// limit since last: what is rolled up late is more work in the end. It reports
// whether there is still something to do it for.
func (r *Roller) yield(ctx context.Context, last time.Time) bool {
	yielded := false
	for !ended(ctx) && time.Since(last) < r.opts.YieldLimit && r.behind(ctx) {
		if !yielded {
			yielded = true
			r.metrics.yields.Inc()
		}
		if !wait(ctx, r.opts.Pause) {
			return false
		}
	}
	return !ended(ctx)
}

// sessions rolls up sessions.
type sessions struct {
	claimer

	// after is where the round through the sessions goes on: loops that each
	// began at the first one would meet at the same few.
	after int64
}

func newSessions(r *Roller) *sessions { return &sessions{claimer: newClaimer(r)} }

func (s *sessions) roll(ctx context.Context) (more bool, err error) {
	rolled, claimed, err := s.attempt(ctx, workSessions, func(limit int, fold facts.Fold) (facts.Rolled, error) {
		return s.store.RollSessions(ctx, s.after, limit, fold)
	})
	if err != nil {
		// A session that fails by itself must not keep the ones after it waiting.
		if len(claimed) == 1 {
			s.after = claimed[0]
		}
		return false, err
	}
	s.after = rolled.Last
	return rolled.Last != 0, nil
}

// customers rolls up customers, fewer of them after a failure: one may be more
// than the store can do in its time, or something that it refuses. The store
// leaves alone who fails alone.
type customers struct {
	*Roller

	limit int
}

func newCustomers(r *Roller) *customers { return &customers{Roller: r, limit: customersLimit} }

func (c *customers) roll(ctx context.Context) (more bool, err error) {
	began := time.Now()
	limit := c.limit
	rolled, err := c.store.RollCustomers(ctx, limit)
	c.metrics.duration.WithLabelValues(workCustomers).Observe(time.Since(began).Seconds())
	switch {
	case err == nil:
		c.metrics.customers.Add(float64(rolled))
		c.limit = min(2*limit, customersLimit)
		return rolled >= limit, nil
	case ended(ctx) || rolled == 0: // says nothing about who was claimed
	case c.classify(err) == ClassData:
		c.limit = 1
	default:
		c.limit = max(1, rolled/2)
	}
	return false, err
}
