package apikey

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeBucket is a source that goes wrong on command. Time in these tests is the
// bubble's: nothing here waits for a real second.
type fakeBucket struct {
	mu      sync.Mutex
	history []update
	deaf    bool   // watches bring what is there at their start, and no change
	mute    error  // last fails
	hung    bool   // watches never come to the end of what is there
	asked   func() // runs once, between a question for the last change and its answer
	watches int
	changed chan struct{}
}

func newFakeBucket() *fakeBucket { return &fakeBucket{changed: make(chan struct{})} }

func (b *fakeBucket) put(t *testing.T, record Record) {
	t.Helper()
	value, err := record.encode()
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, update{
		id: record.ID, value: value, at: position{uint64(len(b.history) + 1), time.Now()},
	})
	close(b.changed)
	b.changed = make(chan struct{})
}

// set makes the bucket behave, or not.
func (b *fakeBucket) set(change func(*fakeBucket)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *fakeBucket) follow(ctx context.Context, see func(update) error) error {
	b.mu.Lock()
	b.watches++
	sent, hung := slices.Clone(b.history), b.hung
	changed := b.changed
	b.mu.Unlock()
	for _, u := range sent {
		if err := see(u); err != nil {
			return err
		}
	}
	if hung {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := see(update{complete: true}); err != nil {
		return err
	}
	for n := len(sent); ; {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.mu.Lock()
		fresh, deaf := slices.Clone(b.history[min(n, len(b.history)):]), b.deaf
		changed = b.changed
		b.mu.Unlock()
		for _, u := range fresh {
			n++
			if deaf {
				continue
			}
			if err := see(u); err != nil {
				return err
			}
		}
	}
}

func (b *fakeBucket) last(context.Context) (position, error) {
	b.mu.Lock()
	last, err, asked := position{}, b.mute, b.asked
	b.asked = nil
	if err == nil && len(b.history) > 0 {
		last = b.history[len(b.history)-1].at
	}
	b.mu.Unlock()
	if asked != nil {
		asked()
	}
	return last, err
}

// A change that the watch brings while the bucket is asked for its last one
// does not make the watch look broken; a bucket that went back does.
//
//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_OvertakesTheAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		_, other := mustNew(t)
		bucket.put(t, record)
		after(time.Second)
		bucket.put(t, other)
		after(time.Second)
		bucket.set(func(b *fakeBucket) {
			b.asked = func() { bucket.put(t, record.revoked(time.Now())); after(time.Millisecond) }
		})
		if !w.equal(t.Context()) {
			t.Error("a table that is beyond the answer lags")
		}
		expect(t, w, text, ErrRevoked)
		bucket.set(func(b *fakeBucket) { b.history = b.history[:1] })
		if w.equal(t.Context()) {
			t.Error("a bucket that went back was not noticed")
		}
	})
}

// inBubble runs a watcher on a fake bucket, which behaves as prepare says from
// the watcher's first look on.
func inBubble(t *testing.T, check func(t *testing.T, bucket *fakeBucket, w *Watcher), prepare ...func(*fakeBucket)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bucket := newFakeBucket()
		for _, change := range prepare {
			bucket.set(change)
		}
		w := newWatcher(bucket, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		check(t, bucket, w)
		cancel()
		running.Wait()
	})
}

// after lets time pass in the bubble.
func after(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock
	synctest.Wait()
}

func expect(t *testing.T, w *Watcher, text string, want error) {
	t.Helper()
	if _, err := w.Authenticate(text, ScopePost); !errors.Is(err, want) {
		t.Errorf("authenticate: %v, want %v", err, want)
	}
}

func mustNew(t *testing.T) (string, Record) {
	t.Helper()
	text, record, err := New(spec(), time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text, record
}

//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_DeadWatchIsFoundWithinASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		bucket.put(t, record)
		after(time.Second)
		expect(t, w, text, nil)
		bucket.set(func(b *fakeBucket) { b.deaf = true })
		bucket.put(t, record.revoked(time.Now()))
		after(time.Second)
		expect(t, w, text, ErrRevoked)
		if bucket.watches < 2 {
			t.Errorf("%d watches, want a second one", bucket.watches)
		}
	})
}

