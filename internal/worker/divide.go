package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
)

// division is what became so far of a message whose batches are tried one by
// one. A message holds the batches of many clients: one that is refused says
// nothing about the others, and the ledger makes it safe to load any of them
// again, whenever the message comes back.
type division struct {
	batches int // all of the message
	open    int // those whose fate is not known yet
	refused int // those that the store refuses for good
	// reason is why the first of those is refused.
	reason error
	// deferred is whether one of them could be neither loaded nor refused now.
	deferred bool
}

// divide makes a group of each batch of a message that was refused alone.
func (m *held) divide() []*group {
	m.division = &division{batches: len(m.batches), open: len(m.batches)}
	parts := make([]*group, len(m.batches))
	for i := range m.batches {
		parts[i] = &group{messages: []*held{m}, part: m.batches[i : i+1]}
	}
	return parts
}

// refuse decides what follows when the store refuses a single batch. The first
// time it is tried once more, after a pause and the other groups: condemning a
// message cannot be taken back, so a store in an odd moment is not believed.
func (l *loop) refuse(ctx context.Context, g *group, rest []*group, err error) []*group {
	m, id := g.messages[0], g.part[0].ID.String()
	g.refusals++
	if g.refusals < condemnAfter {
		l.w.log.LogAttrs(ctx, slog.LevelWarn, "store refuses a batch, which is tried once more",
			slog.String("batch", id), slog.Uint64("sequence", m.Sequence), slog.Any("error", err))
		g.notBefore = time.Now().Add(refusalPause)
		return append(rest, g)
	}
	l.w.log.LogAttrs(ctx, slog.LevelError, "store refuses a batch for good",
		slog.String("batch", id), slog.Uint64("sequence", m.Sequence), slog.Any("error", err))
	if m.division.refused++; m.division.reason == nil {
		m.division.reason = fmt.Errorf("batch %s: %w", id, err)
	}
	return l.settle(ctx, m, rest)
}

// settle notes that the fate of one batch of m is known, and decides about m
// when it was the last. A batch that waits for another time wins over one that
// is refused: keeping the message whole would take it out of the queue.
func (l *loop) settle(ctx context.Context, m *held, pending []*group) []*group {
	d := m.division
	d.open--
	switch {
	case d.open > 0:
	case d.deferred:
		l.release(ctx, deferDelay, outcomeDeferred, &group{messages: []*held{m}})
	case d.refused > 0:
		m.condemn(fmt.Errorf("%d of %d batches refused: %w", d.refused, d.batches, d.reason))
		return append(pending, &group{messages: []*held{m}})
	default:
		l.finish(ctx, &group{messages: []*held{m}})
	}
	return pending
}

// batches are what a load of g writes.
func (g *group) batches() []envelope.Batch {
	if g.part != nil {
		return g.part
	}
	var all []envelope.Batch
	for _, m := range g.messages {
		all = append(all, m.batches...)
	}
	return all
}

// dueFirst moves the first group that may be tried now to the front, or when
// there is none the one that may be tried soonest.
func dueFirst(pending []*group) []*group {
	now := time.Now()
	due := slices.IndexFunc(pending, func(g *group) bool { return !g.notBefore.After(now) })
	if due < 0 {
		soonest := slices.MinFunc(pending, func(a, b *group) int { return a.notBefore.Compare(b.notBefore) })
		due = slices.Index(pending, soonest)
	}
	g := pending[due]
	copy(pending[1:due+1], pending[:due])
	pending[0] = g
	return pending
}

// messagesOf returns the messages of groups, each once however many groups its
// batches are divided into.
func messagesOf(groups []*group) []*held {
	var all []*held
	seen := map[*held]struct{}{}
	for _, g := range groups {
		for _, m := range g.messages {
			if _, ok := seen[m]; !ok {
				seen[m] = struct{}{}
				all = append(all, m)
			}
		}
	}
	return all
}
