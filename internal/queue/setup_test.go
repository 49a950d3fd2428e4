package queue_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// patience bounds every wait of these tests for something that must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a provisioned queue on a server of its own, and another client that
// looks at the server without the package under test.
type bundle struct {
	url  string
	cfg  queue.Config
	conn *queue.Conn
	js   jetstream.JetStream
	reg  *prometheus.Registry
}

func setup(t *testing.T, purpose queue.Purpose) *bundle {
	t.Helper()
	return setupAt(t, testkit.NATS(t), purpose)
}

func setupAt(t *testing.T, url string, purpose queue.Purpose) *bundle {
	t.Helper()
	return setupWith(t, url, purpose, 64<<20)
}

func setupWith(t *testing.T, url string, purpose queue.Purpose, maxBytes int64) *bundle {
	t.Helper()
	b := &bundle{url: url, cfg: queue.Config{URL: url, MaxBytes: maxBytes}, reg: prometheus.NewRegistry()}
	b.conn = connect(t, b.cfg, b.reg, purpose)
	b.js = observe(t, url)
	if err := b.conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect connects and closes at the end of the test.
func connect(t *testing.T, cfg queue.Config, reg prometheus.Registerer, purpose queue.Purpose) *queue.Conn {
	t.Helper()
	conn := open(t, cfg, reg, purpose)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			t.Logf("close: %v", err)
		}
	})
	return conn
}

func open(t *testing.T, cfg queue.Config, reg prometheus.Registerer, purpose queue.Purpose) *queue.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := queue.Connect(ctx, cfg, testkit.Logger(t), reg, purpose)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func observe(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// server is a private server that can be stopped and started again on the same
// files and port.
type server struct {
	cfg  devstack.NATSConfig
	nats *devstack.NATS
}

func startServer(t *testing.T, cfg devstack.NATSConfig) *server {
	t.Helper()
	cfg.StoreDir, cfg.Log = t.TempDir(), testkit.Logger(t)
	s := &server{cfg: cfg}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	var err error
	if s.nats, err = devstack.StartNATS(t.Context(), s.cfg); err != nil {
		t.Fatal(err)
	}
	s.cfg.Port = portOf(t, s.nats.URL())
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := s.nats.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// put publishes n messages of size bytes through the observer and returns their
// ids, which are also how they begin.
func (b *bundle) put(t *testing.T, n, size int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("message-%04d", i)
		body := append(slices.Grow([]byte(ids[i]), size), make([]byte, max(0, size-len(ids[i])))...)
		if _, err := b.js.Publish(t.Context(), queue.Subject, body, jetstream.WithMsgID(ids[i])); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// fetch fetches until something comes, which it must.
func fetch(t *testing.T, conn *queue.Conn, maxMessages, maxBytes int) []*queue.Message {
	t.Helper()
	messages, err := conn.Fetch(t.Context(), maxMessages, maxBytes, patience)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) == 0 {
		t.Fatal("fetched nothing")
	}
	return messages
}

// nothing fails the test when something is fetched.
func nothing(t *testing.T, conn *queue.Conn) {
	t.Helper()
	messages, err := conn.Fetch(t.Context(), 1, 0, 0)
	if err != nil || len(messages) != 0 {
		t.Fatalf("fetched %d messages, error %v, want none", len(messages), err)
	}
}

func idOf(m *queue.Message) string { return string(m.Data()[:len("message-0000")]) }

func idsOf(messages []*queue.Message) []string {
	var ids []string
	for _, m := range messages {
		ids = append(ids, idOf(m))
	}
	return ids
}

func ack(t *testing.T, messages ...*queue.Message) {
	t.Helper()
	for _, m := range messages {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until check stops returning a reason.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	reason := check()
	for reason != "" {
		select {
		case <-tick.C:
			reason = check()
		case <-deadline:
			t.Fatal("still: " + reason)
		}
	}
}

// stored waits until the stream holds want messages.
func (b *bundle) stored(t *testing.T, want uint64) {
	t.Helper()
	eventually(t, func() string {
		info := b.info(t)
		if info.State.Msgs != want {
			return fmt.Sprintf("%d messages stored, want %d", info.State.Msgs, want)
		}
		return ""
	})
}

func (b *bundle) info(t *testing.T) *jetstream.StreamInfo {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), queue.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo()
}

// counter reads one series of the bundle's registry, summed over its labels
// but those given.
func (b *bundle) counter(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, m := range family.GetMetric() {
			values := map[string]string{}
			for _, pair := range m.GetLabel() {
				values[pair.GetName()] = pair.GetValue()
			}
			for i := 0; i+1 < len(labels); i += 2 {
				if values[labels[i]] != labels[i+1] {
					continue metrics
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
