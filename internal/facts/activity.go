package facts

import (
	"cmp"
	"slices"
)

// idleAfter is how long nothing may happen before the visitor counts as idle,
// in milliseconds.
const idleAfter = 60_000

// span is a stretch of time, in milliseconds.
type span struct{ from, to int64 }

func (s span) compare(other span) int {
	return cmp.Or(cmp.Compare(s.from, other.from), cmp.Compare(s.to, other.to))
}

// spans are the stretches in which something happened, ascending, with more
// than idleAfter between neighbours. They come out the same in whatever order
// events are added, and there are at most 1,440 of them in 24 hours.
type spans []span

// add notes that something happened from from to to.
func (s *spans) add(from, to int64) {
	all := *s
	last := len(all) - 1
	// Nearly always time goes on, and within the last span.
	if last >= 0 && from >= all[last].from {
		if from-all[last].to <= idleAfter {
			all[last].to = max(all[last].to, to)
			return
		}
		*s = append(all, span{from, to})
		return
	}
	// The spans that the new one touches are low..high-1.
	low, _ := slices.BinarySearchFunc(all, from, func(old span, from int64) int {
		if from-old.to > idleAfter {
			return -1
		}
		return 1
	})
	high := low
	for high < len(all) && all[high].from-to <= idleAfter {
		from, to = min(from, all[high].from), max(to, all[high].to)
		high++
	}
	*s = slices.Replace(all, low, high, span{from, to})
}

// idleness is what idle_start and idle_end say.
type idleness struct {
	closed []span
	open   bool
	since  int64
}

func (i *idleness) start(at int64) {
	if !i.open {
		i.open, i.since = true, at
	}
}

func (i *idleness) end(at int64) {
	if !i.open {
		return
	}
	i.open = false
	if last := len(i.closed) - 1; last >= 0 && i.closed[last].to == i.since {
		i.closed[last].to = at // taken off again the moment it was put on
		return
	}
	if at > i.since {
		i.closed = append(i.closed, span{i.since, at})
	}
}

// unite makes disjoint and ascending what may overlap, in place.
func unite(all []span) []span {
	slices.SortFunc(all, span.compare)
	united := all[:0]
	for _, next := range all {
		if last := len(united) - 1; last >= 0 && next.from <= united[last].to {
			united[last].to = max(united[last].to, next.to)
			continue
		}
		united = append(united, next)
	}
	return united
}

// idleTime answers how much of a stretch was idle.
type idleTime struct {
	// spans are disjoint and ascending; before[i] is the length of all spans
	// before spans[i].
	spans  []span
	before []int64
}

// idleTimeOf unites what clients declared as idle with the stretches of more
// than idleAfter between signs of life. Both slices are left as they are.
func idleTimeOf(alive spans, declared []span) idleTime {
	all := slices.Clone(declared)
	for i := 1; i < len(alive); i++ {
		all = append(all, span{alive[i-1].to, alive[i].from})
	}
	united := unite(all)
	t := idleTime{spans: united, before: make([]int64, len(united)+1)}
	for i, s := range united {
		t.before[i+1] = t.before[i] + s.to - s.from
	}
	return t
}

// until returns how much time was idle before at.
func (t *idleTime) until(at int64) int64 {
	n, _ := slices.BinarySearchFunc(t.spans, at, func(s span, at int64) int {
		if s.from < at {
			return -1
		}
		return 1
	})
	if n == 0 {
		return 0
	}
	return t.before[n-1] + min(at, t.spans[n-1].to) - t.spans[n-1].from
}

// within returns how much of from..to was idle.
func (t *idleTime) within(from, to int64) int64 { return t.until(to) - t.until(from) }
