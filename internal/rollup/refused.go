package rollup

import (
	"sync"
	"time"
)

const (
	// refusedPause is how long a session is left alone that cannot be rolled up.
	refusedPause = 5 * time.Minute
	// refusedAfter is how often a session must fail by itself, while others
	// work, when the store does not say that it refuses it.
	refusedAfter = 3
	// maxRefused is how many sessions that failed are remembered.
	maxRefused = 1000
)

// refusals are the sessions that failed by themselves. Those that the store
// refuses are postponed, so that they do not fail the roll-ups of others again
// and again. All loops share it. The zero value is ready to use.
type refusals struct {
	mu       sync.Mutex // guards what follows
	failures map[int64]failure
	// lastWorked is when a roll-up last stored something.
	lastWorked time.Time
}

// failure is what is known of a session that failed by itself.
type failure struct {
	times int
	at    time.Time // the last time that counted
	until time.Time // left alone until then; zero while it is not
}

// has reports whether the session is to be left alone.
func (r *refusals) has(session int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.failures[session].until)
}

// failed takes note of a session that failed by itself, and reports whether it
// is left alone from now on. A store that is away fails every session: only
// failures with a success between them say something about this one.
func (r *refusals) failed(session int64, class Class) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	f := r.failures[session]
	if f.times == 0 || r.lastWorked.After(f.at) {
		f.times, f.at = f.times+1, now
	}
	refused := class == ClassData || f.times >= refusedAfter
	if refused {
		f.until = now.Add(refusedPause)
	}
	if r.failures == nil {
		r.failures = make(map[int64]failure)
	}
	for other := range r.failures {
		if len(r.failures) < maxRefused {
			break
		}
		delete(r.failures, other) // forgotten; it fails again if it must
	}
	r.failures[session] = f
	return refused
}

// worked takes note of a roll-up that was committed.
func (r *refusals) worked(f *folding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stored := len(f.sessions) > f.counts[outcomePostponed]
	if stored {
		r.lastWorked = time.Now()
	}
	for _, session := range f.sessions {
		// One that was left alone has not worked.
		if !time.Now().Before(r.failures[session].until) {
			delete(r.failures, session)
		}
	}
}
