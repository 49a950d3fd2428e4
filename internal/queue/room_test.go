package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/queue"
)

// notReady waits until Ready is want, which takes as long as an earlier answer
// holds.
func (b *bundle) notReady(t *testing.T, want error) {
	t.Helper()
	eventually(t, func() string {
		if err := b.conn.Ready(); !errors.Is(err, want) {
			return fmt.Sprintf("ready: %v, want %v", err, want)
		}
		return ""
	})
}

// ready waits until Ready is nil. Nobody publishes meanwhile.
func (b *bundle) ready(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		if err := b.conn.Ready(); err != nil {
			return err.Error()
		}
		return ""
	})
}

// onlyProbe fails the test unless the stream holds one message and that is an
// envelope of nothing.
func (b *bundle) onlyProbe(t *testing.T) {
	t.Helper()
	b.stored(t, 1)
	stream, err := b.js.Stream(t.Context(), queue.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), queue.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if batches, err := envelope.Open(m.Data); err != nil || len(batches) != 0 {
		t.Errorf("stored an envelope of %d batches (%v), want an empty one", len(batches), err)
	}
}

// hoard makes a stream without a limit, as somebody else on the server may have,
// and fills it with n messages of size bytes.
func (b *bundle) hoard(t *testing.T, n, size int) {
	t.Helper()
	if _, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "HOARD", Subjects: []string{"hoard"}}); err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := b.js.Publish(t.Context(), "hoard", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
}

// rules 5 and 6: the server's limit is met while the stream is empty. No client
// of an account can ask for that limit.
func TestReady_ServersStoreIsFull(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{MaxStore: 34 << 20})
	b := setupWith(t, s.nats.URL(), queue.Publisher, 1<<20)
	b.hoard(t, 5, 7<<20)
	if err := b.conn.Publish(t.Context(), "id-1", []byte("x")); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("publish: %v, want ErrFull", err)
	}
	b.notReady(t, queue.ErrFull)
	if got := b.counter(t, "nexero_queue_publishes_total", "outcome", "full"); got < 2 {
		t.Errorf("%v attempts counted as full, want the post's and those of readiness", got)
	}
	if got := b.info(t).State.Msgs; got != 0 {
		t.Fatalf("%d messages stored while the server is full", got)
	}
	if err := b.js.DeleteStream(t.Context(), "HOARD"); err != nil {
		t.Fatal(err)
	}
	b.ready(t)
	b.onlyProbe(t)
	b.ready(t)
	b.onlyProbe(t)
}

// rules 5 and 6: the account's limit leaves room for little, which makes nobody
// ready for what was refused.
func TestReady_AccountIsFull(t *testing.T) {
	t.Parallel()
	const limit, hoarded = 33 << 20, 30 << 20
	for name, tier := range map[string]string{"one limit": "", "by number of replicas": "R1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := startNode(t)
			limitAccount(t, node, tier, 2*limit) // a stream's tier is that of when it was made
			b := setupWith(t, node.ClientURL(), queue.Publisher, 8<<20)
			b.hoard(t, 5, hoarded/5)
			limitAccount(t, node, tier, limit)
			if err := b.conn.Publish(t.Context(), "id-1", make([]byte, limit-hoarded)); !errors.Is(err, queue.ErrFull) {
				t.Fatalf("publish: %v, want ErrFull", err)
			}
			if err := b.conn.Publish(t.Context(), "id-2", []byte("x")); err != nil {
				t.Fatalf("publish what fits: %v", err)
			}
			b.notReady(t, queue.ErrFull)
			b.stored(t, 1) // no more was offered
			if err := b.js.DeleteStream(t.Context(), "HOARD"); err != nil {
				t.Fatal(err)
			}
			b.ready(t)
		})
	}
}

// rule 5: a server that cannot write, as on a full disk, answers no publisher any
// more until its next start, and everybody else as if nothing were wrong.
func TestReady_StoreFailed(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupWith(t, s.nats.URL(), queue.Publisher, 64<<20)
	messages := filepath.Join(s.cfg.StoreDir, "jetstream", "$G", "streams", queue.StreamName, "msgs")
	if err := os.Rename(messages, messages+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(messages, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The file that is open takes some more; the next one cannot be made.
	var err error
	for i := 0; err == nil && i < 20; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err = b.conn.Publish(ctx, fmt.Sprintf("id-%d", i), make([]byte, 3<<20))
		cancel()
	}
	if !errors.Is(err, queue.ErrUnknownOutcome) {
		t.Fatalf("publish: %v, want ErrUnknownOutcome", err)
	}
	if _, err := b.conn.Status(t.Context()); err != nil {
		t.Errorf("status: %v, want one as if nothing were wrong", err)
	}
	b.notReady(t, queue.ErrUnknownOutcome)

	s.stop(t)
	if err := os.Remove(messages); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(messages+".away", messages); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	b.ready(t)
}

// An answer that was late once is no reason for staying not ready, and nothing
// is offered when all is well.
func TestReady_AnswerWasLate(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Publisher)
	b.ready(t)
	b.stored(t, 0)
	p.hold(toClient, true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.conn.Publish(ctx, "id-1", []byte("x")); !errors.Is(err, queue.ErrUnknownOutcome) {
		t.Fatalf("publish: %v, want ErrUnknownOutcome", err)
	}
	p.hold(toClient, false)
	eventually(t, func() string { // an answer from before holds for half a second
		err, got := b.conn.Ready(), b.info(t).State.Msgs
		if err != nil || got != 2 {
			return fmt.Sprintf("ready: %v, and %d messages stored, want the message and what showed that it is taken", err, got)
		}
		return ""
	})
}

// startNode runs a server whose accounts a test can get at.
func startNode(t *testing.T) *natsserver.Server {
	t.Helper()
	node, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	node.Start()
	t.Cleanup(func() {
		node.Shutdown()
		node.WaitForShutdown()
	})
	if !node.ReadyForConnections(patience) {
		t.Fatal("server does not come up")
	}
	return node
}

// limitAccount sets what the one account of node may store, in streams with the
// replicas that tier names, or in all with an empty one.
func limitAccount(t *testing.T, node *natsserver.Server, tier string, bytes int64) {
	t.Helper()
	account, err := node.LookupAccount("$G")
	if err != nil {
		t.Fatal(err)
	}
	if err := account.UpdateJetStreamLimits(map[string]natsserver.JetStreamAccountLimits{tier: {
		MaxMemory: -1, MaxStore: bytes, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
	}}); err != nil {
		t.Fatal(err)
	}
}
