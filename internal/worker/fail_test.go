package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// during returns a fault for the operation from now on for d.
func during(d time.Duration, operation string, f fault) func(string) *fault {
	return between(0, d, operation, f)
}

// between returns a fault for the operation from one moment to another.
func between(from, to time.Duration, operation string, f fault) func(string) *fault {
	now := time.Now()
	return func(asked string) *fault {
		if since := time.Since(now); asked == operation && since >= from && since < to {
			return &f
		}
		return nil
	}
}

// The failure comes in its two forms: nothing was stored, and everything was
// but the answer was lost.
//
// rule 2, rule 3
func TestWrite_StoreAway(t *testing.T) {
	t.Parallel()
	for _, persisted := range []bool{false, true} {
		for _, away := range []time.Duration{50 * time.Millisecond, 3 * time.Second, 100 * time.Second} {
			t.Run(fmt.Sprintf("persisted %v, away %s", persisted, away), func(t *testing.T) {
				t.Parallel()
				inBubble(t, Options{}, func(b *bench) {
					b.store.fault = during(away, "load", fault{err: errBroken, done: persisted})
					messages := b.publish(3)
					b.start()
					began := time.Now()
					b.pass(away / 2)
					b.wantReady("store since")
					if got := testutil.ToFloat64(b.worker.metrics.troubled.WithLabelValues("store")); got != 1 {
						b.Errorf("%v loops in trouble, want 1", got)
					}
					b.publish(1) // not fetched while the store is away
					b.pass(away - away/2)
					if got := b.queue.fetchCount(began.Add(time.Second)); away > time.Second && got > 0 {
						b.Errorf("%d fetches while the store was away", got)
					}
					if left := b.queue.left(); left != 4 {
						b.Errorf("%d messages left before the store was back, want 4", left)
					}
					b.pass(5 * time.Second)
					b.wantEmpty() // resumed within 5 s
					b.wantReady("")
					for _, m := range messages {
						// Held, not handed around: no other worker could do better.
						if m.deliveries != 1 {
							b.Errorf("a message was delivered %d times", m.deliveries)
						}
					}
					for text, want := range map[string]int{"fetching stopped": 1, "trouble is over": 1} {
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

// A message is not held for ever: another worker may reach the store.
//
// rule 9
func TestWrite_HeldTooLongIsGivenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{MaxHold: time.Minute}, func(b *bench) {
		b.store.fault = during(10*time.Minute, "load", fault{err: errBroken})
		messages := b.publish(3)
		b.start()
		b.pass(time.Minute + pauseLimit*2)
		if got := b.log.count("held too long"); got != 1 {
			b.Errorf("%d lines about holding too long, want 1", got)
		}
		for _, m := range messages {
			b.queue.mu.Lock()
			if len(m.naks) == 0 {
				b.Error("a message was not given back")
			}
			b.queue.mu.Unlock()
		}
		// From now on one message at a time finds out whether the store is back.
		b.pass(2 * time.Minute)
		b.queue.mu.Lock()
		if last := b.queue.fetches[len(b.queue.fetches)-1]; last.messages != 1 {
			b.Errorf("fetched up to %d messages to find out, want 1", last.messages)
		}
		b.queue.mu.Unlock()
		b.wantReady("store since")
		b.pass(7*time.Minute + deferDelay + 5*time.Second)
		b.wantEmpty()
		b.wantReady("")
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// Trouble is logged when the first loop gets into it and the last one is out.
// Its end also ends the memory of it: the next one begins with short pauses.
func TestWrite_StoreAwayTwice(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Loops: 2, MaxMessages: 2}, func(b *bench) {
		first := during(time.Minute, "load", fault{err: errBroken})
		second := between(2*time.Minute, 2*time.Minute+firstPause/2, "load", fault{err: errBroken})
		b.store.fault = func(operation string) *fault {
			if f := first(operation); f != nil {
				return f
			}
			return second(operation)
		}
		b.publish(4) // two for each loop
		b.start()
		b.pass(2 * time.Minute)
		b.wantEmpty()
		if stopped, over := b.log.count("fetching stopped"), b.log.count("trouble is over"); stopped != 1 || over != 1 {
			b.Errorf("begin logged %d times, end %d times, want 1 each", stopped, over)
		}
		b.publish(1)
		b.pass(3 * firstPause)
		b.wantEmpty()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A load that hangs is cut off below AckWait. What it says then is no verdict
// on the data or on the store.
func TestAttempt_CutOff(t *testing.T) {
	t.Parallel()
	for _, class := range []Class{ClassRetry, ClassStop, ClassData} {
		t.Run(class.String(), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{LoadTimeout: 7 * time.Second}, func(b *bench) {
				hang := during(20*time.Second, "load", fault{takes: time.Hour, err: &classedError{class, "cut off"}})
				b.store.fault = hang
				b.publish(3)
				b.start()
				b.pass(6 * time.Second)
				b.wantReady("")
				b.pass(2 * time.Second)
				b.wantReady("cut off")
				b.pass(time.Minute)
				b.wantEmpty()
				b.store.read(func() {
					if len(b.store.kept) != 0 {
						b.Errorf("%d messages kept as damaged", len(b.store.kept))
					}
				})
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// One batch that is locked by another transaction holds up nobody else's.
func TestWrite_LockedMessageIsDeferred(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		messages := b.publish(5)
		b.store.locked[messages[2].ids[0]] = time.Now().Add(time.Minute)
		b.start()
		b.pass(5 * time.Second)
		if left := b.queue.left(); left != 1 {
			b.Errorf("%d messages left, want the locked one alone", left)
		}
		b.publish(1)
		b.pass(5 * time.Second)
		if left := b.queue.left(); left != 1 {
			b.Errorf("%d messages left, want later ones to pass the locked one", left)
		}
		b.pass(time.Minute)
		b.wantEmpty()
		if got := testutil.ToFloat64(b.worker.metrics.messages.WithLabelValues(outcomeDeferred)); got == 0 {
			b.Error("nothing was counted as deferred")
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// What the store refuses is isolated and kept whole; its neighbours load.
//
// rule 5, rule 7
func TestWrite_RefusedMessageIsKept(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		messages := b.publish(5)
		b.store.refused[messages[2].ids[0]] = true
		b.start()
		b.pass(refusalPause / 2)
		b.wantLoads(1, 1, 1, 1)
		if left := b.queue.left(); left != 1 {
			b.Errorf("%d messages left, want the refused one, which gets another try", left)
		}
		b.pass(refusalPause)
		b.wantEmpty()
		b.wantKept(messages[2], "1 of 1 batches refused: batch "+messages[2].ids[0].String()+": value refused")
		if got := b.log.count("cannot be loaded and was kept"); got != 1 {
			b.Errorf("%d lines about what was kept, want 1", got)
		}
		b.publish(2) // and the next ones are written together again
		b.pass(time.Second)
		b.wantLoads(1, 1, 1, 1, 2)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// What can be neither loaded nor kept stays in the queue, seen and harmless.
//
// rule 5
func TestWrite_RefusedEvenAsDamaged(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.fault = during(time.Minute, "keep", fault{err: &classedError{ClassData, "refused as well"}})
		messages := b.publish(3)
		b.store.refused[messages[0].ids[0]] = true
		b.start()
		b.pass(3 * (deferDelay + refusalPause))
		if left := b.queue.left(); left != 1 || b.log.count("neither loaded nor kept") < 2 {
			b.Errorf("%d messages left, want 1 that is tried again and logged each time", left)
		}
		b.pass(time.Minute + deferDelay + refusalPause)
		b.wantEmpty()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A store that needs a person ends the worker; everything goes back.
func TestWrite_StopClassEndsRun(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Loops: 2, MaxMessages: 2}, func(b *bench) {
		b.store.fault = during(time.Hour, "load", fault{err: &classedError{ClassStop, "permission denied"}})
		b.publish(5)
		b.start()
		err := b.wait()
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			b.Fatalf("Run = %v, want the store's error", err)
		}
		if left := b.queue.left(); left != 5 {
			b.Errorf("%d messages left, want all 5", left)
		}
		b.queue.mu.Lock()
		defer b.queue.mu.Unlock()
		for _, m := range b.queue.messages {
			if m.deliveries > 0 && len(m.naks) != 1 {
				b.Errorf("a message that was delivered was given back %d times", len(m.naks))
			}
		}
	})
}

// Answers that are lost cost a redelivery and nothing else.
//
// rule 2
func TestFinish_LostAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{
		"without a word":         {},
		"with an error":          {err: errBroken},
		"with an error, arrived": {err: errBroken, done: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				b.queue.fault = during(10*time.Second, "ack", f)
				messages := b.publish(3)
				b.start()
				b.pass(time.Minute)
				b.wantEmpty()
				b.wantReady("")
				wantDeliveries := 2
				if f.done {
					wantDeliveries = 1
				}
				if messages[0].deliveries != wantDeliveries {
					b.Errorf("delivered %d times, want %d", messages[0].deliveries, wantDeliveries)
				}
				if f.err != nil && testutil.ToFloat64(b.worker.metrics.answerErrors.WithLabelValues(answerAck)) != 3 {
					b.Error("lost acknowledgements are not counted")
				}
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// Pauses grow, and stay below what "resumes within 5 s" allows.
func TestPauses_Bounded(t *testing.T) {
	t.Parallel()
	pauses := newPauses()
	var total time.Duration
	for i := range 200 {
		pause := pauses.NextBackOff()
		if pause <= 0 || pause >= 4*time.Second {
			t.Fatalf("pause %d is %s", i, pause)
		}
		total += pause
	}
	if total < 200*pauseLimit/2 {
		t.Errorf("200 pauses take %s: they do not grow", total)
	}
	pauses.Reset()
	if pause := pauses.NextBackOff(); pause > 2*firstPause {
		t.Errorf("after a reset the first pause is %s", pause)
	}
}
