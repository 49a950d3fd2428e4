package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// arrival is one caller of a drawn schedule.
type arrival struct {
	name    string
	at      time.Duration
	size    int
	timeout time.Duration
	leaves  time.Duration // 0: stays to the end
}

// schedule is a drawn run: who comes when, what the queue does, how tight the
// bounds are.
type schedule struct {
	arrivals []arrival
	fates    []fate
	options  Options
	drainAt  time.Duration
}

func drawFate() *rapid.Generator[fate] {
	return rapid.Custom(func(t *rapid.T) fate {
		f := fate{
			after:   time.Duration(rapid.IntRange(0, 3000).Draw(t, "after_ms")) * time.Millisecond,
			persist: rapid.Bool().Draw(t, "persist"),
		}
		switch rapid.SampledFrom([]string{"ack", "ack", "ack", "unknown", "full", "large", "silent", "panic"}).Draw(t, "answer") {
		case "ack":
			f.persist = true // an acknowledgement of nothing would be the queue's fault
		case "unknown":
			f.answer = ErrUnknownOutcome
		case "full":
			f.answer, f.persist = ErrFull, false
		case "large":
			f.answer, f.persist = ErrTooLarge, false
		case "silent":
			f.silent = true
		case "panic":
			f.panicked = true
		}
		return f
	})
}

func drawSchedule(t *rapid.T) schedule {
	s := schedule{options: DefaultOptions()}
	s.options.EnvelopeBytes = rapid.IntRange(200, 5000).Draw(t, "envelope_bytes")
	s.options.MaxEnvelopesInFlight = rapid.IntRange(1, 4).Draw(t, "in_flight")
	s.options.MaxPendingBytes = rapid.IntRange(3000, 20_000).Draw(t, "pending_bytes")
	s.fates = rapid.SliceOfN(drawFate(), 0, 40).Draw(t, "fates")
	s.drainAt = time.Duration(rapid.IntRange(0, 20_000).Draw(t, "drain_ms")) * time.Millisecond
	at := time.Duration(0)
	for i := range rapid.IntRange(1, 60).Draw(t, "callers") {
		at += time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 20, 700}).Draw(t, "gap_ms")) * time.Millisecond
		a := arrival{
			name: fmt.Sprint("b", i), at: at,
			size:    rapid.IntRange(0, 2000).Draw(t, "size"),
			timeout: time.Duration(rapid.IntRange(1, 5000).Draw(t, "timeout_ms")) * time.Millisecond,
		}
		if rapid.IntRange(0, 9).Draw(t, "leaves") == 0 {
			a.leaves = a.timeout / 2
		}
		s.arrivals = append(s.arrivals, a)
	}
	return s
}

// run plays the schedule and returns every broken promise.
func (s schedule) run(t *testing.T) (wrong []string) {
	t.Helper()
	q := newModelQueue(script(s.fates...))
	c := testCommitter(t, q, func(o *Options) { *o = s.options })
	var mu sync.Mutex
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	var joined, acknowledged []string
	start := time.Now()
	var callers sync.WaitGroup
	for _, a := range s.arrivals {
		batch := encodedBatch(t, a.name, a.size)
		<-time.After(time.Until(start.Add(a.at)))
		ctx, cancel := context.WithTimeout(t.Context(), a.timeout)
		if a.leaves > 0 {
			time.AfterFunc(a.leaves, cancel)
		}
		submitted := time.Now()
		g, err := c.join(ctx, batch)
		clear(batch) // the caller may recycle it at once
		if err == nil {
			joined = append(joined, a.name)
		} else if !errors.Is(err, ErrOverloaded) {
			complain("%s: join: %v", a.name, err)
		}
		callers.Go(func() {
			defer cancel()
			if g == nil {
				return
			}
			err := g.wait(ctx)
			if took := time.Since(submitted); took > a.timeout {
				complain("%s was answered after %s, its deadline was %s", a.name, took, a.timeout)
			}
			if err == nil {
				if !q.holds(a.name) {
					complain("%s was acknowledged and is not stored", a.name) // rule 1
				}
				mu.Lock()
				acknowledged = append(acknowledged, a.name)
				mu.Unlock()
			}
		})
	}
	<-time.After(time.Until(start.Add(s.drainAt)))
	if err := c.Drain(t.Context()); err != nil {
		complain("drain: %v", err)
	}
	callers.Wait()
	return append(wrong, s.judge(c, q, joined, acknowledged)...)
}

// judge looks at what is left when everything has ended.
func (s schedule) judge(c *committer, q *modelQueue, joined, acknowledged []string) []string {
	byEnvelope, wrong := q.batches() // rule 2: nothing twice
	place := map[string]int{}
	for i, name := range joined {
		place[name] = i
	}
	for i, names := range byEnvelope {
		if !slices.IsSortedFunc(names, func(a, b string) int { return place[a] - place[b] }) {
			wrong = append(wrong, fmt.Sprintf("an envelope is out of order: %v", names))
		}
		if size := len(q.stored[q.ids[i]]); size > s.options.EnvelopeBytes && len(names) > 1 {
			wrong = append(wrong, fmt.Sprintf("an envelope of %d batches has %d bytes", len(names), size))
		}
	}
	for _, name := range acknowledged {
		if !q.holds(name) {
			wrong = append(wrong, name+" was acknowledged and is gone")
		}
	}
	if q.mostFly > s.options.MaxEnvelopesInFlight {
		wrong = append(wrong, fmt.Sprintf("%d envelopes were in flight at once", q.mostFly))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != 0 || c.inFlight != 0 || c.open != nil || len(c.ready) != 0 {
		wrong = append(wrong, fmt.Sprintf("left behind: %d bytes, %d flights", c.held, c.inFlight))
	}
	return wrong
}

// rules 1, 2, 9, 10
func TestCommit_AnySchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSchedule(rt)
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = s.run(t) })
		if len(wrong) > 0 {
			rt.Fatalf("broken promises: %q", wrong)
		}
	})
}
