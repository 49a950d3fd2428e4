package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

func TestStatus_FollowsTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	b.put(t, 5, 1000)
	messages := fetch(t, b.conn, 3, 0)
	ack(t, messages[0], messages[2])
	b.stored(t, 3)
	status, err := b.conn.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Bytes < 3000 || status.Oldest.IsZero() {
		t.Errorf("%d bytes, oldest at %s", status.Bytes, status.Oldest)
	}
	status.Bytes, status.Oldest = 0, time.Time{}
	want := queue.Status{
		Messages: 3, MaxBytes: b.cfg.MaxBytes, FirstSequence: 2, LastSequence: 5,
		Replicas: 1, Leader: "nexero", Pending: 2, AckPending: 1,
	}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if err := b.js.DeleteConsumer(t.Context(), queue.StreamName, queue.ConsumerName); err != nil {
		t.Fatal(err)
	}
	if status, err = b.conn.Status(t.Context()); err != nil || !status.ConsumerMissing || status.Messages != 3 {
		t.Errorf("without a consumer: %+v, %v", status, err)
	}
	if err := b.js.DeleteStream(t.Context(), queue.StreamName); err != nil {
		t.Fatal(err)
	}
	if _, err = b.conn.Status(t.Context()); !errors.Is(err, queue.ErrNoStream) {
		t.Errorf("without a stream: got %v, want ErrNoStream", err)
	}
}

// The oldest message decides which partitions and ledger rows must exist, so it
// has to be right after acknowledgements out of order and after a restart.
func TestOldestMessage(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, s.nats.URL(), queue.Consumer)
	if _, ok, err := b.conn.OldestMessage(t.Context()); ok || err != nil {
		t.Fatalf("empty queue: ok %v, error %v", ok, err)
	}
	b.put(t, 4, 100)
	messages := fetch(t, b.conn, 4, 0)
	oldest := func(want *queue.Message) {
		t.Helper()
		got, ok, err := b.conn.OldestMessage(t.Context())
		if err != nil || !ok || !got.Equal(want.StoredAt()) {
			t.Errorf("oldest at %s (%v, %v), want %s", got, ok, err, want.StoredAt())
		}
	}
	oldest(messages[0])
	ack(t, messages[1])
	b.stored(t, 3)
	oldest(messages[0])
	ack(t, messages[0])
	b.stored(t, 2)
	oldest(messages[2])
	s.stop(t)
	s.start(t)
	eventually(t, func() string {
		if _, err := b.conn.Status(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	oldest(messages[2])
	ack(t, messages[2], messages[3])
	eventually(t, func() string {
		if _, ok, err := b.conn.OldestMessage(t.Context()); ok || err != nil {
			return "not empty"
		}
		return ""
	})
}

func TestPeek_LeavesMessagesAndSkipsHoles(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	ids := b.put(t, 6, 100)
	messages := fetch(t, b.conn, 6, 0)
	ack(t, messages[0], messages[2], messages[3])
	b.stored(t, 3)
	peek := func(n int) (seen []string) {
		t.Helper()
		err := b.conn.Peek(t.Context(), n, func(sequence uint64, storedAt time.Time, data []byte) error {
			if m := messages[sequence-1]; !storedAt.Equal(m.StoredAt()) {
				t.Errorf("message %d stored at %s, want %s", sequence, storedAt, m.StoredAt())
			}
			seen = append(seen, string(data[:len(ids[0])]))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return seen
	}
	if diff := cmp.Diff([]string{ids[1], ids[4]}, peek(2)); diff != "" {
		t.Errorf("first two (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{ids[1], ids[4], ids[5]}, peek(100)); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	stop := errors.New("seen enough")
	if err := b.conn.Peek(t.Context(), 2, func(uint64, time.Time, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the callback's error", err)
	}
	b.stored(t, 3)
	ack(t, messages...)
	b.stored(t, 0)
	if seen := peek(3); len(seen) != 0 {
		t.Errorf("peeked %v into an empty queue", seen)
	}
	if err := b.js.DeleteStream(t.Context(), queue.StreamName); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Peek(t.Context(), 1, nil); !errors.Is(err, queue.ErrNoStream) {
		t.Errorf("without a stream: got %v, want ErrNoStream", err)
	}
}

func TestMetrics_ShowTheQueueOnScrape(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	// The stages of one process share a registry.
	connect(t, b.cfg, b.reg, queue.Publisher)
	b.put(t, 3, 100)
	labels := []string{"connection", "consumer"}
	for name, want := range map[string]float64{
		"nexero_queue_connected":        1,
		"nexero_queue_messages":         3,
		"nexero_queue_pending_messages": 3,
		"nexero_queue_max_bytes":        float64(b.cfg.MaxBytes),
		"nexero_queue_lost_messages":    0,
	} {
		if got := b.counter(t, name, labels...); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if got := b.counter(t, "nexero_queue_oldest_message_timestamp_seconds", labels...); got == 0 {
		t.Error("age of the oldest message is missing")
	}
	if err := b.js.DeleteStream(t.Context(), queue.StreamName); err != nil {
		t.Fatal(err)
	}
	if got := b.counter(t, "nexero_queue_connected", labels...); got != 1 {
		t.Errorf("a scrape without a stream says connected %v, want 1", got)
	}
	if got := b.counter(t, "nexero_queue_scrape_errors_total", labels...); got == 0 {
		t.Error("the failed scrape is not counted")
	}
}
