package facts

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// stateForm is the version of the bytes of a state, as against Version, which
// is that of what they mean. Both stand at their beginning.
const stateForm = 1

// Append appends the state to dst. States of the same events and reports give
// the same bytes, in whatever order and batches they came. The bytes are not
// compressed; most are small numbers.
func (s *State) Append(dst []byte) []byte {
	s.clock.flush()
	s.hours.flush()
	s.floor.flush()
	w := &writer{dst}
	w.count(stateForm)
	w.count(Version)
	w.flags(s.stepped, s.sealed, s.pathless, s.sawEnd, s.received.known)
	w.int(s.events)
	w.int(s.over)
	w.int(int64(s.received.first))
	w.int(int64(s.received.last) - int64(s.received.first))
	w.int(s.first)
	w.key(s.mark, s.baseKey())
	w.clock(&s.clock)
	w.int(s.seq.received)
	w.int(s.seq.low)
	w.int(s.seq.high)
	w.reported(&s.reported)
	numbers := w.names(&s.names)
	w.hours(s.hours.counts)
	w.spans(s.active, s.first)
	w.spans(s.idle.closed, s.first)
	w.flags(s.idle.open)
	if s.idle.open {
		w.int(s.idle.since - s.first)
	}
	w.zones(s, numbers)
	w.looks(s, numbers)
	w.interactions(s, numbers)
	w.floor(s)
	w.path(&s.path, s.first)
	return w.to
}

// baseKey is what keys are written as differences from.
func (s *State) baseKey() orderKey {
	return orderKey{at: fromMilliseconds(s.first), seq: noSeq, received: s.received.first}
}

// key writes k as its difference from base. Differences wrap around, and so does
// their sum, so no key is out of range.
func (w *writer) key(k, base orderKey) {
	w.int(int64(k.at - base.at))
	w.int(k.seq - base.seq)
	w.int(int64(k.received - base.received))
	w.int(k.batch - base.batch)
	w.int(int64(k.index))
}

func (w *writer) clock(c *clock) {
	w.int(c.low)
	w.int(c.high)
	w.count(len(c.shifts))
	last := int64(0)
	for _, shift := range slices.Sorted(maps.Keys(c.shifts)) {
		w.int(shift - last)
		w.int(c.shifts[shift])
		last = shift
	}
}

func (w *writer) reported(r *reported) {
	w.flags(r.start.stated, r.end.stated, r.customer.stated, r.property.stated, r.device.stated)
	writeStatement(w, &r.start, func(w *writer) { w.int(int64(r.start.value)) })
	writeStatement(w, &r.end, func(w *writer) { w.int(int64(r.end.value)) })
	for _, s := range []*statement[string]{&r.customer, &r.property, &r.device} {
		writeStatement(w, s, func(w *writer) { w.text(s.value) })
	}
}

func writeStatement[T comparable](w *writer, s *statement[T], value func(*writer)) {
	if s.stated {
		value(w)
		w.int(int64(s.receivedAt))
		w.bytes(s.batchID[:])
	}
}

// names writes the names in order of their texts and returns the numbers that
// they have in that order, by the numbers that they have in the state.
func (w *writer) names(l *lexicon) []uint32 {
	numbers := make([]uint32, len(l.texts))
	texts := slices.Sorted(slices.Values(l.texts))
	w.count(len(texts) - 1)
	for i, text := range texts {
		numbers[l.numbers[text]] = uint32(i)
		if i > 0 { // the empty name is always there
			w.text(text)
		}
	}
	return numbers
}

func (w *writer) hours(counts map[hourKey]int64) {
	w.count(len(counts))
	var last hourKey
	for key, events := range inOrder(counts, hourKey.compare) {
		w.int(int64(key.quarter - last.quarter))
		w.int(int64(key.kind))
		w.int(events)
		last = key
	}
}

func (w *writer) spans(all []span, last int64) {
	w.count(len(all))
	for _, s := range all {
		w.int(s.from - last)
		w.int(s.to - s.from)
		last = s.to
	}
}

func (w *writer) zones(s *State, numbers []uint32) {
	w.count(len(s.zones.marks))
	last := s.baseKey()
	for _, mark := range s.zones.marks {
		w.key(mark, last)
		last = mark
	}
	w.count(len(s.zones.visits))
	enter := 0
	for i := range s.zones.visits {
		v := &s.zones.visits[i]
		w.uint(uint64(numbers[v.zone]))
		w.int(int64(v.level))
		w.count(v.enter - enter)
		w.count(v.next + 1)
		w.count(v.exit + 1)
		w.count(int(v.closed))
		enter = v.enter
	}
	w.count(len(s.absorbed))
	for i := range s.absorbed {
		v := &s.absorbed[i]
		w.uint(uint64(numbers[v.zone]))
		w.int(int64(v.level))
		w.int(v.entered - s.first)
		w.int(v.left - v.entered)
		w.count(int(v.closed))
	}
}

