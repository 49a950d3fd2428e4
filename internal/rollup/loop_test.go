package rollup

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// failing fails an operation until a moment, in its two forms: nothing was
// stored, or everything was but the answer was lost.
func failing(operation string, until time.Time, f fault) func(string, []int64) *fault {
	return func(asked string, _ []int64) *fault {
		if asked == operation && time.Now().Before(until) {
			return &f
		}
		return nil
	}
}

// rule 4
func TestLoop_StoreAway(t *testing.T) {
	t.Parallel()
	for _, persisted := range []bool{false, true} {
		for _, operation := range []string{"roll", "customers"} {
			t.Run(fmt.Sprintf("%s, persisted %v", operation, persisted), func(t *testing.T) {
				t.Parallel()
				inBubble(t, Options{Loops: 2}, func(b *bench) {
					b.store.fault = failing(operation, time.Now().Add(100*time.Second), fault{err: errBroken, done: persisted})
					b.load(1, 2, 3)
					b.start()
					b.pass(50 * time.Second)
					b.wantReady("roll-ups fail since")
					b.load(2)
					if n := len(b.store.made(operation)); n > 2*60 {
						b.Errorf("%d attempts in 50 s: there are no growing pauses", n)
					}
					b.pass(55 * time.Second)
					b.wantReady("") // within 5 s of the store's return
					b.pass(2 * time.Second)
					b.wantExact()
					b.wantCount("loops in trouble", b.roller.metrics.troubled, 0)
					for text, want := range map[string]int{"trying again": 1, "work again": 1, "left alone": 0} {
						if got := b.log.count(text); got != want {
							b.Errorf("%q is logged %d times, want %d", text, got, want)
						}
					}
					if err := b.stop(); err != nil {
						b.Errorf("Run: %v", err)
					}
				})
			})
		}
	}
}

// A store that needs a person ends Run, loudly and with all goroutines.
func TestLoop_StoreNeedsAPerson(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"roll", "customers"} {
		inBubble(t, Options{Loops: 2}, func(b *bench) {
			b.store.fault = failing(operation, time.Now().Add(time.Hour), fault{err: errSchema})
			b.start()
			if err := <-b.ended; err == nil || !strings.Contains(err.Error(), "needs a person") {
				b.Errorf("Run: %v", err)
			}
			b.cancel()
		})
	}
}

// One session that the store refuses costs its neighbours a moment and is tried
// again later.
//
// rule 5
func TestLoop_RefusedSessionIsAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 16}, func(b *bench) {
		var taken atomic.Bool
		b.store.fault = func(_ string, claimed []int64) *fault {
			if !taken.Load() && slices.Contains(claimed, 21) {
				// A postponed session is not written, so it is not refused.
				if b.roller.refused.has(21) {
					return nil
				}
				return &fault{err: errRefused}
			}
			return nil
		}
		b.load(numbers(100)...)
		b.start()
		b.pass(10 * time.Second)
		if n := b.store.touched(); n != 1 {
			b.Errorf("%d touches left, want that of the refused session", n)
		}
		b.wantReady("") // the store works
		b.wantCount("refused", b.roller.metrics.refused, 1)
		attempts := func() int {
			n := 0
			for _, c := range b.store.made("roll") {
				if c.err != nil {
					n++
				}
			}
			return n
		}
		if n := attempts(); n > 6 {
			b.Errorf("%d roll-ups failed to find one session among 16", n)
		}
		before := attempts()
		b.load(numbers(100)...)
		b.pass(4 * time.Minute)
		if n := attempts() - before; n > 0 {
			b.Errorf("%d roll-ups failed while the session should be left alone", n)
		}
		taken.Store(true)
		b.pass(2 * time.Minute)
		b.wantExact()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A session that the store cannot do in its time makes roll-ups smaller, not
// slower for ever: after some attempts by itself it is left alone.
func TestLoop_SessionThatTimesOut(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 16}, func(b *bench) {
		b.store.fault = func(_ string, claimed []int64) *fault {
			if slices.Contains(claimed, 21) && !b.roller.refused.has(21) {
				return &fault{err: errBroken, takes: time.Second}
			}
			return nil
		}
		b.start()
		for range 200 {
			b.load(numbers(40)...)
			b.pass(time.Second)
		}
		b.wantCount("refused", b.roller.metrics.refused, 1)
		failed := 0
		for _, c := range b.store.made("roll") {
			if c.err != nil {
				failed++
			}
		}
		if failed > 6*refusedAfter {
			b.Errorf("%d roll-ups failed because of one session", failed)
		}
		b.wantReady("")
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A session that the store cannot even read does not keep the others waiting,
// though nobody is asked about it before.
//
// rule 5
func TestLoop_SessionThatCannotBeRead(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 16}, func(b *bench) {
		b.store.fault = func(operation string, claimed []int64) *fault {
			if operation == "roll: read" && slices.Contains(claimed, 21) {
				return &fault{err: errBroken, takes: time.Second}
			}
			return nil
		}
		b.load(numbers(100)...)
		b.start()
		b.pass(2 * time.Minute)
		if n := b.store.touched(); n != 1 {
			b.Errorf("%d touches left, want that of the session that cannot be read", n)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// What is remembered of sessions that fail is bounded, and forgotten when they
// work.
//
// rule 9
func TestRefusals_Bounded(t *testing.T) {
	t.Parallel()
	var r refusals
	for session := range int64(3 * maxRefused) {
		r.failed(session, ClassData)
	}
	if n := len(r.failures); n != maxRefused {
		t.Errorf("%d sessions remembered, want %d", n, maxRefused)
	}
	if !r.has(3*maxRefused - 1) {
		t.Error("the latest one is forgotten")
	}
	r = refusals{}
	for range 2 * refusedAfter {
		if r.failed(1, ClassRetry) {
			t.Error("a session is blamed for a store that is away")
		}
	}
	r.worked(&folding{sessions: []int64{1}})
	if len(r.failures) != 0 {
		t.Error("a session that works is still remembered")
	}
}

// What is too much for one roll-up of customers is tried with fewer, down to one,
// and more again when that works; what the store refuses with one at once.
func TestLoop_FewerCustomersAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want []int
	}{{errBroken, []int{256, 5, 2, 1, 2, 4, 8}}, {errRefused, []int{256, 1, 1, 1, 2, 4, 8}}} {
		inBubble(t, Options{}, func(b *bench) {
			b.store.customers = 10
			failures := 0
			b.store.fault = func(operation string, _ []int64) *fault {
				if operation == "customers" && failures < 3 {
					failures++
					return &fault{err: test.err}
				}
				return nil
			}
			b.start()
			b.pass(10 * time.Second)
			if err := b.stop(); err != nil {
				b.Errorf("Run: %v", err)
			}
			if got := b.store.customerLimits; len(got) < len(test.want) || !slices.Equal(got[:len(test.want)], test.want) {
				b.Errorf("limits %v, want %v", got, test.want)
			}
			if b.store.customers != 0 {
				b.Errorf("%d customers left", b.store.customers)
			}
		})
	}
}
