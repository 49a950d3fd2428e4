package facts

import (
	"cmp"
	"math"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Facts reads the facts off the state, as if the session ended with what was
// folded. The state stays as it is and can be extended.
func (s *State) Facts() *Facts {
	period := s.period()
	f := &Facts{
		Empty:      s.Empty(),
		CustomerID: s.reported.customer.value, PropertyID: s.reported.property.value, Device: s.reported.device.value,
		Start: period.start, End: period.end,
		StartDeclared: s.reported.start.stated, EndDeclared: s.reported.end.stated,
		Ended:         s.sawEnd || s.reported.end.stated,
		FirstReceived: s.received.first, LastReceived: s.received.last,
		DurationMS: period.to - period.from,
		Events:     s.events, OverLimit: s.over,
		ShiftMS: period.shift, ClockStepped: s.stepped, Sealed: s.sealed,
		SeqReceived: s.seq.received, SeqExpected: s.seq.expected(),
	}
	if s.events > 0 {
		f.First, f.Last = calendar(s.first, period.shift), calendar(milliseconds(s.mark.at), period.shift)
	}
	idle := s.idleTime(&period)
	f.IdleMS = idle.within(period.from, period.to)
	f.ActiveMS = f.DurationMS - f.IdleMS

	stays := s.stays(&period)
	entered := s.readVisits(f, stays, &idle, period.shift)
	segments := s.zones.innermost()
	s.readLooks(f, entered, segments)
	s.readInteractions(f, segments)
	s.readCells(f)
	s.readCounts(f)
	s.readPath(f, period.shift)
	return f
}

// expected returns how many events the client counted; it stops at the largest
// integer.
func (q *sequence) expected() int64 {
	if q.received == 0 {
		return 0
	}
	return int64(min(uint64(q.high)-uint64(q.low), math.MaxInt64-1)) + 1
}

// calendar places a time of the session, in milliseconds, in the calendar.
func calendar(at, shift int64) event.Micros { return event.Micros((at + shift) * 1000) }

// period is when a session took place: in the calendar, and in milliseconds of
// its own time, where from <= to <= from+MaxSpan.
type period struct {
	start, end event.Micros
	from, to   int64
	shift      int64
}

func (s *State) period() period {
	p := period{shift: s.correction()}
	start, end := &s.reported.start, &s.reported.end
	switch {
	case start.stated:
		p.start = start.value
	case s.events > 0:
		p.start = calendar(s.first, p.shift)
	case end.stated:
		p.start = end.value
	default:
		p.start = s.received.first
	}
	switch {
	case end.stated:
		p.end = end.value
	case s.events > 0:
		p.end = calendar(milliseconds(s.mark.at), p.shift)
	default:
		p.end = p.start
	}
	p.from = milliseconds(p.start) - p.shift
	p.to = max(p.from, min(milliseconds(p.end)-p.shift, p.from+MaxSpan.Milliseconds()))
	return p
}

// idleTime returns when the visitor was idle. A declared start or end is a sign
// of life like an event; a session without events leaves none to judge by.
func (s *State) idleTime(p *period) idleTime {
	if s.events == 0 {
		return idleTimeOf(nil, nil)
	}
	alive := slices.Clone(s.active)
	if s.reported.start.stated {
		alive.add(p.from, p.from)
	}
	if s.reported.end.stated {
		alive.add(p.to, p.to)
	}
	declared := s.idle.closed
	if s.idle.open {
		until := max(s.idle.since, p.to, milliseconds(s.mark.at))
		declared = append(slices.Clip(declared), span{s.idle.since, until})
	}
	return idleTimeOf(alive, declared)
}

// stay is a visit with times instead of events.
type stay struct {
	zone          uint32
	level         int16
	entered, left int64
	closed        ClosedBy
}

// stays returns every visit as it ends as things stand, in the order of
// entering.
func (s *State) stays(p *period) []stay {
	z := &s.zones
	all := slices.Clone(s.absorbed)
	for i := range z.visits {
		v := &z.visits[i]
		entered := z.at(v.enter)
		left := max(entered, p.to)
		ordinal, by := v.end()
		if ordinal != none {
			left = z.at(ordinal)
		}
		all = append(all, stay{v.zone, v.level, entered, left, by})
	}
	if len(s.absorbed) > 0 {
		slices.SortFunc(all, s.compareStays)
	}
	return all
}

// compareStays orders stays by everything that tells them apart.
func (s *State) compareStays(a, b stay) int {
	return cmp.Or(
		cmp.Compare(a.entered, b.entered), cmp.Compare(a.left, b.left), cmp.Compare(a.level, b.level),
		cmp.Compare(s.names.texts[a.zone], s.names.texts[b.zone]), cmp.Compare(a.closed, b.closed),
	)
}

// readVisits fills in the visits and the zones, and returns when each zone was
// first entered.
func (s *State) readVisits(f *Facts, stays []stay, idle *idleTime, shift int64) map[uint32]int64 {
	entered := make(map[uint32]int64)
	lastLeft := int64(math.MinInt64)
	for i := range stays {
		v := &stays[i]
		name := s.names.texts[v.zone]
		f.Visits = append(f.Visits, Visit{
			Zone: name, Level: v.level,
			Entered: calendar(v.entered, shift), Left: calendar(v.left, shift),
			DwellMS: v.left - v.entered - idle.within(v.entered, v.left), ClosedBy: v.closed,
		})
		if _, known := entered[v.zone]; !known {
			entered[v.zone] = v.entered
		}
		if v.left >= lastLeft {
			lastLeft, f.ExitZone = v.left, name
		}
	}
	f.Zones = len(entered)
	if len(f.Visits) > 0 {
		f.EntryZone = f.Visits[0].Zone
	}
	return entered
}

// seenFrom is what the time to the first look is measured by.
type seenFrom struct{ zone, target uint32 }

func (s *State) readLooks(f *Facts, entered map[uint32]int64, segments []uint32) {
	type cell struct {
		seenFrom
		quarter int32
	}
	sums := make(map[cell]lookSum, len(s.looks.sums)+1)
	first := make(map[seenFrom]int64)
	add := func(key lookKey, sum lookSum) {
		from := seenFrom{key.place.zoneOf(segments), key.target}
		total := sums[cell{from, key.quarter}]
		total.merge(&sum)
		sums[cell{from, key.quarter}] = total
		if at, known := first[from]; sum.seen && (!known || sum.first < at) {
			first[from] = sum.first
		}
	}
	for key, sum := range s.looks.sums {
		add(key, *sum)
	}
	if r := &s.looks.run; r.isLook() {
		add(r.key, lookSum{looks: 1, lookMS: r.to - r.from, seen: true, first: r.from})
	}
	for key, sum := range sums {
		f.Looks = append(f.Looks, Look{
			Zone: s.names.texts[key.zone], Target: s.names.texts[key.target], Quarter: quarterStart(key.quarter),
			Looks: sum.looks, LookMS: sum.lookMS, Fixations: sum.fixations, FixationMS: sum.fixationMS,
		})
	}
	slices.SortFunc(f.Looks, func(a, b Look) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Quarter, b.Quarter))
	})
	for i := range f.Looks {
		look := &f.Looks[i]
		from := seenFrom{s.names.numbers[look.Zone], s.names.numbers[look.Target]}
		at, known := first[from]
		since, visited := s.first, true
		if from.zone != 0 {
			since, visited = entered[from.zone]
		}
		sum := sums[cell{from, quarterOf(look.Quarter)}]
		// Looks of one instant in two quarters (their shifts differ) are one first look.
		if known && visited && sum.seen && sum.first == at && at >= since {
			look.First, look.FirstLookMS = true, at-since
			delete(first, from)
		}
	}
}

