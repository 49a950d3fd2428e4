package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rule 7
func TestPrepare_BeforeTheFirstFetch(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		messages := b.publish(2)
		old := time.Now().Add(-10 * 24 * time.Hour)
		messages[0].storedAt = old
		b.store.fault = during(10*time.Second, "partitions", fault{err: errBroken})
		b.queue.fault = nil
		began := time.Now()
		b.start()
		b.pass(8 * time.Second)
		b.wantReady("partitions since")
		if got := b.queue.fetchCount(began); got != 0 {
			b.Errorf("%d fetches before there were partitions", got)
		}
		b.pass(7 * time.Second)
		b.wantReady("")
		b.wantEmpty()
		b.store.read(func() {
			if diff := cmp.Diff([]time.Time{old}, b.store.days); diff != "" {
				b.Errorf("partitions made from (-want +got):\n%s", diff)
			}
		})
		if got := b.log.count("partitions cannot be made"); got != 1 {
			b.Errorf("logged %d times, want 1", got)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestPrepare_QueueDoesNotTellItsOldest(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.queue.fault = during(5*time.Second, "oldest", fault{err: errBroken})
		b.start()
		b.pass(3 * time.Second)
		b.wantReady("find the oldest message")
		b.pass(7 * time.Second)
		b.wantReady("")
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestPrepare_StopClassEndsRun(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.fault = during(time.Hour, "partitions", fault{err: &classedError{ClassStop, "no such schema"}})
		b.publish(1)
		b.start()
		if err := b.wait(); err == nil || !strings.Contains(err.Error(), "no such schema") {
			b.Errorf("Run = %v, want the store's error", err)
		}
		if got := b.queue.fetchCount(time.Time{}); got != 0 {
			b.Errorf("%d fetches", got)
		}
	})
}

// rule 10
func TestPrepare_StoppedMeanwhile(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.store.fault = during(time.Hour, "partitions", fault{err: errBroken})
		b.start()
		b.pass(10 * time.Second)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestKeepPartitions_HourlyAndWhenTheDayChanges(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{PartitionInterval: 7 * time.Hour, FetchWait: time.Hour}, func(b *bench) {
		b.start() // a bubble's time begins at midnight UTC
		began := time.Now()
		b.pass(49 * time.Hour)
		var at []string
		b.store.read(func() {
			for _, day := range b.store.days {
				at = append(at, day.Sub(began).String())
			}
		})
		want := []string{"0s", "7h0m0s", "14h0m0s", "21h0m0s", "24h0m0s", "31h0m0s", "38h0m0s", "45h0m0s", "48h0m0s"}
		if diff := cmp.Diff(want, at); diff != "" {
			b.Errorf("partitions made at (-want +got):\n%s", diff)
		}
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

// An upkeep that fails is told, retried, and does not stop loading.
func TestKeepPartitions_Failing(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{FetchWait: time.Hour}, func(b *bench) {
		b.store.fault = between(time.Minute, 2*time.Hour, "partitions", fault{err: errBroken})
		b.start()
		b.pass(time.Minute)
		b.wantReady("")
		b.pass(90 * time.Minute)
		b.wantReady("partitions since")
		b.publish(1)
		b.pass(time.Second)
		b.wantEmpty()
		b.pass(time.Hour)
		b.wantReady("")
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestUntilUpkeep(t *testing.T) {
	t.Parallel()
	at := func(clock string) time.Time {
		now, err := time.Parse("2006-01-02 15:04 -0700", "2026-11-22 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	for _, test := range []struct {
		now  time.Time
		want time.Duration
	}{
		{at("12:00 +0000"), time.Hour},
		{at("23:30 +0000"), 30 * time.Minute},
		{at("00:00 +0000"), time.Hour},
		{at("01:59 +0200"), time.Minute}, // 23:59 UTC
	} {
		if got := untilUpkeep(test.now, time.Hour); got != test.want {
			t.Errorf("after %s: %s, want %s", test.now, got, test.want)
		}
	}
}
