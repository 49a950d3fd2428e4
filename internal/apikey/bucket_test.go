package apikey_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// open connects to a server and opens its bucket of keys.
func open(t *testing.T, url string) (*apikey.Bucket, jetstream.KeyValue) {
	t.Helper()
	conn, err := queue.Connect(t.Context(), queue.Config{URL: url, MaxBytes: 64 << 20}, testkit.Logger(t), nil, queue.Operator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Logf("close: %v", err)
		}
	})
	if err := conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	kv, stream, err := conn.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return apikey.NewBucket(kv, stream), kv
}

func newKey(t *testing.T, tenant string) (string, apikey.Record) {
	t.Helper()
	text, record, err := apikey.New(apikey.Spec{
		Tenant: tenant, Environment: "staging", Scopes: []apikey.Scope{apikey.ScopePost, apikey.ScopeRead},
	}, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text, record
}

func put(t *testing.T, bucket *apikey.Bucket, record apikey.Record) {
	t.Helper()
	if err := bucket.Put(t.Context(), record); err != nil {
		t.Fatal(err)
	}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	bucket, _ := open(t, testkit.NATS(t))
	if records, err := bucket.List(t.Context()); err != nil || len(records) != 0 {
		t.Errorf("an empty bucket lists %v, %v", records, err)
	}
	_, first := newKey(t, "acme")
	_, second := newKey(t, "zenith")
	put(t, bucket, second)
	put(t, bucket, first)
	if err := bucket.Put(t.Context(), first); !errors.Is(err, apikey.ErrExists) {
		t.Errorf("putting it twice: %v", err)
	}
	got, err := bucket.Get(t.Context(), first.ID)
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Errorf("get: %v\n%s", err, diff)
	}
	for _, id := range []string{"0123456789", "", "no.such", first.ID + "0"} {
		if _, err := bucket.Get(t.Context(), id); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("get %q: %v", id, err)
		}
		if _, err := bucket.Revoke(t.Context(), id, time.Now()); !errors.Is(err, apikey.ErrUnknown) {
			t.Errorf("revoke %q: %v", id, err)
		}
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	revoked, err := bucket.Revoke(t.Context(), first.ID, at)
	if err != nil || revoked.RevokedAt == nil || !revoked.RevokedAt.Equal(at) {
		t.Errorf("revoke: %+v, %v", revoked, err)
	}
	// A second one keeps the time of the first.
	if again, err := bucket.Revoke(t.Context(), first.ID, at.Add(time.Hour)); err != nil || !again.RevokedAt.Equal(at) {
		t.Errorf("revoke again: %+v, %v", again, err)
	}
	if err := bucket.Put(t.Context(), first); !errors.Is(err, apikey.ErrExists) {
		t.Errorf("a revoked key was revived: %v", err)
	}
	records, err := bucket.List(t.Context())
	if diff := cmp.Diff([]apikey.Record{revoked, second}, records); err != nil || diff != "" {
		t.Errorf("list: %v\n%s", err, diff)
	}
}

// watch runs a watcher until the test ends.
func watch(t *testing.T, bucket *apikey.Bucket) *apikey.Watcher {
	t.Helper()
	watcher := apikey.NewWatcher(bucket, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := watcher.Run(ctx); err != nil {
			t.Errorf("watcher: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return watcher
}

// await waits until a watcher answers as wanted.
func await(t *testing.T, watcher *apikey.Watcher, text string, want error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for range 6000 {
		if _, err = watcher.Authenticate(text, apikey.ScopePost); errors.Is(err, want) {
			return
		}
		<-tick.C
	}
	t.Fatalf("the watcher answers %v, want %v", err, want)
}

// rule 8
func TestWatcher_FollowsEveryChange(t *testing.T) {
	t.Parallel()
	bucket, kv := open(t, testkit.NATS(t))
	early, earlyRecord := newKey(t, "acme")
	put(t, bucket, earlyRecord)
	watchers := []*apikey.Watcher{watch(t, bucket), watch(t, bucket)}
	late, lateRecord := newKey(t, "zenith")
	put(t, bucket, lateRecord)
	for _, w := range watchers {
		await(t, w, early, nil)
		await(t, w, late, nil)
		if err := w.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	}
	if _, err := bucket.Revoke(t.Context(), earlyRecord.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(t.Context(), lateRecord.ID); err != nil {
		t.Fatal(err)
	}
	damaged, damagedRecord := newKey(t, "acme")
	put(t, bucket, damagedRecord)
	for _, w := range watchers {
		await(t, w, early, apikey.ErrRevoked)
		await(t, w, late, apikey.ErrUnknown)
		await(t, w, damaged, nil)
	}
	if _, err := kv.PutString(t.Context(), damagedRecord.ID, "{"); err != nil {
		t.Fatal(err)
	}
	for _, w := range watchers {
		await(t, w, damaged, apikey.ErrUnavailable)
		await(t, w, late, apikey.ErrUnknown)
	}
	// A new watcher reads the same from what is stored.
	fresh := watch(t, bucket)
	await(t, fresh, early, apikey.ErrRevoked)
	await(t, fresh, damaged, apikey.ErrUnavailable)
}

// A server that is away makes keys unverifiable, not wrong; after its return
// everything is as before.
func TestWatcher_ServerAway(t *testing.T) {
	t.Parallel()
	cfg := devstack.NATSConfig{StoreDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	server, err := devstack.StartNATS(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	t.Cleanup(func() { stop() })
	bucket, _ := open(t, server.URL())
	text, record := newKey(t, "acme")
	put(t, bucket, record)
	watcher := watch(t, bucket)
	await(t, watcher, text, nil)
	cfg.Port = portOf(t, server.URL())
	stop()
	await(t, watcher, text, apikey.ErrUnavailable)
	if err := watcher.Ready(); !errors.Is(err, apikey.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	if server, err = devstack.StartNATS(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	await(t, watcher, text, nil)
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
