package facts

import (
	"errors"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// Version is the version of the definitions that this build folds by. It is
// raised with every change that can give other facts for the same events, and
// travels in the state.
const Version = 1

// Limits of one session. What lies beyond is counted and nothing else.
const (
	// MaxEvents is how many events are folded.
	MaxEvents = 500_000
	// MaxSpan is how long after its first event a session goes on.
	MaxSpan = 24 * time.Hour
	// MaxNames is how many different names (zones, targets, objects, kinds) are
	// told apart; later ones are all called OtherName.
	MaxNames = 2048
	// MaxOpenVisits is how many visits can be open at a time; the oldest is then
	// closed as if its exit were missing.
	MaxOpenVisits = 64
	// MaxPathPoints is how many points the path has; a longer session has them
	// at larger intervals, from 1 s on.
	MaxPathPoints = 1024
)

// OtherName is what names beyond MaxNames are called.
const OtherName = "(other)"

// ErrRecompute says that a state cannot be extended by the events given, since
// one of them belongs before what was folded. The session has to be folded anew
// with [Of]; the state is as it was.
var ErrRecompute = errors.New("facts: events belong before what was folded")

// State is the fold of the events and reports of one session so far. The zero
// value is not usable; [New], [Of] and [Decode] make one. Its size is bounded
// by the limits above; a tour of ten minutes takes a few kilobytes.
type State struct {
	// stepped is set when the clock was set during the session: corrected times
	// are then used for order and lengths.
	stepped bool
	// sealed is set by Absorb; the state can no longer be extended.
	sealed bool
	// pathless is set by ForgetPath.
	pathless bool
	// sawEnd is set by an event of type session_end.
	sawEnd bool

	events, over int64
	// first is the time of the first folded event, in milliseconds.
	first int64
	// mark is the greatest key that was folded: the watermark.
	mark     orderKey
	received struct {
		known       bool
		first, last event.Micros
	}
	clock    clock
	seq      sequence
	reported reported

	names        lexicon
	hours        hours
	active       spans
	idle         idleness
	zones        zones
	looks        looks
	interactions map[interactionKey]int64
	floor        floor
	path         path
	// absorbed are visits that Absorb brought, with times of their own.
	absorbed []stay
}

// New returns the state of a session of which nothing is known.
func New() *State {
	return &State{
		clock:        clock{shifts: map[int64]int64{}},
		names:        newLexicon(),
		hours:        hours{counts: map[hourKey]int64{}},
		zones:        zones{latest: map[zoneLevel]int{}},
		looks:        looks{sums: map[lookKey]*lookSum{}},
		interactions: map[interactionKey]int64{},
		floor:        floor{cells: map[cellKey]int64{}},
		path:         path{step: pathStep},
	}
}

// Of folds all events and reports of a session. It puts events in order, in
// place.
func Of(events []Event, reports []Report) *State {
	s := New()
	if err := s.Extend(events, reports); err != nil {
		panic("facts: an empty state was not extended: " + err.Error()) // cannot happen: nothing comes before nothing
	}
	return s
}

// Extend adds events that were not folded yet, and reports. It puts events in
// order, in place. The error is ErrRecompute, or ErrSealed after Absorb; the
// state is then unchanged.
func (s *State) Extend(events []Event, reports []Report) error {
	if s.sealed {
		return ErrSealed
	}
	known := s.events > 0
	low, high := s.clock.bounds(events, known)
	stepped := high-low > MaxSpan.Milliseconds()
	if stepped != s.stepped && known {
		return ErrRecompute
	}
	sortEvents(events, stepped)
	if !s.admits(events, stepped) {
		return ErrRecompute
	}
	// Nothing fails from here on.
	s.stepped = stepped
	s.clock.low, s.clock.high = low, high
	for i := range reports {
		s.receive(reports[i].ReceivedAt)
		s.reported.hear(&reports[i])
	}
	lastFolded := -1
	for i := range events {
		s.receive(events[i].ReceivedAt)
		if s.fold(&events[i]) {
			lastFolded = i
		}
	}
	if lastFolded >= 0 {
		if key := events[lastFolded].key(stepped); !known || key.compare(s.mark) > 0 {
			s.mark = key
		}
	}
	return nil
}

// admits reports whether folding events now gives what folding everything at
// once would give. Only events at or before the watermark are in question.
func (s *State) admits(events []Event, stepped bool) bool {
	if s.events == 0 {
		return true
	}
	late, fresh := int64(0), map[string]bool{}
	for i := range events {
		e := &events[i]
		if e.key(stepped).compare(s.mark) > 0 {
			break
		}
		if e.sequential() {
			return false
		}
		late++
		for _, name := range e.names() {
			if !s.names.has(name) {
				fresh[name] = true
			}
		}
	}
	if late == 0 {
		return true
	}
	first := milliseconds(events[0].time(stepped))
	switch {
	case s.events+late > MaxEvents:
		return false // they would push folded events over the limit
	case milliseconds(s.mark.at)-first > MaxSpan.Milliseconds():
		return false // so would a first event this early
	case len(fresh) > 0 && s.names.room() < len(fresh):
		return false // they would push known names over the limit
	}
	return true
}

// receive takes note of a time of receipt.
func (s *State) receive(at event.Micros) {
	if !s.received.known {
		s.received.known, s.received.first, s.received.last = true, at, at
		return
	}
	s.received.first = min(s.received.first, at)
	s.received.last = max(s.received.last, at)
}

// Skip counts events that the caller knows to lie beyond the limits and did
// not read, and that were received between the two times.
func (s *State) Skip(events int64, firstReceived, lastReceived event.Micros) {
	if events > 0 {
		s.over += events
		s.receive(firstReceived)
		s.receive(lastReceived)
	}
}

// Full reports whether the session has reached MaxEvents: a recompute reads
// that many events again to place a single one, so it should wait until the
// session is settled.
func (s *State) Full() bool { return s.events >= MaxEvents }

// Empty reports whether nothing was folded: no event and no report.
func (s *State) Empty() bool { return !s.received.known }

// LastReceived is the last time of receipt of anything that was folded, 0 when
// nothing was.
func (s *State) LastReceived() event.Micros { return s.received.last }

// ForgetPath drops the path and keeps none from now on. The path is motion
// data and lives as long as raw poses; the other facts live longer.
func (s *State) ForgetPath() {
	s.path = path{step: pathStep}
	s.pathless = true
}

// sequence is what the client's counter says of completeness.
type sequence struct {
	received  int64
	low, high int64
}

func (q *sequence) add(seq int64) {
	if q.received == 0 {
		q.low, q.high = seq, seq
	}
	q.received++
	q.low, q.high = min(q.low, seq), max(q.high, seq)
}
