package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

const keyStream = "KV_" + queue.KeyBucket

func TestProvision_ManyAtOnce(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	cfg := queue.Config{URL: url, MaxBytes: 64 << 20}
	var wg sync.WaitGroup
	for _, purpose := range []queue.Purpose{queue.Operator, queue.Publisher, queue.Consumer, queue.Operator} {
		conn := connect(t, cfg, nil, purpose)
		for range 3 {
			wg.Go(func() {
				if err := conn.Provision(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()

	js := observe(t, url)
	events := configOf(t, js, queue.StreamName)
	if events.Retention != jetstream.WorkQueuePolicy || events.Storage != jetstream.FileStorage ||
		events.Discard != jetstream.DiscardNew || events.MaxBytes != cfg.MaxBytes || events.MaxAge != 0 || events.Replicas != 1 {
		t.Errorf("stream of events: %+v", events)
	}
	// Direct reads of keys are stale, and the client library likes them.
	if keys := configOf(t, js, keyStream); keys.AllowDirect || keys.Discard != jetstream.DiscardNew || keys.MaxBytes <= 0 {
		t.Errorf("stream of keys: %+v", keys)
	}
	consumer, err := js.Consumer(t.Context(), queue.StreamName, queue.ConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	got := consumer.CachedInfo().Config
	if got.Durable != queue.ConsumerName || got.AckPolicy != jetstream.AckExplicitPolicy || got.MaxDeliver != -1 || got.AckWait != queue.DefaultAckWait {
		t.Errorf("consumer: %+v", got)
	}
}

func configOf(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// Nothing that is stored or added by an operator is touched by another run.
func TestProvision_Again(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	b.put(t, 3, 1000)
	added := b.info(t).Config
	added.Description = "renamed by an operator"
	added.Metadata["owner"] = "operations"
	if _, err := b.js.UpdateStream(t.Context(), added); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	info := b.info(t)
	if info.State.Msgs != 3 || info.Config.Description != added.Description || info.Config.Metadata["owner"] != "operations" {
		t.Errorf("%d messages, config %+v", info.State.Msgs, info.Config)
	}
}

func TestProvision_ChangesWhatMayChange(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	b.put(t, 3, 1<<20)
	provision := func(maxBytes int64) jetstream.StreamConfig {
		t.Helper()
		cfg := b.cfg
		cfg.MaxBytes = maxBytes
		conn := connect(t, cfg, nil, queue.Consumer)
		if err := conn.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		return b.info(t).Config
	}
	if got := provision(128 << 20).MaxBytes; got != 128<<20 {
		t.Errorf("raised to %d, want %d", got, 128<<20)
	}
	if got := provision(32 << 20).MaxBytes; got != 32<<20 {
		t.Errorf("lowered to %d, want %d", got, 32<<20)
	}
	if got := provision(2 << 20).MaxBytes; got != 32<<20 {
		t.Errorf("limit is %d, below what is stored; want %d kept", got, 32<<20)
	}

	forgetful := b.info(t).Config
	forgetful.MaxAge, forgetful.MaxMsgs, forgetful.MaxMsgSize, forgetful.Duplicates = time.Hour, 100, 2<<20, time.Second
	if _, err := b.js.UpdateStream(t.Context(), forgetful); err != nil {
		t.Fatal(err)
	}
	got := provision(32 << 20)
	if got.MaxAge != 0 || got.MaxMsgs != -1 || got.MaxMsgSize != -1 || got.Duplicates < time.Minute {
		t.Errorf("limits that lose messages remain: %+v", got)
	}

	// This is what the client library's own way of opening a bucket does.
	if _, err := b.js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: queue.KeyBucket, MaxBytes: 32 << 20}); err != nil {
		t.Fatal(err)
	}
	if !configOf(t, b.js, keyStream).AllowDirect {
		t.Fatal("the library leaves direct reads off now: this test proves nothing")
	}
	provision(32 << 20)
	if keys := configOf(t, b.js, keyStream); keys.AllowDirect || keys.MaxMsgsPerSubject < 2 {
		t.Errorf("stream of keys: %+v", keys)
	}
}

func TestProvision_RefusesWhatLosesData(t *testing.T) {
	t.Parallel()
	good := jetstream.StreamConfig{
		Name: queue.StreamName, Subjects: []string{queue.Subject},
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: 64 << 20,
	}
	for name, test := range map[string]struct {
		change func(*jetstream.StreamConfig)
		words  string
	}{
		"retention": {func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "retention is Interest, but must be WorkQueue"},
		"storage":   {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage is Memory, but must be File"},
		"discard":   {func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard policy is DiscardOld"},
		"subjects":  {func(c *jetstream.StreamConfig) { c.Subjects = []string{"nexero.>"} }, "subjects is [nexero.>]"},
		"persist":   {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode is Async"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testkit.NATS(t)
			js := observe(t, url)
			bad := good
			test.change(&bad)
			if _, err := js.CreateStream(t.Context(), bad); err != nil {
				t.Fatal(err)
			}
			conn := connect(t, queue.Config{URL: url, MaxBytes: 64 << 20}, nil, queue.Operator)
			err := conn.Provision(t.Context())
			if !errors.Is(err, queue.ErrIncompatible) || !strings.Contains(err.Error(), test.words) || !strings.Contains(err.Error(), "nats stream rm") {
				t.Errorf("got %v, want ErrIncompatible with %q and a remedy", err, test.words)
			}
			if got := configOf(t, js, queue.StreamName); got.Retention != bad.Retention || got.Storage != bad.Storage || got.Discard != bad.Discard {
				t.Errorf("stream was changed: %+v", got)
			}
		})
	}
}

func TestProvision_RefusesAnotherConsumer(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Operator)
	if err := b.js.DeleteConsumer(t.Context(), queue.StreamName, queue.ConsumerName); err != nil {
		t.Fatal(err)
	}
	_, err := b.js.CreateConsumer(t.Context(), queue.StreamName, jetstream.ConsumerConfig{
		Durable: queue.ConsumerName, AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: queue.Subject,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Provision(t.Context()); !errors.Is(err, queue.ErrIncompatible) || !strings.Contains(err.Error(), "nats consumer rm") {
		t.Errorf("got %v, want ErrIncompatible and a remedy", err)
	}
}

// A byte limit that leaves the keys no room is refused before it hurts.
// A server that deletes a consumer removes its directory last, and with it that
// of a new one of the same name. The new one works, and no update of it succeeds.
func TestProvision_ConsumerWithoutFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, s.nats.URL(), queue.Consumer)
	dirs, err := filepath.Glob(filepath.Join(s.cfg.StoreDir, "jetstream", "*", "streams", queue.StreamName, "obs", queue.ConsumerName))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("directories of the consumer: %v, %v", dirs, err)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := connect(t, b.cfg, nil, queue.Consumer).Provision(t.Context()); err != nil {
		t.Errorf("a worker cannot start: %v", err)
	}
}

func TestProvision_StoreTooSmall(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{MaxStore: 64 << 20})
	conn := connect(t, queue.Config{URL: s.nats.URL(), MaxBytes: 60 << 20}, nil, queue.Operator)
	if err := conn.Provision(t.Context()); err == nil || !strings.Contains(err.Error(), "max_file_store") {
		t.Errorf("got %v, want the limits explained", err)
	}
	if _, _, err := conn.Keys(t.Context()); err != nil {
		t.Errorf("the keys got their room first: %v", err)
	}
}

func TestProvision_ReplicasNeedACluster(t *testing.T) {
	t.Parallel()
	conn := connect(t, queue.Config{URL: testkit.NATS(t), MaxBytes: 64 << 20, Replicas: 3}, nil, queue.Operator)
	if err := conn.Provision(t.Context()); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("got %v, want a complaint about replicas", err)
	}
}

// A service that opens the keys at its start outlasts a server that falls
// silent, and whose connection then breaks. // rule 10
func TestKeys_OutlastASilentServer(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Operator)
	if err := b.conn.ProvisionKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.hold(toClient, true)
	opened := make(chan error, 1)
	go func() {
		_, _, err := b.conn.Keys(t.Context())
		opened <- err
	}()
	p.caught(t, toClient)
	p.cut() // the answer is lost
	p.hold(toClient, false)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}
