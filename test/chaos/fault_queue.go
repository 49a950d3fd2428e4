package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// queueFaults change the stream and its consumer as an operator could.
func queueFaults() []fault {
	return []fault{
		{name: "consumer deleted", weight: 2, draw: drawConsumerDeleted},
		{name: "consumer reset", weight: 2, draw: drawConsumerReset},
		{name: "stream full", weight: 2, draw: drawStreamFull},
	}
}

// withStream connects as an operator. A server that is away, by another fault,
// or a cluster without a leader leaves nothing to do: that is no error.
func (s *stand) withStream(ctx context.Context, do func(context.Context, jetstream.JetStream) error) error {
	err := s.onStream(ctx, do)
	var api *jetstream.APIError
	if err != nil && (!errors.As(err, &api) || api.Code >= 500) {
		return nil
	}
	return err
}

// onStream does the same, and fails when nothing could be done.
func (s *stand) onStream(ctx context.Context, do func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	connection, err := nats.Connect(s.queueURL(), nats.Timeout(lookPatience), nats.NoReconnect())
	if err != nil {
		return err
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	return do(ctx, js)
}

// drawConsumerDeleted removes the consumer and what it knows of deliveries. The
// next fetch of a worker makes another, which begins with the first message that
// is still stored.
func drawConsumerDeleted(r *rand.Rand) blow {
	times := 1 + r.IntN(3)
	return blow{
		detail: plural(times, "time"),
		strike: func(ctx context.Context, f *field) error {
			for range times {
				if err := f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
					err := js.DeleteConsumer(ctx, queue.StreamName, queue.ConsumerName)
					if errors.Is(err, jetstream.ErrConsumerNotFound) {
						return nil
					}
					return err
				}); err != nil {
					return fmt.Errorf("delete the consumer: %w", err)
				}
				if !pause(ctx, 300*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
	}
}

// drawConsumerReset sets the consumer back. On a work queue what was acknowledged
// is gone, so what comes again is what workers hold: they get it a second time,
// at once, and their acknowledgements of the first delivery may come after it.
func drawConsumerReset(r *rand.Rand) blow {
	times, first := 1+r.IntN(5), r.IntN(2) == 0
	detail := "to the floor of acknowledgements, "
	if first {
		detail = "to sequence 1, "
	}
	return blow{
		detail: detail + plural(times, "time"),
		strike: func(ctx context.Context, f *field) error {
			for range times {
				if err := f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error { return reset(ctx, js, first) }); err != nil {
					return fmt.Errorf("reset the consumer: %w", err)
				}
				if !pause(ctx, 200*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
	}
}

func reset(ctx context.Context, js jetstream.JetStream, first bool) error {
	var err error
	if first {
		_, err = js.ResetConsumerToSequence(ctx, queue.StreamName, queue.ConsumerName, 1)
	} else {
		_, err = js.ResetConsumer(ctx, queue.StreamName, queue.ConsumerName)
	}
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// drawStreamFull freezes the workers and lowers the stream's limit to what it
// holds: posts are answered 503 then, and what is stored must stay.
func drawStreamFull(r *rand.Rand) blow {
	hold := between(r, time.Second, ackWait+2*time.Second)
	var frozen []*service
	return blow{
		detail: lasting("no room beyond what it holds, workers frozen", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			for _, worker := range f.of(kindWorker) {
				if err := worker.freeze(); err != nil {
					return err
				}
				frozen = append(frozen, worker)
			}
			return f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
				return limitStream(ctx, js, func(held uint64) int64 { return max(1, int64(held)) })
			})
		},
		heal: func(ctx context.Context, f *field) error {
			for _, worker := range frozen {
				if err := worker.thaw(); err != nil {
					return err
				}
			}
			// With the server away it stays small until the end of the round.
			return f.withStream(ctx, restoreLimit)
		},
	}
}

// limitStream changes how many bytes the stream may hold.
func limitStream(ctx context.Context, js jetstream.JetStream, limit func(held uint64) int64) error {
	stream, err := js.Stream(ctx, queue.StreamName)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	settings := info.Config
	settings.MaxBytes = limit(info.State.Bytes)
	if settings.MaxBytes == info.Config.MaxBytes {
		return nil
	}
	_, err = js.UpdateStream(ctx, settings)
	return err
}

func restoreLimit(ctx context.Context, js jetstream.JetStream) error {
	return limitStream(ctx, js, func(uint64) int64 { return streamBytes })
}
