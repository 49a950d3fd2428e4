package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// What the server delivers to a call that has given up is not lost.
func TestFetch_LateMessageComesOutOfTheNextCall(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	ids := b.leaveBehind(t)
	messages := fetch(t, b.conn, 10, 0)
	for len(messages) < len(ids) {
		messages = append(messages, fetch(t, b.conn, 10, 0)...)
	}
	if diff := cmp.Diff(ids, idsOf(messages)); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
	for _, m := range messages {
		if m.Deliveries() != 1 {
			t.Errorf("%s delivered %d times: it was lost and came again", idOf(m), m.Deliveries())
		}
	}
}

func TestClose_GivesLateMessagesBack(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	b := setupAt(t, url, queue.Operator)
	b.conn = open(t, b.cfg, nil, queue.Consumer)
	ids := b.leaveBehind(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.conn.Close(ctx); err != nil {
		t.Fatal(err)
	}
	// AckWait is longer than this test is patient.
	other := connect(t, b.cfg, nil, queue.Consumer)
	var got []string
	for len(got) < len(ids) {
		messages := fetch(t, other, 10, 0)
		ack(t, messages...)
		got = append(got, idsOf(messages)...)
	}
	slices.Sort(got)
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("fetched by another connection (-want +got):\n%s", diff)
	}
}

// leaveBehind makes a Fetch give up while its request still stands, and then
// messages that the server delivers to that request.
func (b *bundle) leaveBehind(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := b.begin(ctx)
	b.waiting(t, 1)
	cancel()
	if got := <-result; !errors.Is(got.err, context.Canceled) {
		t.Fatalf("got %d messages, error %v, want Canceled", len(got.messages), got.err)
	}
	ids := b.put(t, 1, 100)
	eventually(t, func() string {
		status, err := b.conn.Status(t.Context())
		switch {
		case err != nil:
			return err.Error()
		case status.AckPending != len(ids):
			return "not delivered"
		}
		return ""
	})
	return ids
}

// At MaxAckPending the server keeps requests open and turns others away. That
// may be slow, but it neither spins nor stops.
func TestFetch_AtMaxAckPending(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Consumer)
	consumer, err := b.js.Consumer(t.Context(), queue.StreamName, queue.ConsumerName)
	if err != nil {
		t.Fatal(err)
	}
	cfg := consumer.CachedInfo().Config
	cfg.MaxAckPending = 1
	if _, err := b.js.UpdateConsumer(t.Context(), queue.StreamName, cfg); err != nil {
		t.Fatal(err)
	}
	ids := b.put(t, 6, 100)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got []string
	)
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= len(ids)
	}
	for range 2 {
		wg.Go(func() {
			for !enough() {
				messages, err := b.conn.Fetch(t.Context(), 10, 0, 300*time.Millisecond)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, idsOf(messages)...)
				mu.Unlock()
				ack(t, messages...)
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

// rule 10: the queue is where it was after its server came back.
func TestFetch_ServerRestarts(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, s.nats.URL(), queue.Consumer)
	ids := b.put(t, 4, 100)
	first := fetch(t, b.conn, 2, 0)
	ack(t, first...)
	b.stored(t, 2)
	held := fetch(t, b.conn, 1, 0) // in hand while the server goes away

	s.stop(t)
	waiting := make(chan fetched, 1)
	go func() {
		messages, err := b.conn.Fetch(t.Context(), 10, 0, patience)
		waiting <- fetched{messages, err}
	}()
	s.start(t)
	var got []string
	for _, m := range finish(t, waiting) {
		got = append(got, idOf(m))
		ack(t, m)
	}
	ack(t, held...) // an answer to the delivery before the restart still counts
	b.stored(t, 0)
	if !slices.Contains(got, ids[3]) || slices.Contains(got, ids[0]) || slices.Contains(got, ids[1]) {
		t.Errorf("fetched %v after the restart, want %s and nothing acknowledged before", got, ids[3])
	}
}

// A request that was open when the line broke is made again.
func TestFetch_ConnectionBreaksWhileWaiting(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Consumer)
	result := b.begin(t.Context())
	b.waiting(t, 1)
	p.cut()
	ids := b.put(t, 1, 100)
	if diff := cmp.Diff(ids, idsOf(finish(t, result))); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

func TestFetch_Unreachable(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Consumer)
	b.put(t, 1, 100)
	p.hold(toServer, true)
	if _, err := b.conn.Fetch(t.Context(), 1, 0, 0); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("silent server: got %v, want ErrUnavailable", err)
	}
	p.cut()
	p.hold(toServer, false)
	m := fetch(t, b.conn, 1, 0)
	ack(t, m...)
	b.stored(t, 0)
}
