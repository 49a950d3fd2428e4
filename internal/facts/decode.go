package facts

import (
	"fmt"

	"github.com/nexero-vr/nexero/internal/event"
)

// Decode reads what [State.Append] wrote. The error is ErrVersion or
// ErrDamaged. The state shares no memory with from.
func Decode(from []byte) (*State, error) {
	r := &reader{from: from}
	form, version := r.uint(), r.uint()
	if r.err == nil && (form != stateForm || version != Version) {
		return nil, fmt.Errorf("%w: form %d, facts %d; this build has %d, %d", ErrVersion, form, version, stateForm, Version)
	}
	s := New()
	r.flags(&s.stepped, &s.sealed, &s.pathless, &s.sawEnd, &s.received.known)
	s.events = r.int()
	s.over = r.int()
	s.received.first = event.Micros(r.int())
	s.received.last = s.received.first + event.Micros(r.int())
	s.first = r.int()
	s.mark = r.key(s.baseKey())
	r.clock(&s.clock)
	s.seq = sequence{received: r.int(), low: r.int(), high: r.int()}
	r.reported(&s.reported)
	r.names(&s.names)
	r.hours(s.hours.counts)
	s.active = r.spans(s.first)
	s.idle.closed = r.spans(s.first)
	r.flags(&s.idle.open)
	if s.idle.open {
		s.idle.since = s.first + r.int()
	}
	r.zones(s)
	r.looks(s)
	r.interactions(s)
	r.floor(s)
	r.path(&s.path, s.first)
	if err := r.done(); err != nil {
		return nil, err
	}
	return s, nil
}

func (r *reader) key(base orderKey) orderKey {
	return orderKey{
		at: base.at + event.Micros(r.int()), seq: base.seq + r.int(), received: base.received + event.Micros(r.int()),
		batch: base.batch + r.int(), index: narrow[int16](r),
	}
}

func (r *reader) clock(c *clock) {
	c.low, c.high = r.int(), r.int()
	shift := int64(0)
	for range r.count(2) {
		shift += r.int()
		c.shifts[shift] = r.int()
	}
}

func (r *reader) reported(all *reported) {
	r.flags(&all.start.stated, &all.end.stated, &all.customer.stated, &all.property.stated, &all.device.stated)
	readStatement(r, &all.start, func() event.Micros { return event.Micros(r.int()) })
	readStatement(r, &all.end, func() event.Micros { return event.Micros(r.int()) })
	readStatement(r, &all.customer, r.text)
	readStatement(r, &all.property, r.text)
	readStatement(r, &all.device, r.text)
}

func readStatement[T comparable](r *reader, s *statement[T], value func() T) {
	if s.stated {
		s.value = value()
		s.receivedAt = event.Micros(r.int())
		r.bytes(s.batchID[:])
	}
}

func (r *reader) names(l *lexicon) {
	last := ""
	for range r.count(2) {
		text := r.text()
		if text <= last {
			r.fail("names out of order")
			return
		}
		if number := l.intern(text); l.texts[number] != text {
			r.fail("too many names")
			return
		}
		last = text
	}
}

func (r *reader) hours(counts map[hourKey]int64) {
	var key hourKey
	for range r.count(3) {
		key.quarter += narrow[int32](r)
		key.kind = event.Type(narrow[int16](r))
		counts[key] = r.int()
	}
}

func (r *reader) spans(last int64) []span {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	all := make([]span, n)
	for i := range all {
		all[i].from = last + r.int()
		all[i].to = all[i].from + r.int()
		last = all[i].to
		if i > 0 {
			r.ascending(all[i-1].compare(all[i]))
		}
	}
	return all
}

// name reads the number of a name.
func (r *reader) name(s *State) uint32 {
	return uint32(r.within(len(s.names.texts), "an unknown name"))
}

func (r *reader) closedBy() ClosedBy {
	return ClosedBy(r.within(int(ClosedBySessionEnd)+1, "an unknown end of a visit"))
}