func (s *State) readInteractions(f *Facts, segments []uint32) {
	type cell struct {
		zone, object, kind uint32
		quarter            int32
	}
	sums := make(map[cell]int64, len(s.interactions))
	for key, times := range s.interactions {
		sums[cell{key.place.zoneOf(segments), key.object, key.kind, key.quarter}] += times
	}
	for key, times := range sums {
		f.Interactions = append(f.Interactions, Interaction{
			Zone: s.names.texts[key.zone], Object: s.names.texts[key.object], Kind: s.names.texts[key.kind],
			Quarter: quarterStart(key.quarter), Times: times,
		})
	}
	slices.SortFunc(f.Interactions, func(a, b Interaction) int {
		return cmp.Or(
			cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Quarter, b.Quarter),
		)
	})
}

func (s *State) readCells(f *Facts) {
	s.floor.flush()
	for key, ms := range s.floor.cells {
		f.Cells = append(f.Cells, Cell{Level: key.level, X: key.x, Y: key.y, Quarter: quarterStart(key.quarter), MS: ms})
	}
	slices.SortFunc(f.Cells, func(a, b Cell) int {
		return cmp.Or(
			cmp.Compare(a.Level, b.Level), cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y), cmp.Compare(a.Quarter, b.Quarter),
		)
	})
}

func (s *State) readCounts(f *Facts) {
	s.hours.flush()
	for key, events := range s.hours.counts {
		f.Counts = append(f.Counts, Count{Type: key.kind, Quarter: quarterStart(key.quarter), Events: events})
	}
	slices.SortFunc(f.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Quarter, b.Quarter))
	})
}

func (s *State) readPath(f *Facts, shift int64) {
	for _, p := range s.path.points {
		point := Point{At: calendar(p.at, shift), Level: p.level, X: p.x * 10, Y: p.y * 10, Facing: p.facing}
		if p.facing {
			// int8 folds 128..255 to the left-hand half turn.
			point.Yaw = int16(floorDiv(int64(int8(p.yaw))*360+128, 256))
		}
		f.Path = append(f.Path, point)
	}
}
