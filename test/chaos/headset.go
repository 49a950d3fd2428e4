package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

// How much headsets post. Together about fifty posts a second: enough for a
// fault to hit something under way, little enough to balance the books soon.
const (
	headsets  = 12
	meanPause = 240 * time.Millisecond
	// tourLength is the simulated time of a round's run; headsets take further
	// numbers when a tour is over.
	tourLength = 4 * time.Minute
)

// How a headset behaves when no good answer comes.
const (
	attemptTimeout = 6 * time.Second // above the request time-out of an ingest
	mostAttempts   = 40
	longestPost    = 60 * time.Second
	shortestWait   = 50 * time.Millisecond
	longestWait    = time.Second

	impatience   = 0.08 // share of posts that are tried twice at most
	vanishMiddle = 0.02 // share of attempts that end in the middle of the body
	vanishAfter  = 0.01 // share of attempts that do not wait for the answer
)

// traffic is the headsets of one round.
type traffic struct {
	ledger *ledger
	client *http.Client
	bases  []string // ingests, as host:port
	stop   chan struct{}
	group  sync.WaitGroup

	once sync.Once
	err  error // of the first headset that could not go on

	// first is the key that stays valid, second one that does not.
	first  string
	mu     sync.Mutex
	second *lent

	mixed   atomic.Bool // an ingest's clock was set wrong
	expired bool        // what is posted now counts as received on a day that is over
}

// startTraffic lets headsets post until stopped. Their tours follow from seed
// and end now: what they say lies in the past.
func startTraffic(ctx context.Context, s *stand, l *ledger, seed uint64) (*traffic, error) {
	run, err := sim.New(sim.Options{
		Seed: seed, Headsets: headsets, Start: time.Now().Add(-tourLength).Truncate(time.Second),
		Duration: tourLength, Habits: sim.Usual(),
	})
	if err != nil {
		return nil, err
	}
	t := &traffic{
		ledger: l, first: s.key, stop: make(chan struct{}),
		client: &http.Client{Timeout: attemptTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: headsets}},
	}
	for _, ingest := range s.of(kindIngest) {
		t.bases = append(t.bases, ingest.listen)
	}
	for number := range headsets {
		h := &headset{traffic: t, number: number, chances: rand.New(rand.NewPCG(seed, uint64(number))), next: number}
		t.group.Go(func() {
			if err := h.play(ctx, run, number); err != nil {
				t.fail(err)
			}
		})
	}
	return t, nil
}

// fail keeps the first error of the harness itself.
func (t *traffic) fail(err error) { t.once.Do(func() { t.err = err }) }

// finish lets each headset end the post that it is at, and waits for all.
func (t *traffic) finish() error {
	close(t.stop)
	t.group.Wait()
	t.client.CloseIdleConnections()
	return t.err
}

// headset plays tours one after the other.
type headset struct {
	*traffic

	number  int
	chances *rand.Rand
	next    int   // the ingest that the next attempt goes to
	told    *lent // the second key that it knows to be revoked
}

func (h *headset) play(ctx context.Context, run *sim.Run, number int) error {
	for ; ; number += headsets {
		for post := range run.Headset(number) {
			if err := h.post(ctx, post); err != nil {
				return err
			}
			select {
			case <-h.stop:
				return nil
			case <-ctx.Done():
				return nil
			case <-time.After(time.Duration(h.chances.Int64N(int64(2 * meanPause)))):
			}
		}
	}
}

// post repeats the same bytes until an ingest takes or refuses them, or the
// headset gives up.
func (h *headset) post(ctx context.Context, post sim.Post) error {
	id, err := h.ledger.plan(post, h.expired)
	if err != nil {
		return err
	}
	attempts := mostAttempts
	if h.chances.Float64() < impatience {
		attempts = 2
	}
	known, wait, deadline := fateUnsent, shortestWait, time.Now().Add(longestPost)
	for range attempts {
		f, retryAfter := h.attempt(ctx, id, &post)
		h.ledger.attempted(id, f)
		known = max(known, f)
		if f == fateAcknowledged || f == fateRefused || time.Now().After(deadline) {
			break
		}
		// A long Retry-After is heard and cut: a run is short.
		if !pause(ctx, max(wait, min(retryAfter, longestWait))) {
			break
		}
		wait = min(2*wait, longestWait)
	}
	h.ledger.ended(known)
	return nil
}

// attempt posts once, to the ingests in turn.
func (h *headset) attempt(ctx context.Context, id event.UUID, post *sim.Post) (f fate, retryAfter time.Duration) {
	base := h.bases[h.next%len(h.bases)]
	h.next++
	switch habit := h.chances.Float64(); {
	case habit < vanishMiddle:
		h.ledger.vanished()
		return h.vanish(ctx, base, post, len(post.Body)/2), 0
	case habit < vanishMiddle+vanishAfter:
		h.ledger.vanished()
		return h.vanish(ctx, base, post, len(post.Body)), 0
	default:
		return h.ask(ctx, base, id, post)
	}
}
