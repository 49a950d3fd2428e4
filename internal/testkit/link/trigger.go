package link

import "slices"

// Said is something that is said on a line: the N-th occurrence of Pattern in a
// direction, counted from 1; 0 is 1.
type Said struct {
	Direction Direction
	Pattern   string
	N         int
}

// What is said on lines to PostgreSQL and NATS, for [Said.Pattern].
const (
	// CommitAsked is a client's COMMIT, as a query without parameters. Cut there,
	// nothing was committed.
	CommitAsked = "Q\x00\x00\x00\x0bCOMMIT\x00"
	// CommitAnswered is the server's word that it has committed. Cut there, only
	// the client does not know.
	CommitAnswered = "C\x00\x00\x00\x0bCOMMIT\x00"
	// Published begins a client's publication to the stream of events.
	Published = "PUB nexero.events"
	// PublishAnswered is in the server's word that the stream of events has a
	// message. Cut there, only the publisher does not know.
	PublishAnswered = `{"stream":"EVENTS"`
	// Acked is a worker's acknowledgement. Cut there, the message comes again.
	Acked = "+ACK"
)

// CutOn arms a trigger. When all of steps have been said, one after the other,
// it resets the connection: everything before the last byte of the last pattern
// has passed by then, that byte and what follows it never does, in either
// direction.
//
// Occurrences do not overlap and may be spread over any number of packets. Those
// of the first step are counted over all connections together, as far as they
// pass after this call; later steps are looked for on the connection where the
// step before was completed. The channel is closed when the connection is cut. A
// trigger fires once.
func (l *Link) CutOn(steps ...Said) <-chan struct{} {
	fired := make(chan struct{})
	l.arm(l.cut, steps, func() { close(fired) })
	return fired
}

// HoldOn is CutOn with a black hole, for all connections and both directions, in
// place of the cut: what was held arrives after [Link.Pass].
func (l *Link) HoldOn(steps ...Said) <-chan struct{} {
	fired := make(chan struct{})
	l.arm(l.hold, steps, func() { close(fired) })
	return fired
}

// hold is a black hole for all connections. mu is held.
func (l *Link) hold(*pair) { l.held = [2]bool{true, true} }

// arm calls told, with mu, after the trigger has acted.
func (l *Link) arm(act func(*pair), steps []Said, told func()) {
	t := &trigger{act: act, steps: slices.Clone(steps), told: told}
	if slices.ContainsFunc(steps, func(s Said) bool { return s.Pattern == "" }) || len(steps) == 0 {
		panic("link: a trigger needs something that is said")
	}
	for i := range t.steps {
		t.steps[i].N = max(t.steps[i].N, 1)
		t.borders = append(t.borders, borders(t.steps[i].Pattern))
	}
	l.command(func() { l.triggers = append(l.triggers, t) })
}

// trigger acts when something was said. The link's mu guards it.
type trigger struct {
	steps   []Said
	borders [][]int
	// count is of the first step, over all connections.
	count int
	act   func(*pair) // called with mu
	told  func()
}

// progress is how far one connection is with a trigger. One that was opened
// before the trigger was armed begins with what passes then.
type progress struct {
	step    int
	count   int // of this step, on this connection; unused for the first
	matched int // bytes of the pattern that were said last
}

// look counts what piece says and returns how much of it passes: all, or what
// lies before the last byte that makes the returned trigger fire.
func (l *Link) look(p *pair, d Direction, piece []byte) (n int, fired *trigger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.triggers) == 0 {
		return len(piece), nil
	}
	for i, c := range piece {
		for at, t := range l.triggers {
			if t.hear(p, d, c) {
				l.triggers = slices.Delete(l.triggers, at, at+1)
				return i, t
			}
		}
	}
	return len(piece), nil
}

// hear takes one byte and reports whether it completes the last step.
func (t *trigger) hear(p *pair, d Direction, c byte) bool {
	at := p.matched[t]
	if at == nil {
		at = &progress{}
		p.matched[t] = at
	}
	step := &t.steps[at.step]
	if step.Direction != d {
		return false
	}
	for at.matched > 0 && step.Pattern[at.matched] != c {
		at.matched = t.borders[at.step][at.matched-1]
	}
	if step.Pattern[at.matched] == c {
		at.matched++
	}
	if at.matched < len(step.Pattern) {
		return false
	}
	at.matched = 0
	count := &at.count
	if at.step == 0 {
		count = &t.count
	}
	if *count++; *count != step.N {
		return false
	}
	at.step, at.count = at.step+1, 0
	return at.step == len(t.steps)
}

// fire acts.
func (l *Link) fire(p *pair, t *trigger) {
	l.command(func() {
		t.act(p)
		l.counts.Fired++
		t.told()
	})
}

// borders returns, for each length, how many of the first bytes of pattern are
// also the last ones of that many: where a search goes on after a mismatch.
func borders(pattern string) []int {
	all := make([]int, len(pattern))
	for i, k := 1, 0; i < len(pattern); i++ {
		for k > 0 && pattern[k] != pattern[i] {
			k = all[k-1]
		}
		if pattern[k] == pattern[i] {
			k++
		}
		all[i] = k
	}
	return all
}
