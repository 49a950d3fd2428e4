package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// headset is one headset during a run. It is remade for each reading of its
// stream.
type headset struct {
	run    *Run
	number int
	client *client
	plan   *layout // of the showroom it lies in
	yield  func(Post) bool

	// outbox holds what will be sent, in order of time.
	outbox []Post
	// stopped is set when nobody reads on.
	stopped bool
	// known are the customers who have worn it.
	known []string
}

func newHeadset(run *Run, number int, yield func(Post) bool) *headset {
	r := run.chances(number, 0, forHeadset)
	h := &headset{run: run, number: number, yield: yield}
	h.plan = run.plans[r.IntN(len(run.plans))]
	h.client = newClient(r, &run.options.Habits, run.startMS)
	return h
}

// Between two wearers a headset is wiped and handed over, in milliseconds.
const (
	shortestBreak = 20_000
	longestBreak  = 150_000
	shortestTour  = 15_000
)

// play plays the headset from the beginning to the end of the run and sends what
// is left then.
func (h *headset) play() {
	r := h.run.chances(h.number, 0, forHeadset)
	at := r.Int64N(min(45_000, h.run.endMS/4))
	for tour := 0; at+shortestTour < h.run.endMS && !h.stopped; tour++ {
		at = h.tour(tour, at)
		at += shortestBreak + r.Int64N(longestBreak-shortestBreak)
	}
	h.emit(math.MaxInt64)
}

// put plans a post. Of equal times the one that was put first goes first.
func (h *headset) put(post Post, at int64) {
	post.AtMS, post.Headset = at, h.number
	i := sort.Search(len(h.outbox), func(i int) bool { return h.outbox[i].AtMS > at })
	h.outbox = slices.Insert(h.outbox, i, post)
}

// emit hands out what is due until a time.
func (h *headset) emit(until int64) {
	due := 0
	for due < len(h.outbox) && h.outbox[due].AtMS <= until && !h.stopped {
		h.stopped = !h.yield(h.outbox[due])
		due++
	}
	h.outbox = slices.Delete(h.outbox, 0, due)
}

// forget drops what a crashed application had still to send.
func (h *headset) forget(session *session, after int64) {
	h.outbox = slices.DeleteFunc(h.outbox, func(p Post) bool { return p.AtMS > after && p.said.session == session })
}

// How long people stay, in milliseconds.
const (
	usualStay   = 270_000
	longestStay = 1_500_000
	// closing is how long before the end of the run the last ones are asked to
	// leave, so that nothing happens behind it.
	closing = 2_500
)

// tour plays one tour and returns when it ends.
func (h *headset) tour(number int, at int64) int64 {
	r := h.run.chances(h.number, number, forVisitor)
	plan := h.plan
	if elsewhere := h.run.plans[r.IntN(len(h.run.plans))]; chance(r, 0.25) {
		plan = elsewhere
	}
	customer := h.customer(r, number)
	length := min(span(r, usualStay, 30_000, longestStay), h.run.endMS-closing-at)
	v := newVisitor(r, plan, at, length, h.run.options.Rate)
	a := newApp(h, number, plan, customer, at, length)
	a.begin()
	v.tour(a)
	return a.finish()
}

// customer says who comes: somebody new, somebody who was here before, or
// somebody without a name.
func (h *headset) customer(r *rand.Rand, tour int) string {
	draw, which := r.Float64(), r.IntN(1<<30)
	switch {
	case draw < 0.2:
		return ""
	case draw < 0.5 && len(h.known) > 0:
		return h.known[which%len(h.known)]
	}
	name := fmt.Sprintf("VISITOR-%d-%04d-%02d", h.run.options.Seed, h.number+1, tour+1)
	h.known = append(h.known, name)
	return name
}
