package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/queue"
)

// rule 3: a message stays until Ack, whatever else happens to it.
func TestFetch_NothingLeavesBeforeAck(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	before := time.Now().Add(-time.Minute)
	want := b.put(t, 5, 100)
	got := fetch(t, b.conn, 10, 0)
	if diff := cmp.Diff(want, idsOf(got)); diff != "" {
		t.Fatalf("fetched (-want +got):\n%s", diff)
	}
	for i, m := range got {
		if m.Deliveries() != 1 || m.Sequence() != uint64(i+1) || len(m.Data()) != 100 || m.StoredAt().Before(before) {
			t.Errorf("message %d: deliveries %d, sequence %d, %d bytes, stored at %s",
				i, m.Deliveries(), m.Sequence(), len(m.Data()), m.StoredAt())
		}
		if err := m.InProgress(); err != nil {
			t.Error(err)
		}
	}
	nothing(t, b.conn) // delivered, and not to be delivered again yet
	status, err := b.conn.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Messages != 5 || status.AckPending != 5 || status.Pending != 0 {
		t.Fatalf("status before Ack: %+v", status)
	}
	ack(t, got[:4]...)
	b.stored(t, 1)
	ack(t, got[4])
	b.stored(t, 0)
	if n := b.counter(t, "nexero_queue_fetched_messages_total"); n != 5 {
		t.Errorf("%v messages counted, want 5", n)
	}
}

func TestFetch_Redelivers(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	cfg := b.cfg
	cfg.AckWait = time.Second
	hasty := connect(t, cfg, nil, queue.Consumer)
	if err := hasty.Provision(t.Context()); err != nil { // AckWait of an existing consumer changes
		t.Fatal(err)
	}
	b.put(t, 1, 100)
	for delivery, giveBack := range []func(*queue.Message) error{
		func(m *queue.Message) error { return m.Nak(0) },
		func(m *queue.Message) error { return m.Nak(20 * time.Millisecond) },
		func(*queue.Message) error { return nil }, // forgotten: comes after AckWait
		(*queue.Message).Ack,
	} {
		m := fetch(t, b.conn, 1, 0)[0]
		if m.Deliveries() != delivery+1 {
			t.Errorf("delivery %d calls itself %d", delivery+1, m.Deliveries())
		}
		if err := giveBack(m); err != nil {
			t.Fatal(err)
		}
	}
	b.stored(t, 0)
	if n := b.counter(t, "nexero_queue_redelivered_messages_total"); n != 3 {
		t.Errorf("%v redeliveries counted, want 3", n)
	}
}

func TestFetch_KeepsToItsLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	ids := b.put(t, 6, 1000)
	steps := []struct {
		name                  string
		maxMessages, maxBytes int
		want                  []string
	}{
		{"by number", 2, 0, ids[:2]},
		{"by bytes", 10, 2500, ids[2:4]},
		{"smaller than one message", 10, 10, ids[4:5]},
		{"the rest", 10, 1 << 20, ids[5:]},
	}
	for _, step := range steps {
		if diff := cmp.Diff(step.want, idsOf(fetch(t, b.conn, step.maxMessages, step.maxBytes))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestFetch_OversizeWithoutWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	b.put(t, 1, 1<<20)
	// The server may have acknowledged a message that its consumer does not
	// know of yet.
	eventually(t, func() string {
		got, err := b.conn.Fetch(t.Context(), 10, 1000, 0)
		if err != nil || len(got) != 1 {
			return fmt.Sprintf("fetched %d messages, error %v, want 1", len(got), err)
		}
		return ""
	})
}

func TestFetch_EmptyQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	for _, wait := range []time.Duration{-1, 0, 10 * time.Millisecond} {
		got, err := b.conn.Fetch(t.Context(), 10, 0, wait)
		if err != nil || len(got) != 0 {
			t.Errorf("wait %s: %d messages, error %v", wait, len(got), err)
		}
	}
}

// begin starts a Fetch that waits.
func (b *bundle) begin(ctx context.Context) <-chan fetched {
	result := make(chan fetched, 1)
	go func() {
		messages, err := b.conn.Fetch(ctx, 10, 1<<20, patience)
		result <- fetched{messages, err}
	}()
	return result
}

