package rollup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/facts"
)

// Sessions are rolled up and sealed before their raw events are dropped, what
// they added stays, and later events are added to it.
//
// rule 4
func TestRetention_SealsThenDrops(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 8}, func(b *bench) {
		b.store.partitions = []facts.Expired{{Partition: "events_pose_20260101", Poses: true}, {Partition: "events_other_20250101"}}
		b.load(numbers(50)...)
		b.start()
		b.pass(time.Second)
		if diff := cmp.Diff([]string{"events_pose_20260101", "events_other_20250101"}, b.store.dropped); diff != "" {
			b.Errorf("dropped (-want +got):\n%s", diff)
		}
		b.wantExact()
		b.wantCount("sealed", b.roller.metrics.sealed, 50)
		b.wantCount("dropped", b.roller.metrics.dropped, 2)
		before := b.store.aggregates
		b.load(7)
		b.pass(3 * time.Second)
		b.wantCount("absorbed", b.roller.metrics.sessions.WithLabelValues("absorbed"), 1)
		added := facts.Difference(b.store.aggregates, before)
		if len(added) == 0 {
			b.Error("a later event of a sealed session is not counted")
		}
		for _, row := range added {
			if row.Refs < 0 {
				b.Errorf("history was taken out of %+v", row.Key)
			}
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A round comes at once and then every hour; a failure waits for the next one
// and keeps nothing else.
func TestRetention_Fails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		operation string
		err       error
		dropped   []string // in the first round
	}{
		{"expired", errBroken, nil},
		{"seal", errBroken, nil},
		{"drop events_pose_20260101", errBroken, []string{"events_other_20250101"}},
		{"drop events_pose_20260101", errSchema, []string{"events_other_20250101"}},
	} {
		t.Run(test.operation, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				b.store.partitions = []facts.Expired{{Partition: "events_pose_20260101", Poses: true}, {Partition: "events_other_20250101"}}
				b.store.fault = failing(test.operation, time.Now().Add(30*time.Minute), fault{err: test.err})
				b.load(1)
				b.start()
				b.pass(59 * time.Minute)
				if !slices.Equal(b.store.dropped, test.dropped) {
					b.Errorf("dropped %v, want %v", b.store.dropped, test.dropped)
				}
				want := 1
				if test.operation == "seal" {
					want = 2 // one for each partition
				}
				if got := b.log.count("longer than they should"); got != want {
					b.Errorf("logged %d times, want %d", got, want)
				}
				b.wantReady("") // loads and roll-ups do not need it
				if n := len(b.store.made("expired")); n != 1 {
					b.Errorf("%d rounds in the first hour", n)
				}
				b.pass(2 * time.Minute)
				if len(b.store.dropped) != 2 {
					b.Errorf("dropped %v after the second round", b.store.dropped)
				}
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// A session that cannot be sealed keeps its day, and that day only; all others
// are sealed.
func TestRetention_SessionThatCannotBeSealed(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 8}, func(b *bench) {
		b.store.partitions = []facts.Expired{{Partition: "events_pose_20260101", Poses: true}}
		b.load(numbers(50)...)
		b.store.fault = func(operation string, claimed []int64) *fault {
			if operation == "seal" && slices.Contains(claimed, 21) && !b.roller.refused.has(21) {
				return &fault{err: errRefused}
			}
			return nil
		}
		b.start()
		b.pass(time.Minute)
		if len(b.store.dropped) > 0 {
			b.Error("dropped")
		}
		b.wantCount("sealed", b.roller.metrics.sealed, 49)
		if got := b.log.count("cannot be sealed"); got != 1 {
			b.Errorf("logged %d times, want once", got)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A stop ends a round between two roll-ups.
//
// rule 10
func TestRetention_Stops(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Sessions: 1}, func(b *bench) {
		b.store.partitions = []facts.Expired{{Partition: "events_pose_20260101", Poses: true}}
		b.load(numbers(50)...)
		b.store.fault = func(operation string, _ []int64) *fault {
			if operation == "seal" {
				return &fault{takes: time.Second}
			}
			return nil
		}
		b.start()
		b.pass(10500 * time.Millisecond)
		began := time.Now()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took > time.Second || len(b.store.dropped) > 0 {
			b.Errorf("stopped after %s, dropped %v", took, b.store.dropped)
		}
		if n := b.log.count("level=ERROR"); n > 0 {
			b.Errorf("a stop is logged as an error:\n%s", strings.TrimSpace(b.log.out.String()))
		}
	})
}

// Ledger rows go a few at a time, until none are left; when the queue does not
// say how far back it goes, the next round tries again.
func TestRetention_Forgets(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.ledger = 50
		b.store.fault = failing("forget", time.Now().Add(30*time.Minute), fault{err: errBroken})
		b.start()
		b.pass(59 * time.Minute)
		if b.store.ledger != 50 || b.log.count("longer than they should") != 1 {
			b.Errorf("%d rows left, logged %d times", b.store.ledger, b.log.count("longer than they should"))
		}
		b.wantReady("")
		b.pass(2 * time.Minute)
		b.wantCount("forgotten", b.roller.metrics.forgotten, 50)
		b.store.mu.Lock()
		b.store.ledger = 1
		b.store.mu.Unlock()
		b.pass(time.Hour)
		b.wantCount("forgotten", b.roller.metrics.forgotten, 51)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// rule 10: a stop does not wait for the last row.
func TestRetention_StopsForgetting(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.ledger = 7000
		b.store.fault = func(operation string, _ []int64) *fault {
			if operation == "forget" {
				return &fault{takes: time.Second}
			}
			return nil
		}
		b.start()
		b.pass(10500 * time.Millisecond)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if b.store.ledger < 7000-7*12 {
			b.Errorf("%d rows left", b.store.ledger)
		}
	})
}

// Old sessions go until none are left. A failure is tried again at once, with
// what is left; one that does not end waits for the next round and stops nothing.
func TestRetention_ForgetsSessions(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.old = 50
		// The round after an hour fails, that after two does not, and that after
		// three for an instant.
		began := time.Now()
		early := failing("forget sessions", began.Add(90*time.Minute), fault{err: errBroken})
		late := failing("forget sessions", began.Add(3*time.Hour+250*time.Millisecond), fault{err: errBroken})
		b.store.fault = func(operation string, claimed []int64) *fault {
			if time.Since(began) < 150*time.Minute {
				return early(operation, claimed)
			}
			return late(operation, claimed)
		}
		b.start()
		b.pass(59 * time.Minute)
		if n := len(b.store.made("forget sessions")); n != 0 {
			b.Errorf("%d attempts within an hour of the start, when older workers may run", n)
		}
		b.pass(time.Hour)
		if n := len(b.store.made("forget sessions")); n != sealAttempts || b.store.old != 50 || b.log.count("longer than they should") != 1 {
			b.Errorf("%d attempts, %d sessions left, logged %d times", n, b.store.old, b.log.count("longer than they should"))
		}
		b.wantReady("")
		b.pass(2 * time.Minute)
		b.wantCount("expired", b.roller.metrics.expired, 50)
		b.store.mu.Lock()
		b.store.old = 20
		b.store.mu.Unlock()
		b.pass(time.Hour)
		b.wantCount("expired", b.roller.metrics.expired, 70)
		if n := b.log.count("longer than they should"); n != 1 {
			b.Errorf("a failure that passed is logged: %d times", n)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}
