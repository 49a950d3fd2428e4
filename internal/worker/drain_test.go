package worker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The worker is stopped at every millisecond of its work, with loads of 10 ms:
// what it fetched is either acknowledged or back at once, and a second worker
// finishes.
//
// rule 10
func TestRun_StoppedAtAnyPoint(t *testing.T) {
	t.Parallel()
	for stopAfter := range 60 {
		inBubble(t, Options{Loops: 2, MaxMessages: 3, MaxEvents: 2}, func(b *bench) {
			b.store.fault = func(operation string) *fault {
				if operation == "fetch" {
					return nil
				}
				return &fault{done: true, takes: 10 * time.Millisecond}
			}
			b.publish(10)
			b.start()
			b.pass(time.Duration(stopAfter) * time.Millisecond)
			stopped := time.Now()
			if err := b.stop(); err != nil {
				b.Errorf("stopped after %d ms, Run: %v", stopAfter, err)
			}
			if fetched := b.queue.fetchCount(stopped.Add(1)); fetched > 0 {
				b.Errorf("stopped after %d ms: %d fetches afterwards", stopAfter, fetched)
			}
			b.wantNothingHeld()
			b.renew(Options{Loops: 1})
			b.start()
			b.pass(5 * time.Second)
			b.wantEmpty()
			if err := b.stop(); err != nil {
				b.Errorf("second Run: %v", err)
			}
		})
	}
}

// wantNothingHeld checks that another worker can have every message at once.
func (b *bench) wantNothingHeld() {
	b.Helper()
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	for i, m := range b.queue.messages {
		if !m.acked && m.visibleAt.After(time.Now()) {
			b.Errorf("message %d is away for another %s", i, time.Until(m.visibleAt))
		}
	}
}

// A load that outlasts the drain is cut off; what it held goes back.
//
// rule 10
func TestRun_DrainDeadline(t *testing.T) {
	t.Parallel()
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted %v", persisted), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{DrainTimeout: 3 * time.Second}, func(b *bench) {
				b.store.fault = func(operation string) *fault {
					if operation == "load" {
						return &fault{done: persisted, takes: 15 * time.Second}
					}
					return nil
				}
				b.publish(4)
				b.start()
				b.pass(time.Second)
				began := time.Now()
				err := b.stop()
				if !errors.Is(err, ErrDrain) || !strings.Contains(err.Error(), "4 messages given back") {
					b.Errorf("Run = %v, want ErrDrain with what was left", err)
				}
				if took := time.Since(began); took != 3*time.Second {
					b.Errorf("the drain took %s, want 3s", took)
				}
				b.wantNothingHeld()
			})
		})
	}
}

// A load that ends within the drain commits and is acknowledged.
//
// rule 10
func TestRun_DrainLetsTheLoadCommit(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{DrainTimeout: 3 * time.Second}, func(b *bench) {
		b.store.fault = func(operation string) *fault {
			if operation == "load" {
				return &fault{done: true, takes: 2 * time.Second}
			}
			return nil
		}
		b.publish(4)
		b.start()
		b.pass(time.Second)
		b.cancel()
		b.wantLoads()
		b.pass(time.Millisecond)
		b.wantReady("stopping")
		if err := b.wait(); err != nil {
			b.Errorf("Run: %v", err)
		}
		b.wantEmpty()
	})
}

// A worker that waits for its store stops at once and gives back what it holds.
//
// rule 10
func TestRun_StoppedWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.fault = during(time.Hour, "load", fault{err: errBroken})
		b.publish(3)
		b.start()
		b.pass(20 * time.Second)
		began := time.Now()
		err := b.stop()
		if !errors.Is(err, ErrDrain) || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "3 messages given back") {
			b.Errorf("Run = %v, want ErrDrain with the reason", err)
		}
		if took := time.Since(began); took > 0 {
			b.Errorf("the stop took %s", took)
		}
		b.wantNothingHeld()
	})
}

// A worker that is held back by a newer layout stops at once.
//
// rule 10
func TestRun_StoppedWhileHeldBack(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Loops: 3}, func(b *bench) {
		future, ids := b.message(1)
		future[4]++
		b.queue.publish(future, ids...)
		b.start()
		b.pass(10 * time.Second)
		began := time.Now()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took > 0 {
			b.Errorf("the stop took %s", took)
		}
	})
}
