package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/sim"
)

// load is headsets as a client would write them: each repeats a post until it is
// acknowledged, waits as it is told to, and never gives up. What each attempt
// came to is measured.
type load struct {
	*traffic

	meter *meter
}

// startLoad lets some headsets post with a mean pause between two posts.
func startLoad(ctx context.Context, a *act, number int, pauses time.Duration) (*load, error) {
	run, err := sim.New(sim.Options{
		Seed: a.seed, Headsets: number, Start: time.Now().Add(-tourLength).Truncate(time.Second),
		Duration: tourLength, Habits: sim.Usual(),
	})
	if err != nil {
		return nil, err
	}
	m := &meter{next: &http.Transport{MaxIdleConnsPerHost: number}}
	l := &load{meter: m, traffic: &traffic{
		ledger: a.ledger, first: a.key, stop: make(chan struct{}),
		client: &http.Client{Timeout: attemptTimeout, Transport: m},
	}}
	for _, ingest := range a.of(kindIngest) {
		l.bases = append(l.bases, ingest.listen)
	}
	for n := range number {
		h := &headset{traffic: l.traffic, number: n, chances: rand.New(rand.NewPCG(a.seed, uint64(n))), next: n}
		l.group.Go(func() {
			if err := h.persist(ctx, run, number, pauses); err != nil {
				l.fail(err)
			}
		})
	}
	return l, nil
}

// persist plays tours one after the other, every number-th, until it is stopped.
func (h *headset) persist(ctx context.Context, run *sim.Run, number int, pauses time.Duration) error {
	for tour := h.number; ; tour += number {
		for post := range run.Headset(tour) {
			if err := h.insist(ctx, &post); err != nil {
				return err
			}
			select {
			case <-h.stop:
				return nil
			case <-ctx.Done():
				return nil
			case <-time.After(time.Duration(h.chances.Int64N(int64(2 * pauses)))):
			}
		}
	}
}

// insist repeats the same bytes until they are acknowledged.
func (h *headset) insist(ctx context.Context, post *sim.Post) error {
	id, err := h.ledger.plan(*post, false)
	if err != nil {
		return err
	}
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		base := h.bases[h.next%len(h.bases)]
		h.next++
		f, retryAfter := h.ask(ctx, base, id, post)
		h.ledger.attempted(id, f)
		if f == fateAcknowledged || f == fateRefused || !pause(ctx, max(wait, min(retryAfter, longestWait))) {
			h.ledger.ended(f)
			return nil
		}
	}
}

// heard is what one attempt came to.
type heard struct {
	host       string
	begun      time.Time
	took       time.Duration
	status     int // 0: no answer
	retryAfter bool
}

// meter measures every attempt of the clients that use it. It may be used by
// many at once.
type meter struct {
	next http.RoundTripper

	mu  sync.Mutex
	all []heard
}

// RoundTrip implements [http.RoundTripper].
func (m *meter) RoundTrip(request *http.Request) (*http.Response, error) {
	h := heard{host: request.URL.Host, begun: time.Now()}
	response, err := m.next.RoundTrip(request)
	h.took = time.Since(h.begun)
	if err == nil {
		h.status, h.retryAfter = response.StatusCode, response.Header.Get("Retry-After") != ""
	}
	m.note(h)
	return response, err
}

func (m *meter) note(h heard) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, h)
}

// attempts sums up some of them.
type attempts struct {
	statuses          map[int]int
	accepted, refused []time.Duration
	// mute are refusals that say nothing of when to come again.
	mute int
}

// between sums up the attempts that began in a span of time.
func (m *meter) between(from, to time.Time) *attempts {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &attempts{statuses: map[int]int{}}
	for _, h := range m.all {
		if h.begun.Before(from) || !h.begun.Before(to) {
			continue
		}
		t.statuses[h.status]++
		switch {
		case h.status >= 200 && h.status < 300:
			t.accepted = append(t.accepted, h.took)
		case h.status > 0:
			t.refused = append(t.refused, h.took)
			if !h.retryAfter {
				t.mute++
			}
		}
	}
	return t
}

// unwell counts the attempts that were not accepted.
func (t *attempts) unwell() int { return t.others() - len(t.accepted) }

// others counts the attempts that came to none of some statuses.
func (t *attempts) others(statuses ...int) int {
	n := 0
	for status, times := range t.statuses {
		if !slices.Contains(statuses, status) {
			n += times
		}
	}
	return n
}

// String lists how many attempts came to which status.
func (t *attempts) String() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(t.statuses)) {
		name := strconv.Itoa(status)
		if status == 0 {
			name = "no answer"
		}
		parts = append(parts, fmt.Sprintf("%d × %s", t.statuses[status], name))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// firstAccepted returns when each of some hosts first answered well to an
// attempt that was under way at or after from.
func (m *meter) firstAccepted(from time.Time, hosts []string) (when time.Time, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := map[string]time.Time{}
	for _, h := range m.all {
		answered := h.begun.Add(h.took)
		if h.status < 200 || h.status > 299 || answered.Before(from) {
			continue
		}
		if was, ok := first[h.host]; !ok || answered.Before(was) {
			first[h.host] = answered
		}
	}
	for _, host := range hosts {
		at, ok := first[host]
		if !ok {
			return when, false
		}
		if at.After(when) {
			when = at
		}
	}
	return when, true
}