//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_WorkingWatchIsLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		bucket.put(t, record)
		after(time.Hour)
		expect(t, w, text, nil)
		bucket.put(t, record.revoked(time.Now()))
		synctest.Wait()
		expect(t, w, text, ErrRevoked) // without waiting for a comparison
		if bucket.watches != 1 {
			t.Errorf("%d watches, want 1", bucket.watches)
		}
	})
}

// Not knowing is 503: a key that was good is neither refused nor let in.
//
//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_UnavailableAfterFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		bucket.put(t, record)
		after(time.Second)
		bucket.set(func(b *fakeBucket) { b.mute = errors.New("no answer") })
		after(staleAfter - time.Second)
		expect(t, w, text, nil)
		after(time.Second + compareEvery)
		expect(t, w, text, ErrUnavailable)
		if err := w.Ready(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("ready: %v", err)
		}
		bucket.set(func(b *fakeBucket) { b.mute = nil })
		after(time.Second)
		expect(t, w, text, nil)
		if err := w.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_NothingIsJudgedBeforeEverythingIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		bucket.put(t, record)
		after(time.Minute)
		expect(t, w, text, ErrUnavailable)
		bucket.set(func(b *fakeBucket) { b.hung = false })
		after(loadTimeout + time.Second)
		expect(t, w, text, nil)
	}, func(b *fakeBucket) { b.hung = true })
}

// A bucket that was lost says nothing about its keys: that is no 401, which
// would make every headset drop its data.
//
//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_LostBucket(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		_, other := mustNew(t)
		bucket.put(t, record)
		after(time.Second)
		expect(t, w, text, nil)
		bucket.set(func(b *fakeBucket) { b.history = nil })
		after(time.Second)
		expect(t, w, text, ErrUnavailable)
		// Made again, with as many changes as before: only their time differs.
		bucket.put(t, other)
		after(time.Second)
		expect(t, w, text, ErrUnknown)
	})
}

// An older copy of the bucket does not bring a revoked key back.
//
//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_RestoredBucketRevivesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		text, record := mustNew(t)
		bucket.put(t, record)
		copied := slices.Clone(bucket.history)
		bucket.put(t, record.revoked(time.Now()))
		after(time.Second)
		expect(t, w, text, ErrRevoked)
		bucket.set(func(b *fakeBucket) { b.history = nil })
		after(time.Second)
		bucket.set(func(b *fakeBucket) { b.history = copied })
		after(time.Second)
		expect(t, w, text, ErrRevoked)
		if err := w.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

//nolint:paralleltest // a bubble must not be parallel
func TestWatcher_CountsWhatItKnows(t *testing.T) {
	inBubble(t, func(t *testing.T, bucket *fakeBucket, w *Watcher) {
		t.Helper()
		_, valid := mustNew(t)
		_, gone := mustNew(t)
		bucket.put(t, valid)
		bucket.put(t, gone.revoked(time.Now()))
		after(time.Second)
		reg := prometheus.NewRegistry()
		if err := reg.Register(w); err != nil {
			t.Fatal(err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			one := family.GetMetric()[0]
			got[family.GetName()] = one.GetGauge().GetValue() + one.GetCounter().GetValue()
		}
		if got["nexero_apikey_keys"] != 2 || got["nexero_apikey_revoked_keys"] != 1 || got["nexero_apikey_compared_timestamp_seconds"] == 0 {
			t.Errorf("metrics: %v", got)
		}
	})
}

// A record without a proper hash must match no text at all.
func TestDecodeRecord_Refuses(t *testing.T) {
	t.Parallel()
	_, record := mustNew(t)
	for name, change := range map[string]func(*Record){
		"no hash":       func(r *Record) { r.Hash = nil },
		"short hash":    func(r *Record) { r.Hash = r.Hash[:16] },
		"no tenant":     func(r *Record) { r.Tenant = "" },
		"another's id":  func(r *Record) { r.ID = "0123456789" },
		"improper id":   func(r *Record) { r.ID = "../../etc" },
		"nothing wrong": func(*Record) {},
	} {
		changed := record
		change(&changed)
		value, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRecord(record.ID, value); (err == nil) != (name == "nothing wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decodeRecord(record.ID, []byte("{")); err == nil {
		t.Error("half a record was read")
	}
}
