package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A live session is rolled up about every interval, and facts are no older than
// that and a pause.
func TestRun_LiveSession(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.wantReady("not started")
		b.start()
		for range 100 {
			b.load(1, 2, 3)
			b.pass(200 * time.Millisecond)
		}
		b.wantReady("")
		b.pass(5 * time.Second)
		b.wantExact()
		rolls := 0
		for _, c := range b.store.made("roll") {
			if len(c.sessions) > 0 {
				rolls++
			}
		}
		if rolls < 9 || rolls > 12 {
			b.Errorf("%d roll-ups in 20 s, want one for all sessions every 2 s", rolls)
		}
		for _, c := range b.store.made("roll") {
			b.store.mu.Lock()
			if age := b.oldestAge(c); age > 2500*time.Millisecond {
				b.Errorf("a batch waited for %s", age)
			}
			b.store.mu.Unlock()
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		b.wantReady("stopping")
		want := `
# HELP nexero_rollup_events_folded_total Events folded, those of recomputed sessions again.
# TYPE nexero_rollup_events_folded_total counter
nexero_rollup_events_folded_total 300
`
		if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "nexero_rollup_events_folded_total"); err != nil {
			b.Error(err)
		}
		b.wantCount("first", b.roller.metrics.sessions.WithLabelValues("first"), 3)
		b.wantCount("recomputed", b.roller.metrics.sessions.WithLabelValues("recomputed"), 0)
		if n := testutil.CollectAndCount(b.roller.metrics.freshness); n != 1 {
			b.Error("no freshness was observed")
		}
	})
}

// oldestAge is how old the oldest batch was that a call rolled up: the time
// since the call before it, at most. It is called with the store's lock held.
func (b *bench) oldestAge(c call) time.Duration {
	oldest := time.Duration(0)
	for _, session := range c.sessions {
		previous := time.Time{}
		for _, other := range b.store.calls {
			if other.what == "roll" && other.at.Before(c.at) && slices.Contains(other.sessions, session) {
				previous = other.at
			}
		}
		for _, batch := range b.tours[session] {
			if batch.receivedAt.After(previous) && !batch.receivedAt.After(c.at) {
				oldest = max(oldest, c.at.Sub(batch.receivedAt))
			}
		}
	}
	return oldest
}

