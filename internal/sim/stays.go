package sim

import (
	"cmp"
	"slices"
)

// sameVisitWithin is the longest absence after which a visit goes on, in
// milliseconds.
const sameVisitWithin = 1000

// stay is a visit while it is drawn up.
type stay struct {
	Visit

	open bool
	// next is when another zone of the level was entered first, which ends the
	// visit if no exit comes; 0 before.
	next int64
}

// visits follows the definition of a visit in plain lines, so that the truth
// shares no code with what it judges: from enter to exit; a missing exit is the
// next enter on the level, else the end of the session; who comes back within a
// second never left.
func visits(marks []mark, end int64) []Visit {
	marks = slices.Clone(marks)
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	var stays []*stay
	for _, m := range marks {
		if m.enter {
			stays = entered(stays, m)
			continue
		}
		for _, s := range slices.Backward(stays) {
			if s.open && s.Zone == m.zone && s.Level == m.level {
				s.close(m.at, "exit")
				break
			}
		}
	}
	var all []Visit
	for _, s := range stays {
		switch {
		case s.open && s.next != 0:
			s.close(s.next, "next_enter")
		case s.open:
			s.close(max(end, s.EnteredMS), "session_end")
		}
		all = append(all, s.Visit)
	}
	return all
}

// entered adds an enter.
func entered(stays []*stay, m mark) []*stay {
	var same, latest *stay
	for _, s := range stays {
		switch {
		case s.Level != m.level:
		case s.Zone == m.zone && s.open:
			same = s
		case s.Zone == m.zone:
			latest = s
		case s.open && s.next == 0:
			s.next = m.at
		}
	}
	switch {
	case same != nil && (same.next == 0 || m.at-same.next <= sameVisitWithin):
		same.next = 0
		return stays
	case same != nil:
		same.close(same.next, "next_enter")
	case latest != nil && m.at-latest.LeftMS <= sameVisitWithin:
		latest.open, latest.next = true, 0
		return stays
	}
	return append(stays, &stay{Visit: Visit{Zone: m.zone, Level: m.level, EnteredMS: m.at}, open: true})
}

func (s *stay) close(at int64, by string) {
	s.LeftMS, s.ClosedBy, s.open = at, by, false
}
