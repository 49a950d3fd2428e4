package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
)

// group is what one transaction writes: messages that are loaded together, one
// batch of a message, or a message alone that is kept as damaged.
type group struct {
	messages []*held
	// part is the one batch of the one message that the group is about, nil for
	// messages as a whole.
	part []envelope.Batch
	// refusals counts how often part was refused by itself, and notBefore is
	// when it may be tried again.
	refusals  int
	notBefore time.Time
	// failures counts the writes that found a store that cannot work; failedAt
	// is when the first one did.
	failures int
	failedAt time.Time
}

// plan divides a gather into groups of at most maxEvents events, in the order
// of arrival. Messages that may hold up others come last, alone: damaged ones,
// and those delivered so often that they may be the reason why.
func plan(gathered []*held, maxEvents int) []*group {
	var groups, alone []*group
	var current *group
	events := 0
	for _, m := range gathered {
		if m.reason != "" || m.Deliveries > aloneAfter {
			alone = append(alone, &group{messages: []*held{m}})
			continue
		}
		if current == nil || events+m.events > maxEvents {
			current, events = &group{}, 0
			groups = append(groups, current)
		}
		current.messages = append(current.messages, m)
		events += m.events
	}
	return append(groups, alone...)
}

// singles divides g into groups of one message.
func (g *group) singles() []*group {
	all := make([]*group, len(g.messages))
	for i, m := range g.messages {
		all[i] = &group{messages: []*held{m}}
	}
	return all
}

// write writes a gather and answers every message of it, whatever happens.
func (l *loop) write(soft, hard context.Context, gathered []*held) error {
	// The groups of one gather share its age: the first message's.
	deadline := gathered[0].fetchedAt.Add(l.w.opts.MaxHold)
	pending := plan(gathered, l.w.opts.MaxEvents)
	for len(pending) > 0 {
		if hard.Err() != nil {
			return l.giveUp(hard, pending, hard.Err())
		}
		if time.Now().After(deadline) {
			l.w.log.LogAttrs(soft, slog.LevelWarn, "messages are held too long and given back",
				slog.Int("messages", len(messagesOf(pending))), slog.Duration("held", l.w.opts.MaxHold))
			l.release(soft, deferDelay, outcomeReleased, pending...)
			return nil
		}
		pending = dueFirst(pending)
		g := pending[0]
		if pause := time.Until(g.notBefore); pause > 0 {
			wait(hard, pause) // and look again: a drain may have used its time up
			continue
		}
		class, err := l.attempt(hard, g)
		if err == nil {
			pending = l.wrote(soft, g, pending[1:])
			continue
		}
		switch class {
		case ClassStop:
			l.release(soft, deferDelay, outcomeReleased, pending...)
			return fmt.Errorf("worker: the store needs a person: %w", err)
		case ClassData:
			pending = l.isolate(soft, pending, err)
		case ClassRetry:
			pending = l.postpone(soft, pending, err)
			if l.failing && !wait(soft, l.pauses.NextBackOff()) {
				// The store is known not to work: others may have better luck.
				return l.giveUp(soft, pending, err)
			}
		}
	}
	return nil
}

// attempt writes g once. When it returns without an error, the write is
// committed.
func (l *loop) attempt(hard context.Context, g *group) (Class, error) {
	// Not the loop's context: a stop must not cut off a commit in progress.
	ctx, cancel := context.WithTimeout(hard, l.w.opts.LoadTimeout)
	defer cancel()
	var err error
	what := writeLoad
	if first := g.messages[0]; first.reason != "" {
		what = writeKeep
		err = l.w.store.KeepDamaged(ctx, first.Data, first.reason)
	} else {
		err = l.load(ctx, g)
	}
	if err == nil {
		return ClassRetry, nil
	}
	class := l.w.classify(err)
	if ctx.Err() != nil {
		class = ClassRetry // cut off: whatever the error says, the outcome is unknown
	}
	l.w.metrics.errors.WithLabelValues(what, class.String()).Inc()
	return class, err
}

func (l *loop) load(ctx context.Context, g *group) error {
	batches := g.batches()
	if len(batches) == 0 {
		return nil // an envelope of nothing is stored by doing nothing
	}
	ctx, traced := l.w.beginLoad(ctx, batches)
	crashpoint.At(crashpoint.WorkerBeforeLoad)
	began := time.Now()
	result, err := l.w.store.Load(ctx, batches)
	traced.end(g.messages, result, err)
	l.w.metrics.loadDuration.Observe(time.Since(began).Seconds())
	if err == nil {
		l.w.metrics.loaded(result)
	}
	return err
}

// wrote does what follows when attempt has committed g. It returns what is
// pending now.
func (l *loop) wrote(ctx context.Context, g *group, rest []*group) []*group {
	crashpoint.At(crashpoint.WorkerCommitted)
	l.works(ctx)
	l.w.lastLoad.Store(time.Now().UnixNano())
	if g.part != nil {
		return l.settle(ctx, g.messages[0], rest)
	}
	l.finish(ctx, g)
	return rest
}

// finish acknowledges what is committed whole.
func (l *loop) finish(ctx context.Context, g *group) {
	oldest := slices.MinFunc(g.messages, func(a, b *held) int { return a.StoredAt.Compare(b.StoredAt) }).StoredAt
	l.w.metrics.lag.Observe(time.Since(oldest).Seconds())
	l.w.metrics.lagNow.Set(time.Since(oldest).Seconds())
	lost, lastErr := 0, error(nil)
	for _, m := range g.messages {
		outcome := outcomeLoaded
		if m.reason != "" {
			outcome = outcomeKept
			l.w.log.LogAttrs(ctx, slog.LevelError, "message cannot be loaded and was kept as damaged",
				slog.Uint64("sequence", m.Sequence), slog.Int("bytes", len(m.Data)), slog.String("reason", m.reason))
		}
		l.w.metrics.messages.WithLabelValues(outcome).Inc()
		l.keeper.drop(m)
		if err := m.Ack(); err != nil {
			lost, lastErr = lost+1, err
			l.w.metrics.answerErrors.WithLabelValues(answerAck).Inc()
		}
		crashpoint.At(crashpoint.WorkerAcked)
	}
	if lost > 0 {
		l.w.log.LogAttrs(ctx, slog.LevelWarn, "acknowledgements were not sent; the messages come again and change nothing",
			slog.Int("messages", lost), slog.Any("error", lastErr))
	}
}

// works says that the store works.
func (l *loop) works(ctx context.Context) {
	l.failing = false
	l.pauses.Reset()
	l.w.state.leave(ctx, troubleStore, l.number)
}
