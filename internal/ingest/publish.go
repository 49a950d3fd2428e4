package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// Pauses between attempts at one envelope. The first is short, because the
// usual cause is a leader election or a reconnect that takes a moment; the last
// keeps an unreachable queue from being hammered.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// errPublisherPanicked stands for an attempt that ended in a panic. What the
// queue did is unknown then.
var errPublisherPanicked = errors.New("ingest: the publisher panicked")

// offer seals g and offers it to the queue until the queue has said yes or
// no, or nobody waits for the answer any more. It returns what those who wait
// are told.
func (c *committer) offer(g *group) error {
	if !time.Now().Before(g.deadline) {
		// It never was offered, and everybody it could help is gone. Sending it
		// now would only delay those behind it.
		c.metrics.envelopes.abandoned.Inc()
		return fmt.Errorf("%w: it waited too long for its turn", errWaitOver)
	}
	// From here on neither changes: a retry carries the same bytes under the
	// same id, or the queue would take another content for a repeat.
	message, msgID := g.builder.Seal(), newUUID().String()
	if g.span != nil {
		g.span.SetAttributes(attribute.String("nexero.msg_id", msgID))
	}

	pauses := backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: lastPause,
		Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	pauses.Reset()
	for attempt, unknown := 1, false; ; attempt++ {
		err := c.attempt(g.deadline, msgID, message)
		switch {
		case err == nil:
			crashpoint.At(crashpoint.IngestPublished)
			c.metrics.stored(len(message), g.batches)
			return nil
		case errors.Is(err, ErrFull), errors.Is(err, ErrTooLarge):
			c.failed(g, msgID, attempt, err)
			if unknown {
				// This offer stored nothing. An earlier one may have.
				return fmt.Errorf("%w: %d attempts at envelope %s, the last: %v", ErrUnknownOutcome, attempt, msgID, err) //nolint:errorlint // err is not the outcome
			}
			return err
		}
		unknown = true
		if !c.pause(g.deadline, pauses.NextBackOff()) {
			c.failed(g, msgID, attempt, err)
			return fmt.Errorf("%w: %d attempts at envelope %s", ErrUnknownOutcome, attempt, msgID)
		}
		crashpoint.At(crashpoint.IngestBeforeRetry)
	}
}

// attempt offers the message once. A publisher that does not answer costs
// AttemptTimeout, not the whole time that the callers have.
func (c *committer) attempt(deadline time.Time, id string, message []byte) (err error) {
	if soon := time.Now().Add(c.options.AttemptTimeout); soon.Before(deadline) {
		deadline = soon
	}
	ctx, cancel := context.WithDeadline(c.flights, deadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			c.metrics.panics.Inc()
			c.log.LogAttrs(ctx, slog.LevelError, "publisher panicked",
				slog.String("msg_id", id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = errPublisherPanicked
		}
		c.metrics.attempted(err)
	}()
	crashpoint.At(crashpoint.IngestBeforePublish)
	return c.publisher.Publish(ctx, id, message)
}

// failed reports the end of an envelope that the queue did not confirm, once
// for all who waited.
func (c *committer) failed(g *group, id string, attempts int, err error) {
	c.metrics.envelopes.failed.Inc()
	c.log.LogAttrs(c.flights, slog.LevelWarn, "envelope not confirmed",
		slog.String("msg_id", id), slog.Int("batches", g.batches), slog.Int("bytes", g.bytes),
		slog.Int("attempts", attempts), slog.Any("error", err))
}

// pause waits for d, or for half of what is left until deadline if that is
// less, so that the last attempts use the time that the callers have. It
// reports whether another attempt makes sense.
func (c *committer) pause(deadline time.Time, d time.Duration) bool {
	left := time.Until(deadline)
	if left < firstPause {
		return false
	}
	timer := time.NewTimer(min(d, left/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.flights.Done():
		return false
	}
}

// newUUID makes an id that sorts by its time: for receipts and messages. It
// needs no error: where the system has no randomness, the runtime ends the
// process before this returns.
func newUUID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
