package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// twiceFaults give workers what other workers have.
func twiceFaults() []fault {
	return []fault{
		{name: "message given to two workers", weight: 2, draw: drawTwice},
		{name: "consumer reset under gathers", weight: 2, draw: drawResetUnderGathers},
	}
}

// drawTwice freezes all workers but one with what they hold, until the queue has
// given that to the other one, and lets them go on.
func drawTwice(r *rand.Rand) blow {
	awake, at := r.IntN(workers), r.IntN(2) == 0
	detail := fmt.Sprintf("all but worker-%d frozen beyond AckWait", awake)
	if at {
		detail = fmt.Sprintf("all but worker-%d frozen, consumer reset", awake)
	}
	frozen := func(f *field, do func(*process) error) error {
		for n, worker := range f.of(kindWorker) {
			if n == awake {
				continue
			}
			if err := do(worker.process); err != nil {
				return err
			}
		}
		return nil
	}
	return blow{
		detail: detail,
		strike: func(ctx context.Context, f *field) error {
			if err := frozen(f, (*process).freeze); err != nil {
				return err
			}
			if at {
				if err := f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error { return reset(ctx, js, false) }); err != nil {
					return fmt.Errorf("reset the consumer: %w", err)
				}
			}
			// With a store away by another fault nobody is given anything.
			err := poll(ctx, ackWait+2*time.Second, "a message to be given again", func() (bool, error) {
				given := 0
				err := f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
					consumer, err := js.Consumer(ctx, queue.StreamName, queue.ConsumerName)
					if err == nil {
						given = consumer.CachedInfo().NumRedelivered
					}
					return err
				})
				return err == nil && given > 0, err
			})
			if err == nil {
				f.reached("message given to two workers")
				pause(ctx, 500*time.Millisecond) // the other one may have stored it
			}
			return ctx.Err()
		},
		heal: func(_ context.Context, f *field) error { return frozen(f, (*process).thaw) },
	}
}

// drawResetUnderGathers resets the consumer again and again while what workers
// say to the queue is late, so that gathers are always under way.
func drawResetUnderGathers(r *rand.Rand) blow {
	times, late := 5+r.IntN(15), between(r, 100*time.Millisecond, 500*time.Millisecond)
	return blow{
		detail: fmt.Sprintf("%s, workers and queue late by %s", plural(times, "time"), late),
		strike: func(ctx context.Context, f *field) error {
			for _, worker := range f.of(kindWorker) {
				worker.lines[toNATS].Delay(late)
			}
			for n := range times {
				if err := f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error { return reset(ctx, js, n%2 == 0) }); err != nil {
					return fmt.Errorf("reset the consumer: %w", err)
				}
				if !pause(ctx, 150*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
		heal: func(_ context.Context, f *field) error {
			for _, worker := range f.of(kindWorker) {
				worker.lines[toNATS].Pass()
			}
			return nil
		},
	}
}
