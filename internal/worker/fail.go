package worker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// isolate decides what follows when the store refuses what the first pending
// group holds. A group is tried message by message, a message alone batch by
// batch. A message with a batch that is refused by itself again and again is
// kept as damaged, since it can neither be loaded nor dropped nor tried for
// ever; see refuse. One that not even that takes comes back later.
func (l *loop) isolate(ctx context.Context, pending []*group, err error) []*group {
	crashpoint.At(crashpoint.WorkerIsolating)
	g, rest := pending[0], pending[1:]
	if len(g.messages) > 1 {
		l.w.log.LogAttrs(ctx, slog.LevelError, "store refuses a load; its messages are tried one by one",
			slog.Int("messages", len(g.messages)), slog.Any("error", err))
		return append(g.singles(), rest...)
	}
	m := g.messages[0]
	if m.reason == "" && g.part == nil {
		parts := m.divide()
		if len(parts) > 1 {
			l.w.log.LogAttrs(ctx, slog.LevelError, "store refuses a message; its batches are tried one by one",
				slog.Uint64("sequence", m.Sequence), slog.Int("batches", len(parts)), slog.Any("error", err))
			return append(rest, parts...)
		}
		g = parts[0] // which was just refused by itself
	}
	if m.reason == "" {
		return l.refuse(ctx, g, rest, err)
	}
	l.w.log.LogAttrs(ctx, slog.LevelError, "message can be neither loaded nor kept and stays in the queue",
		slog.Uint64("sequence", m.Sequence), slog.Int("deliveries", m.Deliveries), slog.Any("error", err))
	l.release(ctx, deferDelay, outcomeDeferred, g)
	return rest
}

// postpone decides what follows when the store could not write the first
// pending group now. The group goes to the end, divided when it failed often:
// one of its messages may be locked by another transaction. A message alone
// that keeps failing while other writes succeed has such a trouble of its own
// and is given back for a while, so that it holds up nobody.
func (l *loop) postpone(ctx context.Context, pending []*group, err error) []*group {
	g, rest := pending[0], pending[1:]
	g.failures++
	if g.failures == 1 {
		g.failedAt = time.Now()
	}
	if len(g.messages) == 1 && g.failures >= deferAfter && l.w.lastLoad.Load() > g.failedAt.UnixNano() {
		m := g.messages[0]
		l.w.log.LogAttrs(ctx, slog.LevelWarn, "message fails while others are written and is given back for a while",
			slog.Uint64("sequence", m.Sequence), slog.Int("deliveries", m.Deliveries), slog.Any("error", err))
		l.works(ctx)
		if g.part != nil {
			m.division.deferred = true
			return l.settle(ctx, m, rest)
		}
		l.release(ctx, deferDelay, outcomeDeferred, g)
		return rest
	}
	l.failing = true
	l.w.state.enter(ctx, troubleStore, l.number, err)
	if len(g.messages) > 1 && g.failures >= splitAfter {
		return append(rest, g.singles()...)
	}
	return append(rest, g)
}

// giveUp ends a drain that could not write everything: the rest goes back at
// once, to workers that stay.
func (l *loop) giveUp(ctx context.Context, pending []*group, err error) error {
	l.release(ctx, 0, outcomeReleased, pending...)
	return fmt.Errorf("%w: %d messages given back: %w", ErrDrain, len(messagesOf(pending)), err)
}

// release gives the messages of groups back to the queue.
func (l *loop) release(ctx context.Context, delay time.Duration, outcome string, groups ...*group) {
	for _, m := range messagesOf(groups) {
		crashpoint.At(crashpoint.WorkerReleasing)
		l.keeper.drop(m)
		l.nak(ctx, m.Message, delay, outcome)
	}
}