// place writes p with the number that its zone has in the bytes.
func (w *writer) place(p place) { w.int(int64(p)) }

func (p place) renumber(numbers []uint32) place {
	if p < 0 {
		return -place(numbers[-p])
	}
	return p
}

func (w *writer) lookKey(key lookKey) {
	w.place(key.place)
	w.uint(uint64(key.target))
	w.int(int64(key.quarter))
}

func (w *writer) looks(s *State, numbers []uint32) {
	renumber := func(key lookKey) lookKey {
		return lookKey{key.place.renumber(numbers), numbers[key.target], key.quarter}
	}
	sums := make(map[lookKey]*lookSum, len(s.looks.sums))
	for key, sum := range s.looks.sums {
		sums[renumber(key)] = sum
	}
	w.count(len(sums))
	for key, sum := range inOrder(sums, lookKey.compare) {
		w.lookKey(key)
		w.int(sum.looks)
		w.int(sum.lookMS)
		w.int(sum.fixations)
		w.int(sum.fixationMS)
		w.flags(sum.seen)
		w.int(sum.first - s.first)
	}
	r := &s.looks.run
	w.flags(r.open)
	if r.open {
		w.lookKey(renumber(r.key))
		w.int(r.from - s.first)
		w.int(r.to - r.from)
	}
}

func (w *writer) interactions(s *State, numbers []uint32) {
	sums := make(map[interactionKey]int64, len(s.interactions))
	for key, times := range s.interactions {
		sums[interactionKey{key.place.renumber(numbers), numbers[key.object], numbers[key.kind], key.quarter}] = times
	}
	w.count(len(sums))
	for key, times := range inOrder(sums, interactionKey.compare) {
		w.place(key.place)
		w.uint(uint64(key.object))
		w.uint(uint64(key.kind))
		w.int(int64(key.quarter))
		w.int(times)
	}
}

// cell writes key as its difference from last; like those of keys, differences
// wrap around in their type.
func (w *writer) cell(key, last cellKey) {
	w.int(int64(key.quarter - last.quarter))
	w.int(int64(key.level - last.level))
	w.int(int64(key.x - last.x))
	w.int(int64(key.y - last.y))
}

func (w *writer) floor(s *State) {
	f := &s.floor
	w.flags(f.posed, f.placed)
	if f.posed {
		w.int(f.at - s.first)
	}
	if f.placed {
		w.cell(f.cell, cellKey{})
	}
	w.count(len(f.cells))
	var last cellKey
	for key, ms := range inOrder(f.cells, cellKey.compare) {
		w.cell(key, last)
		w.int(ms)
		last = key
	}
}

func (w *writer) path(p *path, first int64) {
	w.int(p.step)
	w.count(len(p.points))
	last := pathPoint{at: first}
	for _, point := range p.points {
		w.uint(uint64(point.at-last.at)<<1 | bit(point.facing))
		w.int(int64(point.level - last.level))
		w.int(int64(point.x - last.x))
		w.int(int64(point.y - last.y))
		if point.facing {
			w.bytes([]byte{point.yaw})
		}
		last = point
	}
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

// inOrder walks a map in the order of its keys.
func inOrder[K comparable, V any](m map[K]V, compare func(a, b K) int) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range slices.SortedFunc(maps.Keys(m), compare) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

func (k hourKey) compare(o hourKey) int {
	return cmp.Or(cmp.Compare(k.quarter, o.quarter), cmp.Compare(k.kind, o.kind))
}

func (k lookKey) compare(o lookKey) int {
	return cmp.Or(cmp.Compare(k.place, o.place), cmp.Compare(k.target, o.target), cmp.Compare(k.quarter, o.quarter))
}

func (k interactionKey) compare(o interactionKey) int {
	return cmp.Or(
		cmp.Compare(k.place, o.place), cmp.Compare(k.object, o.object), cmp.Compare(k.kind, o.kind),
		cmp.Compare(k.quarter, o.quarter),
	)
}

func (k cellKey) compare(o cellKey) int {
	return cmp.Or(
		cmp.Compare(k.quarter, o.quarter), cmp.Compare(k.level, o.level), cmp.Compare(k.x, o.x), cmp.Compare(k.y, o.y),
	)
}
