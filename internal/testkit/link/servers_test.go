package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func database(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// Both ends of the same uncertainty: a client that lost its connection during
// COMMIT cannot tell them apart.
func TestPostgres_CommitIsLostOrItsAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		said Said
		rows int
	}{
		{"its answer", Said{Direction: ToClient, Pattern: CommitAnswered, N: 2}, 2},
		{"the question", Said{Direction: ToServer, Pattern: CommitAsked, N: 2}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := testkit.EmptyDatabase(t)
			direct := database(t, address)
			if _, err := direct.Exec(t.Context(), "CREATE TABLE kept (n integer)"); err != nil {
				t.Fatal(err)
			}
			l, proxied := Before(t, address)
			fired := l.CutOn(test.said)
			conn := database(t, proxied)
			insert := func(n int) error {
				for _, statement := range []string{"BEGIN", "INSERT INTO kept VALUES (1)", "COMMIT"} {
					if _, err := conn.Exec(t.Context(), statement); err != nil {
						if statement != "COMMIT" {
							t.Fatalf("%d: %s: %v", n, statement, err)
						}
						return err
					}
				}
				return nil
			}
			if err := insert(1); err != nil {
				t.Fatal(err)
			}
			if err := insert(2); err == nil || !conn.IsClosed() {
				t.Errorf("the client heard %v", err)
			}
			wantFired(t, fired)
			// The server decides when it sees the end of the connection.
			gone(t, direct)
			var rows int
			if err := direct.QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&rows); err != nil || rows != test.rows {
				t.Errorf("%d rows are kept, %v; want %d", rows, err, test.rows)
			}
		})
	}
}

// gone waits until conn's is the only session of its database.
func gone(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var others int
		const query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
		if err := conn.QueryRow(t.Context(), query).Scan(&others); err != nil {
			t.Fatal(err)
		}
		if others == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions are still there", others)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func connectQueue(t *testing.T, address string, purpose queue.Purpose) *queue.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := queue.Connect(ctx, queue.Config{URL: address, MaxBytes: 64 << 20}, testkit.Logger(t), prometheus.NewRegistry(), purpose)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			t.Logf("close: %v", err)
		}
	})
	return conn
}

func TestNATS_PubAckIsLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		steps []Said
	}{
		{"by what it says", []Said{{Direction: ToClient, Pattern: PublishAnswered, N: 2}}},
		{"by what it answers", []Said{{Direction: ToServer, Pattern: Published, N: 2}, {Direction: ToClient, Pattern: "MSG _INBOX."}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := testkit.NATS(t)
			l, proxied := Before(t, address)
			direct := connectQueue(t, address, queue.Consumer)
			if err := direct.Provision(t.Context()); err != nil {
				t.Fatal(err)
			}
			publisher := connectQueue(t, proxied, queue.Publisher)
			fired := l.CutOn(test.steps...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := publisher.Publish(ctx, "one", []byte("first")); err != nil {
				t.Fatal(err)
			}
			if err := publisher.Publish(ctx, "two", []byte("second")); !errors.Is(err, queue.ErrUnknownOutcome) {
				t.Errorf("the publisher heard %v", err)
			}
			wantFired(t, fired)
			wantMessages(t, direct, "first", "second")
		})
	}
}

// wantMessages fetches exactly these, in any number of fetches.
func wantMessages(t *testing.T, conn *queue.Conn, want ...string) {
	t.Helper()
	for i := 0; i < len(want); {
		messages, err := conn.Fetch(t.Context(), 10, 0, patience)
		if err != nil || len(messages) == 0 {
			t.Fatalf("%d messages came of %d, %v", i, len(want), err)
		}
		for _, m := range messages {
			if i == len(want) || string(m.Data()) != want[i] {
				t.Fatalf("message %d is %q", i, m.Data())
			}
			i++
		}
	}
}

// The message of a worker whose ack was lost comes again.
func TestNATS_AckIsLost(t *testing.T) {
	t.Parallel()
	address := testkit.NATS(t)
	l, proxied := Before(t, address)
	direct := connectQueue(t, address, queue.Publisher)
	if err := direct.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	worker := connectQueue(t, proxied, queue.Consumer)
	if err := direct.Publish(t.Context(), "one", []byte("first")); err != nil {
		t.Fatal(err)
	}
	messages, err := worker.Fetch(t.Context(), 1, 0, patience)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	fired := l.CutOn(Said{Direction: ToServer, Pattern: Acked})
	if err := messages[0].Ack(); err != nil {
		t.Fatal(err)
	}
	wantFired(t, fired)
	status, err := direct.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.AckPending != 1 {
		t.Errorf("the server waits for %d acks, want 1: %+v", status.AckPending, status)
	}
}
