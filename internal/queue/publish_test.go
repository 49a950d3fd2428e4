package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

// rule 1: nil means that the stream has it.
func TestPublish_NilMeansStored(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	body := []byte("an envelope")
	if err := b.conn.Publish(t.Context(), "id-1", body); err != nil {
		t.Fatal(err)
	}
	stream, err := b.js.Stream(t.Context(), queue.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Data, body) || m.Header.Get(jetstream.MsgIDHeader) != "id-1" {
		t.Errorf("stored %q with headers %v", m.Data, m.Header)
	}
	if got := b.counter(t, "nexero_queue_publishes_total", "outcome", "stored"); got != 1 {
		t.Errorf("%v publishes counted as stored, want 1", got)
	}
}

func TestPublish_KnownIDIsSuccessAndStoresNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	for range 3 {
		if err := b.conn.Publish(t.Context(), "id-1", []byte("an envelope")); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.info(t).State.Msgs; got != 1 {
		t.Errorf("%d messages stored, want 1", got)
	}
	if got := b.counter(t, "nexero_queue_publishes_total", "outcome", "duplicate"); got != 2 {
		t.Errorf("%v publishes counted as duplicates, want 2", got)
	}
}

// rules 5 and 6: a full queue keeps what it has and says so.
func TestPublish_FullUntilSomethingIsAcknowledged(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	cfg := b.cfg
	cfg.MaxBytes = 1 << 20
	small := connect(t, cfg, nil, queue.Publisher)
	if err := small.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := b.put(t, 3, 300<<10)
	body := make([]byte, 300<<10)
	if err := b.conn.Publish(t.Context(), "one-too-many", body); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if got := b.info(t).State.Msgs; got != uint64(len(ids)) {
		t.Fatalf("%d messages stored, want %d", got, len(ids))
	}
	// A known id is still answered: it needs no room.
	if err := b.conn.Publish(t.Context(), ids[0], body); err != nil {
		t.Errorf("repeat of a stored message: %v", err)
	}
	ack(t, fetch(t, small, 1, 0)...)
	b.stored(t, uint64(len(ids)-1))
	if err := b.conn.Publish(t.Context(), "one-too-many", body); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// rules 5 and 6: a publisher whose last message found no room is not ready until
// somebody has made room, and then it is without another publish.
func TestReady_FullUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	cfg := b.cfg
	cfg.MaxBytes = 1 << 20
	small := connect(t, cfg, nil, queue.Publisher)
	if err := small.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.put(t, 3, 300<<10)
	if err := b.conn.Ready(); err != nil {
		t.Fatalf("before anything was refused: %v", err)
	}
	if err := b.conn.Publish(t.Context(), "one-too-many", make([]byte, 300<<10)); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	// What is small still fits, and makes nothing ready.
	if err := b.conn.Publish(t.Context(), "small", []byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { // an answer is repeated for half a second
		if err := b.conn.Ready(); !errors.Is(err, queue.ErrFull) {
			return fmt.Sprintf("ready: %v, want ErrFull", err)
		}
		return ""
	})
	ack(t, fetch(t, small, 1, 0)...)
	b.stored(t, 3)
	eventually(t, func() string {
		if err := b.conn.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
}

func TestPublish_TooLarge(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	if err := b.conn.Publish(t.Context(), "id-1", make([]byte, b.conn.MaxPayload())); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("beyond max_payload: got %v, want ErrTooLarge", err)
	}
	cfg := b.info(t).Config
	cfg.MaxMsgSize = 1000
	if _, err := b.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Publish(t.Context(), "id-2", make([]byte, 2000)); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("beyond the stream's limit: got %v, want ErrTooLarge", err)
	}
	if err := b.conn.Publish(t.Context(), "id-3", make([]byte, 500)); err != nil {
		t.Errorf("connection is of no use afterwards: %v", err)
	}
}

// The largest message that MaxPayload allows is not refused by anybody.
func TestPublish_LargestMessage(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	const room = 200 // for the headers
	if err := b.conn.Publish(t.Context(), "id-1", make([]byte, b.conn.MaxPayload()-room)); err != nil {
		t.Error(err)
	}
}

func TestPublish_NothingStoredWithoutItsStream(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	if err := b.js.DeleteStream(t.Context(), queue.StreamName); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Publish(t.Context(), "id-1", []byte("x")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("no stream: got %v, want ErrUnavailable", err)
	}
	other, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"nexero.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Publish(t.Context(), "id-1", []byte("x")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("stream of somebody else: got %v, want ErrUnavailable", err)
	}
	info, err := other.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("the other stream holds %d messages (%v), want 0", info.State.Msgs, err)
	}
}

func TestPublish_ContextAlreadyDone(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.conn.Publish(ctx, "id-1", []byte("x")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if got := b.info(t).State.Msgs; got != 0 {
		t.Errorf("%d messages stored, want 0", got)
	}
}

func TestPublish_ServerStopped(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, s.nats.URL(), queue.Publisher)
	s.stop(t)
	// The first attempts may meet a connection that does not know yet.
	eventually(t, func() string {
		err := b.conn.Publish(t.Context(), "id-1", []byte("x"))
		switch {
		case errors.Is(err, queue.ErrUnavailable):
			return ""
		case errors.Is(err, queue.ErrUnknownOutcome):
			return err.Error()
		}
		t.Fatalf("got %v, want ErrUnavailable", err)
		return ""
	})
	s.start(t)
	eventually(t, func() string {
		if err := b.conn.Publish(t.Context(), "id-1", []byte("x")); err != nil {
			return err.Error()
		}
		return ""
	})
	b.stored(t, 1)
	if got := b.counter(t, "nexero_queue_reconnects_total"); got < 1 {
		t.Errorf("%v reconnects counted, want at least 1", got)
	}
}

// The message is stored and the answer is lost: the case for which the same
// bytes have to go out again under the same id.
func TestPublish_AnswerLost(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Publisher)
	p.hold(toClient, true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.conn.Publish(ctx, "id-1", []byte("x")); !errors.Is(err, queue.ErrUnknownOutcome) {
		t.Fatalf("got %v, want ErrUnknownOutcome", err)
	}
	b.stored(t, 1)
	p.cut() // what was held is lost
	p.hold(toClient, false)
	eventually(t, func() string {
		if err := b.conn.Publish(t.Context(), "id-1", []byte("x")); err != nil {
			return err.Error()
		}
		return ""
	})
	b.stored(t, 1)
	if got := b.counter(t, "nexero_queue_publishes_total", "outcome", "duplicate"); got != 1 {
		t.Errorf("%v publishes counted as duplicates, want 1", got)
	}
}

// A publisher that waits hears of a broken connection at once, long before its
// deadline.
func TestPublish_DisconnectedWhileWaiting(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Publisher)
	p.hold(toServer, true)
	result := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	go func() { result <- b.conn.Publish(ctx, "id-1", []byte("x")) }()
	// It waits for an answer once its bytes have reached the proxy.
	p.caught(t, toServer)
	p.cut()
	select {
	case err := <-result:
		if !errors.Is(err, queue.ErrUnknownOutcome) {
			t.Errorf("got %v, want ErrUnknownOutcome", err)
		}
	case <-time.After(patience):
		t.Fatal("still waiting")
	}
}
