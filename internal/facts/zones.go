package facts

import (
	"slices"
	"sort"

	"github.com/nexero-vr/nexero/internal/event"
)

// sameVisitWithin is the longest absence after which a visit goes on, in
// milliseconds: who stands in a doorway leaves and enters all the time.
const sameVisitWithin = 1000

// ClosedBy says how a visit ended.
type ClosedBy uint8

// The ways in which a visit ends. A visit of a session that goes on is
// ClosedBySessionEnd, or ClosedByNextEnter, until its exit comes.
const (
	// ClosedByExit is a zone_exit.
	ClosedByExit ClosedBy = iota + 1
	// ClosedByNextEnter is a missing exit, closed when another zone of the same
	// level was entered.
	ClosedByNextEnter
	// ClosedBySessionEnd is a missing exit with nothing after it to close it.
	ClosedBySessionEnd
)

// String returns the name in tables.
func (c ClosedBy) String() string {
	switch c {
	case ClosedByExit:
		return "exit"
	case ClosedByNextEnter:
		return "next_enter"
	case ClosedBySessionEnd:
		return "session_end"
	default:
		return "unknown"
	}
}

// none is the ordinal of a zone event that did not happen.
const none = -1

// visit is one stay in one zone. Its events are ordinals in zones.marks.
type visit struct {
	zone  uint32
	level int16
	enter int
	// next is the first enter of another zone on the level while this visit was
	// open: where it ends if no exit ever comes.
	next int
	// exit is where it ended, none while open.
	exit   int
	closed ClosedBy
}

// zoneLevel is where a visit is.
type zoneLevel struct {
	zone  uint32
	level int16
}

// zones follows enters and exits. Whether a missing exit was missing or the
// zone was around the next one shows only when an exit comes, or none, so a
// visit stays open until then.
type zones struct {
	// marks are the zone events that changed something, in order. Between two
	// marks lies a segment, in which the innermost zone is always the same:
	// segment n comes after n marks.
	marks  []orderKey
	visits []visit
	// open are the open visits, ascending; latest is each zone's last visit. Both
	// follow from visits.
	open   []int
	latest map[zoneLevel]int
}

func (z *zones) at(ordinal int) int64 { return milliseconds(z.marks[ordinal].at) }

// enter folds a zone_enter. One without a name opens nothing.
func (s *State) enter(e *Event) {
	name := e.text().Zone
	if name == "" {
		return
	}
	z := &s.zones
	here := zoneLevel{s.names.intern(name), e.level()}
	ordinal := len(z.marks)
	z.marks = append(z.marks, e.key(s.stepped))
	same := none
	for _, i := range z.open {
		v := &z.visits[i]
		switch {
		case v.level != here.level:
		case v.zone == here.zone:
			same = i
		case v.next == none:
			v.next = ordinal
		}
	}
	if same != none {
		v := &z.visits[same]
		if v.next == none || z.at(ordinal)-z.at(v.next) <= sameVisitWithin {
			v.next = none // entered twice, or back at once: the visit goes on
			return
		}
		z.close(same, v.next, ClosedByNextEnter)
	} else if i, ok := z.latest[here]; ok && z.at(ordinal)-z.at(z.visits[i].exit) <= sameVisitWithin {
		z.makeRoom(ordinal)
		z.visits[i].exit, z.visits[i].next, z.visits[i].closed = none, none, 0
		at, _ := slices.BinarySearch(z.open, i)
		z.open = slices.Insert(z.open, at, i)
		return
	}
	z.makeRoom(ordinal)
	z.latest[here] = len(z.visits)
	z.open = append(z.open, len(z.visits))
	z.visits = append(z.visits, visit{zone: here.zone, level: here.level, enter: ordinal, next: none, exit: none})
}

// exit folds a zone_exit: it closes the last open visit that it can mean. One
// without a name means the innermost zone, one without a level any level; one
// that fits nothing says nothing.
func (s *State) exit(e *Event) {
	z := &s.zones
	name := e.text().Zone
	number, known := s.names.find(name)
	for _, i := range slices.Backward(z.open) {
		v := &z.visits[i]
		if name != "" && (!known || v.zone != number) || e.Has&event.FieldLevel != 0 && v.level != e.Level {
			continue
		}
		z.marks = append(z.marks, e.key(s.stepped))
		z.close(i, len(z.marks)-1, ClosedByExit)
		return
	}
}

// close ends an open visit at a mark.
func (z *zones) close(i, ordinal int, by ClosedBy) {
	z.visits[i].exit, z.visits[i].closed = ordinal, by
	at, _ := slices.BinarySearch(z.open, i)
	z.open = slices.Delete(z.open, at, at+1)
}

// makeRoom keeps the number of open visits within its limit.
func (z *zones) makeRoom(ordinal int) {
	if len(z.open) < MaxOpenVisits {
		return
	}
	oldest := z.open[0]
	if next := z.visits[oldest].next; next != none {
		ordinal = next
	}
	z.close(oldest, ordinal, ClosedByNextEnter)
}

// end returns how v ends as things stand: at which mark, or none for the
// session's end.
func (v *visit) end() (ordinal int, by ClosedBy) {
	switch {
	case v.closed != 0:
		return v.exit, v.closed
	case v.next != none:
		return v.next, ClosedByNextEnter
	default:
		return none, ClosedBySessionEnd
	}
}

// innermost returns, for each segment, the number of the zone that was entered
// last among those in which the visitor was, 0 outside all zones.
func (z *zones) innermost() []uint32 {
	segments := make([]uint32, len(z.marks)+1)
	var inside []int
	next := 0
	for segment := range segments {
		if next < len(z.visits) && z.visits[next].enter < segment {
			inside = append(inside, next)
			next++
		}
		inside = slices.DeleteFunc(inside, func(i int) bool {
			ordinal, _ := z.visits[i].end()
			return ordinal != none && ordinal < segment
		})
		if n := len(inside); n > 0 {
			segments[segment] = z.visits[inside[n-1]].zone
		}
	}
	return segments
}

// place is where a single event happened: the zone that it names (minus the
// name's number), else the segment in which it falls.
type place int32

// placeOf returns the place of e, wherever e stands among the zone events.
func (s *State) placeOf(e *Event) place {
	if name := e.text().Zone; name != "" {
		return -place(s.names.intern(name))
	}
	marks := s.zones.marks
	at := e.time(s.stepped)
	if len(marks) == 0 || marks[len(marks)-1].at < at {
		return place(len(marks))
	}
	key := e.key(s.stepped)
	return place(sort.Search(len(marks), func(i int) bool { return marks[i].compare(key) > 0 }))
}

// zoneOf returns the name's number of a place. segments is from innermost.
func (p place) zoneOf(segments []uint32) uint32 {
	if p < 0 {
		return uint32(-p)
	}
	return segments[p]
}
