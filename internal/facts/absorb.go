package facts

import (
	"errors"
	"slices"
)

// ErrSealed says that a state has absorbed events of its own and can only
// absorb more.
var ErrSealed = errors.New("facts: the state is sealed")

// Absorb adds the facts of events that came after raw events of the session
// were dropped: later is the fold of those events alone, and is used up. What
// the session's own facts were stays: its period, its visits (the open ones are
// closed as things stand) and its days. From then on [State.Extend] says
// ErrSealed, and Facts.Sealed is set.
func (s *State) Absorb(later *State) {
	shift := later.correction() - s.correction()
	if s.events == 0 {
		// Nothing to keep: the session's time is that of the later events.
		shift = 0
		s.first, s.mark, s.stepped = later.first, later.mark, later.stepped
		s.clock, s.active = later.clock, nil
	}
	s.seal()
	s.reported.merge(&later.reported)
	if later.received.known {
		s.receive(later.received.first)
		s.receive(later.received.last)
	}
	s.over += later.over
	if s.events+later.events > MaxEvents {
		s.over += later.events
		return
	}
	later.seal()
	s.events += later.events
	s.sawEnd = s.sawEnd || later.sawEnd
	s.seq.merge(&later.seq)
	renamed := s.rename(&later.names)
	s.mergeTimes(later, shift, renamed)
	s.mergeSums(later, shift, renamed)
}

// rename interns the names of other and returns their numbers here by their
// numbers there. Names go in order of their texts: which ones are OtherName
// must not depend on the order of a map.
func (s *State) rename(other *lexicon) []uint32 {
	renamed := make([]uint32, len(other.texts))
	for _, text := range slices.Sorted(slices.Values(other.texts)) {
		renamed[other.numbers[text]] = s.names.intern(text)
	}
	return renamed
}

// seal turns segments into zones and visits into stays, for once two folds are
// added neither's zone events are a whole any more.
func (s *State) seal() {
	s.sealed = true
	p := s.period()
	s.absorbed = s.stays(&p)
	segments := s.zones.innermost()
	s.looks.closeRun()
	sums := make(map[lookKey]*lookSum, len(s.looks.sums))
	for key, sum := range s.looks.sums {
		key.place = -place(key.place.zoneOf(segments))
		if known := sums[key]; known != nil {
			known.merge(sum)
			continue
		}
		sums[key] = sum
	}
	s.looks.sums = sums
	interactions := make(map[interactionKey]int64, len(s.interactions))
	for key, times := range s.interactions {
		key.place = -place(key.place.zoneOf(segments))
		interactions[key] += times
	}
	s.interactions = interactions
	if s.idle.open {
		s.idle.end(max(s.idle.since, p.to))
	}
	s.zones = zones{latest: map[zoneLevel]int{}}
	s.hours.flush()
	s.floor.flush()
	s.floor = floor{cells: s.floor.cells}
}

// mergeTimes adds when things happened, shift milliseconds later.
func (s *State) mergeTimes(later *State, shift int64, renamed []uint32) {
	for _, alive := range later.active {
		s.active.add(alive.from+shift, alive.to+shift)
	}
	for _, idle := range later.idle.closed {
		s.idle.closed = append(s.idle.closed, span{idle.from + shift, idle.to + shift})
	}
	s.idle.closed = unite(s.idle.closed)
	for _, visit := range later.absorbed {
		visit.zone = renamed[visit.zone]
		visit.entered, visit.left = visit.entered+shift, visit.left+shift
		s.absorbed = append(s.absorbed, visit)
	}
	slices.SortFunc(s.absorbed, s.compareStays)
}

// mergeSums adds what was counted.
func (s *State) mergeSums(later *State, shift int64, renamed []uint32) {
	for key, sum := range later.looks.sums {
		sum.first += shift
		s.looks.sum(lookKey{-place(renamed[-key.place]), renamed[key.target], key.quarter}).merge(sum)
	}
	for key, times := range later.interactions {
		s.interactions[interactionKey{-place(renamed[-key.place]), renamed[key.object], renamed[key.kind], key.quarter}] += times
	}
	for key, events := range later.hours.counts {
		s.hours.counts[key] += events
	}
	for key, ms := range later.floor.cells {
		s.floor.cells[key] += ms
	}
}

func (q *sequence) merge(other *sequence) {
	if other.received > 0 {
		received := q.received + other.received
		q.add(other.low)
		q.add(other.high)
		q.received = received
	}
}