// While much is due there is no pause, and each loop goes its own way round.
func TestRun_CatchesUp(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 10, Loops: 3}, func(b *bench) {
		b.load(numbers(1000)...)
		b.start()
		b.pass(time.Millisecond)
		b.wantExact()
		b.wantCount("rolled up", b.roller.metrics.sessions.WithLabelValues("first"), 1000)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// Without work the store is asked once a pause, not more.
func TestRun_IdleIsCheap(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.start()
		b.pass(10 * time.Second)
		if n := len(b.store.made("roll")); n < 39 || n > 42 {
			b.Errorf("%d looks for sessions in 10 s, want 40", n)
		}
		if n := len(b.store.made("customers")); n < 39 || n > 42 {
			b.Errorf("%d looks for customers in 10 s, want 40", n)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestRun_Customers(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.customers = 3*customersLimit + 5
		b.start()
		b.pass(time.Millisecond)
		b.wantCount("customers", b.roller.metrics.customers, 3*customersLimit+5)
		if n := len(b.store.made("customers")); n != 4 {
			b.Errorf("%d roll-ups of customers, want 4 without a pause", n)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// While the queue is behind roll-ups wait, but never stand still; when it is
// not any more they go on at once.
func TestRun_YieldsToLoads(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.setBehind(true)
		b.start()
		b.pass(time.Millisecond)
		b.load(1)
		b.pass(4900 * time.Millisecond)
		if b.store.touched() == 0 {
			b.Error("rolled up while loads should go first")
		}
		b.pass(200 * time.Millisecond)
		if b.store.touched() > 0 {
			b.Error("a queue that is behind stops roll-ups for good")
		}
		b.pass(time.Minute)
		if n := len(b.store.made("roll")); n < 12 || n > 14 {
			b.Errorf("%d roll-ups in 65 s, want one every 5 s", n)
		}
		calls := len(b.store.made("roll")) + len(b.store.made("customers"))
		// Neither loop yields before its first roll-up.
		if n := int(testutil.ToFloat64(b.roller.metrics.yields)); n < calls-2 || n > calls {
			b.Errorf("%d yields for %d roll-ups", n, calls)
		}
		b.load(1)
		b.setBehind(false)
		b.pass(b.roller.opts.Pause)
		b.wantExact()
		b.setBehind(true)
		b.pass(time.Second)
		if err := b.stop(); err != nil { // a yield does not hold up the stop
			b.Errorf("Run: %v", err)
		}
	})
}

func TestRun_ShowsTheBacklog(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.fault = func(operation string, _ []int64) *fault {
			switch operation {
			case "roll":
				return &fault{err: errBroken}
			case "backlog":
				if len(b.store.made("roll")) < 5 {
					return &fault{err: errBroken}
				}
			}
			return nil
		}
		b.start()
		b.pass(time.Millisecond)
		b.load(1, 2)
		b.pass(20 * time.Second)
		b.wantCount("batches", b.roller.metrics.backlog, 2)
		if lag := testutil.ToFloat64(b.roller.metrics.lag); lag < 14 || lag > 20 {
			b.Errorf("a lag of %v s, want the age of what waits", lag)
		}
		b.wantCount("errors", b.roller.metrics.errors.WithLabelValues("backlog", "retry"), 1)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestRun_OnlyOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.start()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if err := b.roller.Run(b.Context()); err == nil {
			b.Error("a second Run went through")
		}
	})
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	store := newModelStore(time.Now)
	whole := Deps{
		Store: store, Archive: store, Forget: store.forget, ForgetSessions: store.forgetSessions, Behind: func(context.Context) bool { return false }, Classify: classify,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	if _, err := New(whole, Options{}); err != nil {
		t.Fatalf("New with the defaults: %v", err)
	}
	if _, err := New(whole, Options{}); err == nil {
		t.Error("metrics were registered twice")
	}
	for name, opts := range map[string]Options{"negative": {Sessions: -1}, "too many loops": {Loops: maxLoops + 1}} {
		deps := whole
		deps.Registerer = prometheus.NewRegistry()
		if _, err := New(deps, opts); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	for name, remove := range map[string]func(*Deps){
		"Store":      func(d *Deps) { d.Store = nil },
		"Archive":    func(d *Deps) { d.Archive = nil },
		"Forget":     func(d *Deps) { d.Forget = nil },
		"sessions":   func(d *Deps) { d.ForgetSessions = nil },
		"Behind":     func(d *Deps) { d.Behind = nil },
		"Classify":   func(d *Deps) { d.Classify = nil },
		"Log":        func(d *Deps) { d.Log = nil },
		"Registerer": func(d *Deps) { d.Registerer = nil },
	} {
		deps := whole
		deps.Registerer = prometheus.NewRegistry()
		remove(&deps)
		if _, err := New(deps, Options{}); err == nil {
			t.Errorf("New without %s went through", name)
		}
	}
}

func TestClass_String(t *testing.T) {
	t.Parallel()
	for class, want := range map[Class]string{ClassRetry: "retry", ClassStop: "stop", ClassData: "data", 9: "unknown"} {
		if got := class.String(); got != want {
			t.Errorf("Class(%d) = %q, want %q", class, got, want)
		}
	}
	if Class(0) != ClassRetry || classify(errors.New("unheard of")) != ClassRetry {
		t.Error("an error that nobody classified is not retried")
	}
}

// A roll-up in progress is finished within the drain, or rolled back: then its
// sessions are due again.
//
// rule 10
func TestRun_Stops(t *testing.T) {
	t.Parallel()
	for _, takes := range []time.Duration{4 * time.Second, time.Hour} {
		t.Run(fmt.Sprint(takes), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				b.store.fault = func(operation string, claimed []int64) *fault {
					if len(claimed) == 0 || operation != "roll" {
						return nil
					}
					return &fault{takes: takes}
				}
				b.load(1)
				b.start()
				b.pass(time.Second)
				began := time.Now()
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
				if took, want := time.Since(began), min(takes-time.Second, b.roller.opts.DrainTimeout); took != want {
					b.Errorf("stopped after %s, want %s", took, want)
				}
				if finished := b.store.touched() == 0; finished != (takes < b.roller.opts.DrainTimeout) {
					b.Errorf("finished %v", finished)
				}
			})
		})
	}
}
