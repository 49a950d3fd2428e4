package worker

import (
	"context"
	"fmt"
	"time"
)

// upkeep is the number of the upkeep of partitions among the loops in the
// state.
const upkeep = -2

// prepare makes partitions from the day of the queue's oldest message on, and
// tries again until it succeeds, ctx ends or the store needs a person. No
// message may be fetched before: one of a day without a partition would be
// refused although it was accepted.
func (w *Worker) prepare(ctx context.Context) error {
	pauses := newPauses()
	for {
		class, err := w.ensurePartitions(ctx)
		switch {
		case err == nil:
			w.state.leave(ctx, troublePartitions, upkeep)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case class == ClassStop:
			return fmt.Errorf("worker: %w", err)
		}
		w.state.enter(ctx, troublePartitions, upkeep, err)
		if !wait(ctx, pauses.NextBackOff()) {
			return ctx.Err()
		}
	}
}

func (w *Worker) ensurePartitions(ctx context.Context) (Class, error) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.LoadTimeout)
	defer cancel()
	oldest, ok, err := w.oldest(ctx)
	if err != nil {
		// The queue's error: Classify knows the store's only.
		return ClassRetry, fmt.Errorf("find the oldest message: %w", err)
	}
	if !ok {
		oldest = time.Now()
	}
	if err := w.store.EnsurePartitions(ctx, oldest); err != nil {
		class := w.classify(err)
		w.metrics.errors.WithLabelValues(writePartitions, class.String()).Inc()
		return class, fmt.Errorf("make partitions from %s on: %w", oldest.UTC().Format(time.DateOnly), err)
	}
	return ClassRetry, nil
}

// keepPartitions repeats prepare at every interval and when the day changes,
// until ctx ends. Its error is a store that needs a person.
func (w *Worker) keepPartitions(ctx context.Context) error {
	for wait(ctx, untilUpkeep(time.Now(), w.opts.PartitionInterval)) {
		if err := w.prepare(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// untilUpkeep returns how long to wait after now: the interval, or less when
// the day ends before. Days are UTC's, as partitions are.
func untilUpkeep(now time.Time, interval time.Duration) time.Duration {
	const day = 24 * time.Hour
	return min(interval, now.Truncate(day).Add(day).Sub(now))
}
