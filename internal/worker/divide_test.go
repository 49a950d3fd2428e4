package worker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// wantKept checks that one message is kept as damaged, whole and with a reason.
func (b *bench) wantKept(m *modelMessage, reason string) {
	b.Helper()
	b.store.read(func() {
		if len(b.store.kept) != 1 || string(b.store.kept[0].data) != string(m.data) || b.store.kept[0].reason != reason {
			b.Errorf("kept %+v, want the refused message with %q", b.store.kept, reason)
		}
	})
}

// publishOf puts a message of n batches with one event each into the queue.
func (b *bench) publishOf(n int) *modelMessage {
	b.Helper()
	data, ids := b.message(slices.Repeat([]int{1}, n)...)
	return b.queue.publish(data, ids...)
}

// A batch that is refused condemns no other client's in the same envelope. It
// holds up nobody either, and is judged only after a second try.
//
// rule 5, rule 7
func TestDivide_NeighboursOfARefusedBatchAreLoaded(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string][]int{"first": {0}, "middle": {2}, "last": {4}, "two": {1, 3}, "all": {0, 1, 2, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				bad := b.publishOf(5)
				good := b.publish(1)[0]
				for _, i := range refused {
					b.store.refused[bad.ids[i]] = true
				}
				b.start()
				b.pass(refusalPause / 2)
				b.store.read(func() {
					for i, id := range append(bad.ids, good.ids...) {
						if got, want := b.store.ledger[id] > 0, !slices.Contains(refused, i); got != want {
							b.Errorf("batch %d is loaded: %v, want %v", i, got, want)
						}
					}
					if len(b.store.kept) > 0 {
						b.Error("the message was condemned by a single try")
					}
				})
				b.pass(refusalPause)
				b.wantEmpty()
				b.wantReady("")
				b.store.read(func() {
					if len(b.store.kept) != 1 || string(b.store.kept[0].data) != string(bad.data) {
						b.Fatalf("%d messages kept, want the refused one whole", len(b.store.kept))
					}
					if reason := b.store.kept[0].reason; !strings.Contains(reason, bad.ids[refused[0]].String()) || !strings.Contains(reason, "value refused") {
						b.Errorf("reason %q does not name the first refused batch", reason)
					}
				})
				if bad.deliveries != 1 {
					b.Errorf("delivered %d times, want 1", bad.deliveries)
				}
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// What is refused once, or only together with others, is loaded like anything
// else.
//
// rule 7
func TestDivide_OneRefusalIsNoVerdict(t *testing.T) {
	t.Parallel()
	for name, batches := range map[string]int{"one batch": 1, "several": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				m := b.publishOf(batches)
				b.store.doubted[m.ids[batches-1]] = time.Now().Add(refusalPause / 2)
				b.start()
				b.pass(2 * refusalPause)
				b.wantEmpty()
				b.store.read(func() {
					if len(b.store.kept) > 0 || len(b.store.verdicts) != 1 {
						b.Errorf("kept %+v after %d batches were refused once, want nothing kept", b.store.kept, len(b.store.verdicts))
					}
				})
				if got := testutil.ToFloat64(b.worker.metrics.messages.WithLabelValues(outcomeLoaded)); got != 1 {
					b.Errorf("%v messages counted as loaded, want 1", got)
				}
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// A message with a batch that is refused and one that is locked waits for the
// latter: keeping it as damaged would take it out of the queue too early.
//
// rule 7
func TestDivide_LockedBatchKeepsTheMessageInTheQueue(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		m := b.publishOf(4)
		b.store.refused[m.ids[0]] = true
		b.store.locked[m.ids[1]] = time.Now().Add(time.Minute)
		b.start()
		b.pass(30 * time.Second)
		b.store.read(func() {
			if len(b.store.kept) > 0 || b.store.ledger[m.ids[2]] == 0 || b.store.ledger[m.ids[3]] == 0 {
				b.Errorf("kept %d, ledger %v, want nothing kept and the others loaded", len(b.store.kept), b.store.ledger)
			}
		})
		b.queue.mu.Lock()
		if m.acked || len(m.naks) == 0 || len(m.naks) != m.deliveries && len(m.naks) != m.deliveries-1 {
			b.Errorf("given back %d times in %d deliveries, acknowledged %v", len(m.naks), m.deliveries, m.acked)
		}
		b.queue.mu.Unlock()
		b.pass(time.Minute)
		b.wantEmpty()
		b.wantKept(m, "1 of 4 batches refused: batch "+m.ids[0].String()+": value refused")
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A stop between the two tries waits for the second. When the drain has no time
// for that, the message goes back, once, and nothing of it is acknowledged.
//
// rule 10
func TestDivide_StopBetweenTheTries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		drain time.Duration
		left  int
	}{"in time": {20 * time.Second, 0}, "too late": {refusalPause / 10, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{DrainTimeout: test.drain}, func(b *bench) {
				m := b.publishOf(3)
				b.store.refused[m.ids[0]], b.store.refused[m.ids[2]] = true, true
				b.start()
				b.pass(refusalPause / 2)
				if err := b.stop(); (err != nil) != (test.left > 0) {
					b.Errorf("Run: %v", err)
				}
				if left := b.queue.left(); left != test.left || len(m.naks) != test.left {
					b.Errorf("%d messages left, given back %d times, want %d", left, len(m.naks), test.left)
				}
			})
		})
	}
}
