package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A load that takes nearly all of AckWait, three times over, is kept alive.
func TestKeeper_KeepsWhileWriting(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{AckWait: 30 * time.Second, LoadTimeout: 29 * time.Second}, func(b *bench) {
		attempts := 0
		b.store.fault = func(operation string) *fault {
			if operation != "load" {
				return nil
			}
			attempts++
			if attempts < 3 {
				return &fault{takes: 28 * time.Second, err: errBroken}
			}
			return &fault{takes: 28 * time.Second, done: true}
		}
		messages := b.publish(2)
		b.start()
		b.pass(2 * time.Minute)
		b.wantEmpty()
		for _, m := range messages {
			if m.deliveries != 1 {
				b.Errorf("delivered %d times while it was held", m.deliveries)
			}
			for i, at := range m.progress {
				before := m.storedAt
				if i > 0 {
					before = m.progress[i-1]
				}
				if gap := at.Sub(before); gap > 10*time.Second {
					b.Errorf("%s without a word, more than a third of AckWait", gap)
				}
			}
			if n := len(m.progress); n < 8 || n > 9 { // 84 s and two pauses
				b.Errorf("kept %d times in 84 s", n)
			}
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// Messages that wait for their turn in a drain are kept as well.
//
// rule 10
func TestKeeper_KeepsDuringTheDrain(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{AckWait: 6 * time.Second, LoadTimeout: 5 * time.Second, MaxEvents: 1, MaxMessages: 4}, func(b *bench) {
		b.store.fault = func(operation string) *fault {
			if operation == "load" {
				return &fault{done: true, takes: 3900 * time.Millisecond}
			}
			return nil
		}
		messages := b.publish(4) // four loads, 15.6 s in all
		b.start()
		b.pass(time.Second)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		b.wantEmpty()
		if last := messages[3].progress; len(last) != 7 { // every 2 s before the end
			b.Errorf("the last message was kept %d times, want 7", len(last))
		}
	})
}

// Nothing is said about a message that is answered.
func TestKeeper_SilentAfterTheAnswer(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		messages := b.publish(1)
		b.start()
		b.pass(time.Minute)
		if n := len(messages[0].progress); n != 0 {
			b.Errorf("kept %d times after its end", n)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// rule 9
func TestKeeper_StopsAfterMaxHold(t *testing.T) {
	t.Parallel()
	m := &modelMessage{}
	inBubble(t, Options{AckWait: 30 * time.Second}, func(b *bench) {
		k := newKeeper(Options{AckWait: 30 * time.Second, MaxHold: time.Minute}, b.worker.metrics)
		h := &held{Message: Message{Delivery: delivery{b.queue, m}}, fetchedAt: time.Now()}
		k.add(h)
		for range 12 {
			b.pass(10 * time.Second)
			k.keep()
		}
		if len(m.progress) != 6 {
			b.Errorf("kept %d times, want 6 in a minute", len(m.progress))
		}
		k.drop(h)
		k.drop(h) // once is enough, twice is not counted
		if got := testutil.ToFloat64(b.worker.metrics.inHand); got != 0 {
			b.Errorf("%v in hand", got)
		}
	})
}

func TestKeeper_CountsWhatCannotBeSaid(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.queue.fault = during(time.Hour, "in progress", fault{err: errors.New("no connection")})
		b.store.fault = during(15*time.Second, "load", fault{err: errBroken})
		b.publish(2)
		b.start()
		b.pass(30 * time.Second)
		b.wantEmpty()
		if got := testutil.ToFloat64(b.worker.metrics.answerErrors.WithLabelValues(answerInProgress)); got != 2 {
			b.Errorf("%v counted, want 2", got)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}
