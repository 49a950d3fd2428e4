package worker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// messageSize is that of a message with one event as bench makes it.
const messageSize = 243

// rule 9
func TestGather_Limits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		opts Options
		// arrive are the times at which messages come.
		arrive []time.Duration
		want   []int
	}{
		{"all that is there", Options{}, []time.Duration{0, 0, 0}, []int{3}},
		{"messages", Options{MaxMessages: 2}, []time.Duration{0, 0, 0, 0, 0}, []int{2, 2, 1}},
		{"bytes", Options{MaxBytes: 3 * messageSize}, []time.Duration{0, 0, 0, 0, 0}, []int{3, 2}},
		{"events", Options{MaxEvents: 2}, []time.Duration{0, 0, 0, 0, 0}, []int{2, 2, 1}},
		{
			"age",
			Options{Linger: 20 * time.Millisecond},
			[]time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 30 * time.Millisecond},
			[]int{3, 1},
		},
		{
			"no age",
			Options{Linger: -1},
			[]time.Duration{0, time.Millisecond, 2 * time.Millisecond},
			[]int{1, 1, 1},
		},
		{
			"full before its age",
			Options{Linger: time.Second, MaxMessages: 2},
			[]time.Duration{0, 5 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond},
			[]int{2, 2},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, test.opts, func(b *bench) {
				b.start()
				synctest.Wait() // idle, waiting for a first message
				began := time.Now()
				for i := 0; i < len(test.arrive); {
					b.pass(test.arrive[i] - time.Since(began))
					// What comes at one instant is there at one instant.
					together := 1
					for i+together < len(test.arrive) && test.arrive[i+together] == test.arrive[i] {
						together++
					}
					b.publishAtOnce(together)
					i += together
				}
				b.pass(10 * time.Second)
				b.wantLoads(test.want...)
				b.wantEmpty()
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// A gather that is full does not wait until it is old.
func TestGather_FullIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{
		"messages": {Linger: time.Minute, MaxMessages: 2},
		"events":   {Linger: time.Minute, MaxEvents: 2},
		"bytes":    {Linger: time.Minute, MaxBytes: messageSize + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, opts, func(b *bench) {
				b.start()
				synctest.Wait()
				b.publish(1)
				b.pass(time.Second)
				b.wantLoads()
				b.publish(1)
				b.pass(time.Millisecond)
				b.wantLoads(2)
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// rule 5
func TestOpen_DamagedIsKept(t *testing.T) {
	t.Parallel()
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted %v", persisted), func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(b *bench) {
				b.store.fault = during(2*time.Second, "keep", fault{err: errBroken, done: persisted})
				whole, ids := b.message(3)
				broken := append([]byte(nil), whole...)
				broken[len(broken)-1] ^= 1
				b.queue.publish(broken)
				b.queue.publish(nil)
				b.queue.publish(whole, ids...)
				b.start()
				b.pass(10 * time.Second)
				b.wantEmpty()
				b.wantLoads(1)
				b.store.read(func() {
					if len(b.store.kept) != 2 || string(b.store.kept[0].data) != string(broken) && string(b.store.kept[1].data) != string(broken) {
						b.Errorf("kept %d messages, want the two damaged ones whole", len(b.store.kept))
					}
				})
				if got := testutil.ToFloat64(b.worker.metrics.damaged); got != 2 {
					b.Errorf("%v damaged messages counted, want 2", got)
				}
				if err := b.stop(); err != nil {
					b.Errorf("Run: %v", err)
				}
			})
		})
	}
}

func TestCondemn_ReasonIsStorableAndNeverEmpty(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "refused without a reason",
		"\x00\xff":                     "refused without a reason",
		"a\x00b\xffc":                  "abc",
		strings.Repeat("é", maxReason): strings.Repeat("é", maxReason/2),
	} {
		var m held
		m.condemn(errors.New(text))
		if m.reason != want {
			t.Errorf("reason for %.20q is %.20q, want %.20q", text, m.reason, want)
		}
	}
}

// A message of a newer layout stops fetching and stays; what is in hand is
// written.
func TestOpen_NewerLayoutStopsFetching(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Loops: 2}, func(b *bench) {
		b.publish(2)
		future, ids := b.message(1)
		future[4]++ // the version
		newer := b.queue.publish(future, ids...)
		b.start()
		b.pass(time.Second)
		began := time.Now()
		b.wantLoads(2)
		b.wantReady("newer_layout since")
		b.publish(1)
		b.pass(versionDelay - 2*time.Second)
		if got := b.queue.fetchCount(began); got != 0 {
			b.Errorf("%d fetches while held back", got)
		}
		b.pass(10 * versionDelay)
		b.queue.mu.Lock()
		tries, acked := newer.deliveries, newer.acked
		b.queue.mu.Unlock()
		if tries < 5 || tries > 12 || acked {
			b.Errorf("delivered %d times in 11 delays, acknowledged %v; want about 10 and no", tries, acked)
		}
		b.wantReady("newer_layout since")
		if got := b.log.count("fetching stopped"); got != 1 {
			b.Errorf("the stop is logged %d times, want 1", got)
		}
		if got := testutil.ToFloat64(b.worker.metrics.messages.WithLabelValues(outcomeNewer)); int(got) != tries {
			b.Errorf("%v counted, want %d", got, tries)
		}
		b.store.read(func() {
			if len(b.store.kept) != 0 {
				b.Error("a message of a newer layout was kept as damaged")
			}
		})

		// A newer worker takes it.
		b.queue.mu.Lock()
		newer.acked = true
		b.queue.mu.Unlock()
		b.pass(3 * versionDelay)
		b.wantReady("")
		b.wantEmpty()
		if got := b.log.count("trouble is over"); got != 1 {
			b.Errorf("the end is logged %d times, want 1", got)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// What is in hand when a newer layout is met is written without waiting for
// more.
func TestOpen_NewerLayoutEndsTheGather(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Linger: time.Second}, func(b *bench) {
		b.start()
		synctest.Wait()
		b.publish(1)
		b.pass(100 * time.Millisecond)
		b.wantLoads()
		b.publishAtOnce(2, func(data []byte) { data[4]++ }) // the version of the first
		b.pass(time.Millisecond)
		b.wantLoads(2)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestFetch_QueueAway(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		const away = 20 * time.Second
		b.queue.fault = during(away, "fetch", fault{err: errBroken})
		b.publish(2)
		b.start()
		b.pass(away / 2)
		b.wantReady("source since")
		if got := b.queue.fetchCount(time.Now().Add(-away)); got > 20 {
			b.Errorf("%d fetches in %s: no pauses", got, away/2)
		}
		b.pass(away/2 + 5*time.Second)
		b.wantReady("")
		b.wantEmpty()
		if got := b.log.count("fetching stopped"); got != 1 {
			b.Errorf("logged %d times, want 1", got)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// Messages that come with an error are as delivered as others.
func TestFetch_MessagesWithAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.queue.fault = during(time.Second, "fetch", fault{err: errBroken, done: true})
		messages := b.publish(2)
		b.start()
		b.pass(500 * time.Millisecond)
		b.wantLoads(2)
		b.wantEmpty()
		if messages[0].deliveries != 1 {
			b.Errorf("delivered %d times", messages[0].deliveries)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// A source that does not wait must not burn a processor.
func TestFetch_EmptyAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.queue.fault = during(time.Minute, "fetch", fault{})
		b.start()
		b.pass(time.Second)
		if got, most := b.queue.fetchCount(time.Time{}), int(time.Second/emptyPause)+1; got > most {
			b.Errorf("%d fetches a second, more than %d", got, most)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}