type fetched struct {
	messages []*queue.Message
	err      error
}

// waiting waits until the server knows of want requests.
func (b *bundle) waiting(t *testing.T, want int) {
	t.Helper()
	eventually(t, func() string {
		status, err := b.conn.Status(t.Context())
		switch {
		case err != nil:
			return err.Error()
		case status.WaitingPulls != want:
			return "nobody waits"
		}
		return ""
	})
}

func finish(t *testing.T, result <-chan fetched) []*queue.Message {
	t.Helper()
	select {
	case got := <-result:
		if got.err != nil {
			t.Fatal(got.err)
		}
		return got.messages
	case <-time.After(2 * patience):
		t.Fatal("still waiting")
		return nil
	}
}

func TestFetch_FirstMessageEndsTheWait(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	result := b.begin(t.Context())
	b.waiting(t, 1)
	ids := b.put(t, 1, 100)
	if diff := cmp.Diff(ids, idsOf(finish(t, result))); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
	b.waiting(t, 0) // the request is not left behind
}

func TestFetch_ConsumerDeletedInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	result := b.begin(t.Context())
	b.waiting(t, 1)
	if err := b.js.DeleteConsumer(t.Context(), queue.StreamName, queue.ConsumerName); err != nil {
		t.Fatal(err)
	}
	ids := b.put(t, 3, 100)
	got := finish(t, result)
	for len(got) < len(ids) {
		got = append(got, fetch(t, b.conn, 10, 0)...)
	}
	if diff := cmp.Diff(ids, idsOf(got)); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
	if n := b.counter(t, "nexero_queue_consumer_recreations_total"); n != 1 {
		t.Errorf("%v recreations counted, want 1", n)
	}
	// Gone again, with messages in hand: they come once more, and the answers
	// to their first delivery do no harm.
	if err := b.js.DeleteConsumer(t.Context(), queue.StreamName, queue.ConsumerName); err != nil {
		t.Fatal(err)
	}
	again := fetch(t, b.conn, 10, 0)
	if diff := cmp.Diff(ids, idsOf(again)); diff != "" {
		t.Errorf("fetched after the second deletion (-want +got):\n%s", diff)
	}
	ack(t, got...)
	ack(t, again...)
	b.stored(t, 0)
}

func TestFetch_StreamMissing(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	result := make(chan error, 1)
	go func() {
		_, err := b.conn.Fetch(t.Context(), 10, 0, patience)
		result <- err
	}()
	b.waiting(t, 1)
	if err := b.js.DeleteStream(t.Context(), queue.StreamName); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, queue.ErrNoStream) {
		t.Errorf("deleted in flight: got %v, want ErrNoStream", err)
	}
	if _, err := b.conn.Fetch(t.Context(), 10, 0, patience); !errors.Is(err, queue.ErrNoStream) {
		t.Errorf("missing: got %v, want ErrNoStream", err)
	}
	// A new stream starts its numbers again; nothing may remember the old ones.
	if err := b.conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.put(t, 1, 100)
	if m := fetch(t, b.conn, 1, 0)[0]; m.Sequence() != 1 {
		t.Errorf("sequence %d, want 1", m.Sequence())
	}
}

func TestFetch_ManyShare(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	other := connect(t, b.cfg, nil, queue.Consumer)
	ids := b.put(t, 200, 500)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got []string
	)
	// Two connections, and two callers on each.
	for _, conn := range []*queue.Conn{b.conn, other, b.conn, other} {
		wg.Go(func() {
			for enough := false; !enough; {
				messages, err := conn.Fetch(t.Context(), 7, 3000, 100*time.Millisecond)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, idsOf(messages)...)
				enough = len(got) >= len(ids)
				mu.Unlock()
				for _, m := range messages {
					if m.Deliveries() != 1 {
						t.Errorf("%s delivered %d times", idOf(m), m.Deliveries())
					}
				}
				ack(t, messages...)
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("fetched together (-want +got):\n%s", diff)
	}
	b.stored(t, 0)
}
