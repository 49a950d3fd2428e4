package apikey_test

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// A copy of the records brings a lost bucket back and never a revoked key.
func TestBucket_Restore(t *testing.T) {
	t.Parallel()
	bucket, kv := open(t, testkit.NATS(t))
	_, kept := newKey(t, "acme")
	_, revoked := newKey(t, "acme")
	_, lost := newKey(t, "zenith")
	put(t, bucket, kept)
	put(t, bucket, revoked)
	at := time.Now().UTC().Truncate(time.Microsecond)
	revokedNow, err := bucket.Revoke(t.Context(), revoked.ID, at)
	if err != nil {
		t.Fatal(err)
	}
	lostRevoked := lost
	lostRevoked.RevokedAt = &at
	keptRevoked := kept
	keptRevoked.RevokedAt = &at

	// The copy knows less of one key and more of the others.
	for _, record := range []apikey.Record{revoked, lostRevoked, keptRevoked, kept} {
		if _, err := bucket.Restore(t.Context(), record); err != nil {
			t.Errorf("restore %s: %v", record, err)
		}
	}
	for _, want := range []apikey.Record{revokedNow, lostRevoked, keptRevoked} {
		got, err := bucket.Get(t.Context(), want.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	// An end moves to an earlier time and never to a later one.
	_, ending := newKey(t, "acme")
	put(t, bucket, ending)
	for _, step := range []struct{ at, want time.Time }{
		{at.Add(2 * time.Hour), at.Add(2 * time.Hour)}, {at.Add(3 * time.Hour), at.Add(2 * time.Hour)}, {at.Add(time.Hour), at.Add(time.Hour)},
	} {
		got, err := bucket.Expire(t.Context(), ending.ID, step.at)
		if err != nil || !got.ExpiresAt.Equal(step.want) || got.RevokedAt != nil {
			t.Errorf("end at %s: %v, %v", step.at, got, err)
		}
	}
	for _, copied := range []*time.Time{nil, new(at.Add(5 * time.Hour))} {
		older := ending
		older.ExpiresAt = copied
		if got, err := bucket.Restore(t.Context(), older); err != nil || !got.ExpiresAt.Equal(at.Add(time.Hour)) {
			t.Errorf("restore %s: %v, %v", older, got, err)
		}
	}
	impostor := kept
	impostor.Hash = slices.Repeat([]byte{1}, len(kept.Hash))
	if _, err := bucket.Restore(t.Context(), impostor); !errors.Is(err, apikey.ErrExists) {
		t.Errorf("another key under a taken id: %v, want ErrExists", err)
	}
	// One damaged record does not hide the others.
	if _, err := kv.PutString(t.Context(), lost.ID, "{"); err != nil {
		t.Fatal(err)
	}
	records, err := bucket.List(t.Context())
	if err == nil || len(records) != 3 {
		t.Errorf("list with a damaged record: %d records, error %v", len(records), err)
	}
}

// Of many who revoke one key at once each succeeds, and all agree on when.
func TestBucket_RevokedByManyAtOnce(t *testing.T) {
	t.Parallel()
	bucket, _ := open(t, testkit.NATS(t))
	_, record := newKey(t, "acme")
	put(t, bucket, record)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times = make(map[string]bool)
	)
	for i := range 8 {
		wg.Go(func() {
			got, err := bucket.Revoke(t.Context(), record.ID, time.Now().Add(time.Duration(i)*time.Hour))
			if err != nil || got.RevokedAt == nil {
				t.Errorf("revoke: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			times[strconv.FormatInt(got.RevokedAt.UnixMicro(), 10)] = true
		})
	}
	wg.Wait()
	if len(times) != 1 {
		t.Errorf("revoked at %d different times", len(times))
	}
}

// rule 8: many replicas refuse a revoked key, and the connection that a watch
// uses may be as slow to notice trouble as it likes.
func TestWatcher_BucketMadeAgain(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	bucket, kv := open(t, url)
	text, record := newKey(t, "acme")
	put(t, bucket, record)
	watcher := watch(t, bucket)
	await(t, watcher, text, nil)
	if err := kv.PurgeDeletes(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, watcher, text, nil)
	removeBucket(t, url)
	await(t, watcher, text, apikey.ErrUnavailable)
	again, _ := open(t, url) // makes it
	other, otherRecord := newKey(t, "zenith")
	put(t, again, otherRecord)
	await(t, watcher, other, nil)
	await(t, watcher, text, apikey.ErrUnknown)
	if _, err := again.Restore(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	await(t, watcher, text, nil)
}

// removeBucket is what a lost volume looks like.
func removeBucket(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), "api_keys"); err != nil {
		t.Fatal(err)
	}
}
