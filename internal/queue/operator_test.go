package queue_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// What the operator's commands need first makes nothing else.
func TestProvisionKeys_MakesTheBucketOnly(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	for range 2 {
		conn := connect(t, queue.Config{URL: url}, nil, queue.Operator)
		if err := conn.ProvisionKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Keys(t.Context()); err != nil {
			t.Errorf("the bucket cannot be opened: %v", err)
		}
		if _, err := conn.Status(t.Context()); !errors.Is(err, queue.ErrNoStream) {
			t.Errorf("the stream of events: %v, want ErrNoStream", err)
		}
	}
	js := observe(t, url)
	if keys := configOf(t, js, keyStream); keys.AllowDirect || keys.MaxBytes <= 0 || keys.MaxMsgsPerSubject < 2 {
		t.Errorf("stream of keys: %+v", keys)
	}
	// A service brings the rest.
	conn := connect(t, queue.Config{URL: url, MaxBytes: 64 << 20}, nil, queue.Publisher)
	if err := conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := configOf(t, js, queue.StreamName).MaxBytes; got != 64<<20 {
		t.Errorf("the stream of events holds %d bytes, want %d", got, 64<<20)
	}
}

// A command with the defaults, or with old settings, does not shrink the queue
// under the services, nor change how they are served.
func TestProvision_OperatorChangesNothing(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	js := observe(t, url)
	service := connect(t, queue.Config{URL: url, MaxBytes: 64 << 20, AckWait: 45 * time.Second}, nil, queue.Consumer)
	if err := service.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	type settings struct {
		Events, Keys jetstream.StreamConfig
		Loader       jetstream.ConsumerConfig
	}
	look := func() settings {
		t.Helper()
		consumer, err := js.Consumer(t.Context(), queue.StreamName, queue.ConsumerName)
		if err != nil {
			t.Fatal(err)
		}
		return settings{configOf(t, js, queue.StreamName), configOf(t, js, keyStream), consumer.CachedInfo().Config}
	}
	before := look()
	for name, cfg := range map[string]queue.Config{
		"defaults": {URL: url},
		"smaller":  {URL: url, MaxBytes: 32 << 20, AckWait: 10 * time.Second},
		"larger":   {URL: url, MaxBytes: 128 << 20, AckWait: time.Minute, Replicas: 3},
	} {
		operator := connect(t, cfg, nil, queue.Operator)
		if err := errors.Join(operator.Provision(t.Context()), operator.ProvisionKeys(t.Context())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, look()); diff != "" {
			t.Errorf("%s: settings (-before +after):\n%s", name, diff)
		}
	}
}

// An operator makes a consumer that is missing; when a service does so at the
// same time, the service's settings win.
func TestProvision_OperatorLosesTheRaceForTheConsumer(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	js := observe(t, url)
	service := connect(t, queue.Config{URL: url, MaxBytes: 64 << 20, AckWait: 45 * time.Second}, nil, queue.Consumer)
	operator := connect(t, queue.Config{URL: url, MaxBytes: 64 << 20}, nil, queue.Operator)
	for _, both := range []bool{false, true, true, true, true} {
		if err := service.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteConsumer(t.Context(), queue.StreamName, queue.ConsumerName); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		provision := func(conn *queue.Conn) {
			wg.Go(func() {
				if err := conn.Provision(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		provision(operator)
		want := queue.DefaultAckWait
		if both {
			provision(service)
			want = 45 * time.Second
		}
		wg.Wait()
		consumer, err := js.Consumer(t.Context(), queue.StreamName, queue.ConsumerName)
		if err != nil {
			t.Fatal(err)
		}
		if got := consumer.CachedInfo().Config.AckWait; got != want {
			t.Errorf("with a service %v: ack wait %s, want %s", both, got, want)
		}
	}
}
