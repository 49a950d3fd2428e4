package worker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
)

// held is a message in hand: fetched, opened and not yet answered.
type held struct {
	Message

	fetchedAt time.Time
	// batches share the message's bytes; events is the number of rows in them.
	batches []envelope.Batch
	events  int
	// reason is why the message cannot be loaded, empty when it can: with one
	// it is kept as damaged instead.
	reason string
	// division is set while the batches are tried one by one.
	division *division
}

// maxReason bounds the reason that is stored with a damaged message.
const maxReason = 1 << 10

// condemn marks a message as one that nothing can load.
func (m *held) condemn(err error) {
	reason := strings.ReplaceAll(err.Error(), "\x00", "")
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	// Never empty: that would say that the message can be loaded.
	m.reason = cmp.Or(reason, "refused without a reason")
	m.batches = nil
}

// room is what a gather can still take.
type room struct{ messages, bytes, events int }

func (r *room) left() bool { return r.messages > 0 && r.bytes > 0 && r.events > 0 }

// gather waits for a message and takes along what else is there, or comes
// within Linger, until a limit is reached. It returns nothing when nothing came
// or ctx ended. Whatever a fetch delivered is in the result or was given back.
func (l *loop) gather(ctx context.Context) []*held {
	space := room{messages: l.w.opts.MaxMessages, bytes: l.w.opts.MaxBytes, events: l.w.opts.MaxEvents}
	if l.failing {
		// The last write failed: find out with one message whether the next will.
		space.messages = 1
	}
	gathered := l.fetchFirst(ctx, &space)
	began := time.Now()
	for len(gathered) > 0 && space.left() && !l.metNewer && ctx.Err() == nil {
		left := l.w.opts.Linger - time.Since(began)
		if left <= 0 {
			break
		}
		more, err := l.fetch(ctx, &space, left)
		gathered = append(gathered, more...)
		if err != nil || len(more) == 0 {
			break // the next first fetch tells whether it was more than a moment
		}
	}
	if len(gathered) > 0 {
		crashpoint.At(crashpoint.WorkerGathered)
		l.w.metrics.gatherMessages.Observe(float64(len(gathered)))
		l.w.metrics.gatherBytes.Observe(float64(l.w.opts.MaxBytes - space.bytes))
		l.w.metrics.gatherAge.Observe(time.Since(began).Seconds())
	}
	return gathered
}

// fetchFirst waits for the first messages of a gather and keeps the account of
// the source's health.
func (l *loop) fetchFirst(ctx context.Context, space *room) []*held {
	l.metNewer = false
	began := time.Now()
	gathered, err := l.fetch(ctx, space, l.w.opts.FetchWait)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.w.state.enter(ctx, troubleSource, l.number, err)
		if len(gathered) == 0 {
			wait(ctx, l.fetchPauses.NextBackOff())
		}
	default:
		l.fetchPauses.Reset()
		l.w.state.leave(ctx, troubleSource, l.number)
		if len(gathered) == 0 && !l.metNewer {
			l.w.metrics.lagNow.Set(0)
			wait(ctx, emptyPause-time.Since(began))
		}
	}
	return gathered
}

// fetch asks the source once and opens what comes.
func (l *loop) fetch(ctx context.Context, space *room, patience time.Duration) ([]*held, error) {
	messages, err := l.w.source.Fetch(ctx, space.messages, space.bytes, patience)
	if err != nil && ctx.Err() == nil {
		l.w.metrics.fetchErrors.Inc()
	}
	gathered := make([]*held, 0, len(messages))
	for _, m := range messages {
		space.messages--
		space.bytes -= len(m.Data)
		opened := l.open(ctx, m)
		if opened == nil {
			continue
		}
		space.events -= opened.events
		l.keeper.add(opened)
		gathered = append(gathered, opened)
	}
	return gathered, err
}

// open decodes a message. It returns nil for one that only a newer build can
// read, which goes back to the queue whole and unharmed.
func (l *loop) open(ctx context.Context, m Message) *held {
	if m.Deliveries > 1 {
		l.w.metrics.redeliveries.Inc()
	}
	batches, err := envelope.Open(m.Data)
	opened := &held{Message: m, fetchedAt: time.Now(), batches: batches}
	switch {
	case errors.Is(err, envelope.ErrVersion):
		l.metNewer = true
		l.w.newer.meet(ctx, &l.w.state, err)
		l.nak(ctx, m, versionDelay, outcomeNewer)
		return nil
	case err != nil:
		l.w.metrics.damaged.Inc()
		opened.condemn(err)
	}
	for i := range opened.batches {
		opened.events += opened.batches[i].RowCount()
	}
	return opened
}

// nak gives a message back. A lost answer only makes it come back later.
func (l *loop) nak(ctx context.Context, m Message, delay time.Duration, outcome string) {
	l.w.metrics.messages.WithLabelValues(outcome).Inc()
	if err := m.Nak(delay); err != nil {
		l.w.metrics.answerErrors.WithLabelValues(answerNak).Inc()
		l.w.log.LogAttrs(ctx, slog.LevelDebug, "message was not given back and comes after the ack wait",
			slog.Uint64("sequence", m.Sequence), slog.Any("error", err))
	}
}
