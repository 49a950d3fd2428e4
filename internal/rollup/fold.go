package rollup

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

const (
	// quietAfter is the silence, in time of receipt, after which a session is
	// settled. What comes later finds it without a history of recomputes. It is
	// also how long a session at the limit of its events may wait for a
	// recompute, which reads all of them to place a few.
	quietAfter = 30 * time.Minute
	// recomputeLimit is the longest pause between recomputes of one session.
	recomputeLimit = 5 * time.Minute
)

// outcome is how a session was rolled up.
type outcome int

const (
	// outcomeFirst is a session's first roll-up.
	outcomeFirst outcome = iota
	// outcomeExtended is a state to which new events were added.
	outcomeExtended
	// outcomeRevised is a state without new events: a report came, or something
	// about its property changed.
	outcomeRevised
	// outcomeRecomputed is a session that was folded from its first event on.
	outcomeRecomputed
	// outcomeAbsorbed is a sealed session to which later events were added.
	outcomeAbsorbed
	// outcomePostponed is a session that was left as it was.
	outcomePostponed

	outcomes // keep last
)

// String returns the outcome's metric label.
func (o outcome) String() string {
	return [...]string{"first", "extended", "revised", "recomputed", "absorbed", "postponed"}[o]
}

// folding decides about the sessions of one roll-up. Its fold is a function of
// the claims alone, but for refused. It belongs to one goroutine.
type folding struct {
	interval time.Duration
	// refused says which sessions the store cannot take just now.
	refused func(session int64) bool

	// What the last call did: which sessions it had, what became of them, and
	// how many of them are to be sealed. None of it counts before COMMIT.
	sessions []int64
	counts   [outcomes]int
	seals    int
}

// fold implements [facts.Fold].
func (f *folding) fold(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
	f.sessions, f.counts, f.seals = nil, [outcomes]int{}, 0
	var anew []*facts.Claim
	for _, c := range claims {
		f.sessions = append(f.sessions, c.SessionNo)
		how, err := f.decide(c)
		if err != nil {
			return fmt.Errorf("rollup: session no. %d: %w", c.SessionNo, err)
		}
		f.counts[how]++
		if how == outcomeRecomputed {
			anew = append(anew, c)
		}
		if c.Seal && how != outcomePostponed {
			f.seals++
		}
	}
	// One after the other: each may have hundreds of thousands of events.
	for _, c := range anew {
		if err := whole([]*facts.Claim{c}); err != nil {
			return err
		}
		if err := f.recompute(c); err != nil {
			return fmt.Errorf("rollup: session no. %d: %w", c.SessionNo, err)
		}
		c.Events = nil
	}
	return nil
}

// decide rolls up c from what is stored and what is new, or says that all of it
// has to be read: then only the pause after the recompute is decided.
func (f *folding) decide(c *facts.Claim) (outcome, error) {
	switch {
	case f.refused(c.SessionNo):
		return f.postpone(c, c.Now+microsOf(refusedPause)), nil
	case c.Sealed:
		return f.absorb(c), nil
	case c.New:
		// Nothing was folded, so what its touches brought is the whole session.
		state := facts.New()
		err := extend(state, c)
		f.keep(c, state, 0)
		return outcomeFirst, err
	case c.State == nil:
		return f.anew(c), nil
	}
	recomputes := c.Recomputes
	if quiet(c) {
		recomputes = 0
	}
	err := extend(c.State, c)
	switch {
	case errors.Is(err, facts.ErrRecompute): // and the state is as it was
		return f.anew(c), nil
	case err != nil:
		return 0, err
	}
	f.keep(c, c.State, recomputes)
	if len(c.Events) == 0 && c.Unread == 0 {
		return outcomeRevised, nil
	}
	return outcomeExtended, nil
}

// absorb adds later events to a sealed session, some of whose raw events are
// gone. Reports fit in as they always do, unless the state has absorbed before:
// then it takes nothing any other way.
func (f *folding) absorb(c *facts.Claim) outcome {
	if c.State == nil {
		// Only a build that can read the state may touch it.
		return f.postpone(c, c.Now+microsOf(refusedPause))
	}
	how := outcomeRevised
	if len(c.Events) > 0 || c.Unread > 0 || c.State.Extend(nil, c.Reports) != nil {
		later := facts.Of(c.Events, c.Reports)
		later.Skip(c.Unread, c.UnreadFrom, c.UnreadUntil)
		c.State.Absorb(later)
		how = outcomeAbsorbed
	}
	f.keep(c, c.State, c.Recomputes)
	return how
}

// anew decides whether c may be folded from its first event on now. A session
// that is to be sealed cannot wait: its events are about to be dropped.
func (f *folding) anew(c *facts.Claim) outcome {
	recomputes, from := c.Recomputes, c.RecomputeAt
	if c.State != nil {
		if quiet(c) {
			recomputes, from = 0, 0
		}
		if c.State.Full() {
			from = max(from, firstReceipt(c.Events)+microsOf(quietAfter))
		}
	}
	if c.Now < from && !c.Seal {
		return f.postpone(c, from)
	}
	c.Result = facts.Result{Recomputes: recomputes + 1, RecomputeAt: c.Now + microsOf(f.pause(recomputes))}
	return outcomeRecomputed
}

// recompute folds c, all of which was read, from its first event on.
func (f *folding) recompute(c *facts.Claim) error {
	if !c.Whole {
		return errors.New("not read whole") // folding a part would throw away the rest
	}
	state := facts.New()
	if err := extend(state, c); err != nil {
		return err
	}
	c.RecomputeAt = c.Result.RecomputeAt
	f.keep(c, state, c.Result.Recomputes)
	return nil
}

// pause is how long a session is not folded anew after it was, having been so
// often before. Doubling it reads each event about twice, however long events
// come out of order.
func (f *folding) pause(before int) time.Duration {
	pause := f.interval
	for ; before > 0 && pause < recomputeLimit; before-- {
		pause *= 2
	}
	return min(pause, max(recomputeLimit, f.interval))
}

// postpone leaves c as it is until from.
func (f *folding) postpone(c *facts.Claim, from event.Micros) outcome {
	c.Result = facts.Result{Postponed: true, Due: from}
	return outcomePostponed
}

// keep makes state what is stored of c.
func (f *folding) keep(c *facts.Claim, state *facts.State, recomputes int) {
	if c.ForgetPath {
		state.ForgetPath()
	}
	read := state.Facts()
	c.Result = facts.Result{
		Due: c.Now + microsOf(f.interval), State: state, Facts: read,
		Contributed: read.Contributions(c.Properties[read.PropertyID]),
		Recomputes:  recomputes, RecomputeAt: c.RecomputeAt,
	}
}

// extend adds to state what was read of c.
func extend(state *facts.State, c *facts.Claim) error {
	if err := state.Extend(c.Events, c.Reports); err != nil {
		return err
	}
	state.Skip(c.Unread, c.UnreadFrom, c.UnreadUntil)
	return nil
}

// quiet reports whether c had been settled when its new events came. Reports
// say nothing about it. It is asked before the state is extended.
func quiet(c *facts.Claim) bool {
	return len(c.Events) > 0 && firstReceipt(c.Events)-c.State.LastReceived() >= microsOf(quietAfter)
}

// firstReceipt returns when the first of the events was received.
func firstReceipt(events []facts.Event) event.Micros {
	first := event.Micros(math.MaxInt64) / 2 // leaves room to add to
	for i := range events {
		first = min(first, events[i].ReceivedAt)
	}
	return first
}

func microsOf(d time.Duration) event.Micros { return event.Micros(d.Microseconds()) }