func (r *reader) zones(s *State) {
	z := &s.zones
	last := s.baseKey()
	z.marks = make([]orderKey, r.count(5))
	for i := range z.marks {
		key := r.key(last)
		if i > 0 {
			r.ascending(last.compare(key))
		}
		z.marks[i], last = key, key
	}
	enter := 0
	for i := range r.count(6) {
		v := visit{zone: r.name(s), level: narrow[int16](r)}
		v.enter = enter + r.within(len(z.marks)+1, "a visit without an enter")
		v.next = r.within(len(z.marks)+1, "a visit without a next one") - 1
		v.exit = r.within(len(z.marks)+1, "a visit without an exit") - 1
		v.closed = r.closedBy()
		switch {
		case r.err != nil:
			return
		case v.enter >= len(z.marks) || i > 0 && v.enter <= enter:
			r.fail("visits out of order")
		case (v.exit == none) != (v.closed == 0):
			r.fail("a visit neither open nor closed")
		}
		enter = v.enter
		if v.closed == 0 {
			z.open = append(z.open, i)
		}
		z.latest[zoneLevel{v.zone, v.level}] = i
		z.visits = append(z.visits, v)
	}
	for range r.count(5) {
		v := stay{zone: r.name(s), level: narrow[int16](r)}
		v.entered = s.first + r.int()
		v.left = v.entered + r.int()
		v.closed = r.closedBy()
		s.absorbed = append(s.absorbed, v)
	}
}

func (r *reader) place(s *State) place {
	p := r.int()
	if p > int64(len(s.zones.marks)) || -p >= int64(len(s.names.texts)) {
		r.fail("an unknown place")
		return 0
	}
	return place(p)
}

func (r *reader) lookKey(s *State) lookKey {
	return lookKey{r.place(s), r.name(s), narrow[int32](r)}
}

func (r *reader) looks(s *State) {
	sums := make([]lookSum, r.count(8))
	s.looks.sums = make(map[lookKey]*lookSum, len(sums))
	for i := range sums {
		sum := &sums[i]
		s.looks.sums[r.lookKey(s)] = sum
		*sum = lookSum{looks: r.int(), lookMS: r.int(), fixations: r.int(), fixationMS: r.int()}
		r.flags(&sum.seen)
		sum.first = s.first + r.int()
	}
	run := &s.looks.run
	r.flags(&run.open)
	if run.open {
		run.key = r.lookKey(s)
		run.from = s.first + r.int()
		run.to = run.from + r.int()
	}
}

func (r *reader) interactions(s *State) {
	for range r.count(5) {
		key := interactionKey{r.place(s), r.name(s), r.name(s), narrow[int32](r)}
		s.interactions[key] = r.int()
	}
}

func (r *reader) cell(last cellKey) cellKey {
	return cellKey{
		quarter: last.quarter + narrow[int32](r), level: last.level + narrow[int16](r),
		x: last.x + narrow[int32](r), y: last.y + narrow[int32](r),
	}
}

func (r *reader) floor(s *State) {
	f := &s.floor
	r.flags(&f.posed, &f.placed)
	if f.posed {
		f.at = s.first + r.int()
	}
	if f.placed {
		f.cell = r.cell(cellKey{})
	}
	n := r.count(5)
	f.cells = make(map[cellKey]int64, n)
	var last cellKey
	for range n {
		last = r.cell(last)
		f.cells[last] = r.int()
	}
}

func (r *reader) path(p *path, first int64) {
	p.step = r.int()
	if p.step < pathStep || p.step > 2*MaxSpan.Milliseconds() {
		r.fail("an impossible path")
		p.step = pathStep
	}
	last := pathPoint{at: first}
	n := r.count(4)
	if n > MaxPathPoints {
		r.fail("too long a path")
	}
	p.points = make([]pathPoint, 0, min(n, MaxPathPoints))
	for i := range min(n, MaxPathPoints) {
		head := r.uint()
		point := pathPoint{
			at: last.at + int64(head>>1), level: last.level + narrow[int16](r),
			x: last.x + narrow[int32](r), y: last.y + narrow[int32](r), facing: head&1 != 0,
		}
		if point.facing {
			var yaw [1]byte
			r.bytes(yaw[:])
			point.yaw = yaw[0]
		}
		if i > 0 && point.at <= last.at || point.at < first {
			r.fail("a path that goes back in time")
			break
		}
		p.points = append(p.points, point)
		last = point
	}
	p.setUntil()
}
