package facts

import "github.com/nexero-vr/nexero/internal/event"

// What makes a run of gaze samples a look, in milliseconds.
const (
	longestHole  = 200
	shortestLook = 300
)

// lookKey is what looks are summed by.
type lookKey struct {
	place   place
	target  uint32
	quarter int32
}

// lookSum is the looks and fixations under one key. first is when the first
// look began, valid when seen is set.
type lookSum struct {
	looks, lookMS         int64
	fixations, fixationMS int64
	seen                  bool
	first                 int64
}

func (sum *lookSum) add(at, length int64) {
	sum.looks++
	sum.lookMS += length
	if !sum.seen || at < sum.first {
		sum.seen, sum.first = true, at
	}
}

// merge adds the looks of other.
func (sum *lookSum) merge(other *lookSum) {
	sum.looks += other.looks
	sum.lookMS += other.lookMS
	sum.fixations += other.fixations
	sum.fixationMS += other.fixationMS
	if other.seen && (!sum.seen || other.first < sum.first) {
		sum.seen, sum.first = true, other.first
	}
}

// run is a run of gaze samples of one target that may go on.
type run struct {
	open     bool
	key      lookKey
	from, to int64
}

// looks sums what was looked at.
type looks struct {
	sums map[lookKey]*lookSum
	run  run
}

func (l *looks) sum(key lookKey) *lookSum {
	sum := l.sums[key]
	if sum == nil {
		sum = new(lookSum)
		l.sums[key] = sum
	}
	return sum
}

// look folds a gaze or a fixation. One without a target is at nothing.
func (s *State) look(e *Event, at int64, quarter int32) {
	target := e.text().Target
	if target == "" {
		return
	}
	key := lookKey{target: s.names.intern(target), quarter: quarter}
	length := e.length()
	switch {
	case e.Type == event.Fixation:
		key.place = s.placeOf(e)
		sum := s.looks.sum(key)
		sum.fixations++
		sum.fixationMS += max(0, length)
	case length > 0:
		key.place = s.placeOf(e)
		s.looks.sum(key).add(at, length)
	default:
		s.sample(e, key, at)
	}
}

// sample folds a gaze without a length. A run keeps the place and the quarter
// of its first sample.
func (s *State) sample(e *Event, key lookKey, at int64) {
	r := &s.looks.run
	if r.open && r.key.target == key.target && at-r.to <= longestHole {
		r.to = at
		return
	}
	s.looks.closeRun()
	key.place = s.placeOf(e)
	*r = run{open: true, key: key, from: at, to: at}
}

// closeRun ends the run and sums it if it was a look.
func (l *looks) closeRun() {
	if l.run.isLook() {
		l.sum(l.run.key).add(l.run.from, l.run.to-l.run.from)
	}
	l.run = run{}
}

func (r *run) isLook() bool { return r.open && r.to-r.from >= shortestLook }
