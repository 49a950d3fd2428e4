package workerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func settings(t *testing.T, nats, database string) *config.Worker {
	t.Helper()
	flags := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	if err := config.Register[config.Worker](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Worker](flags, []string{"NEXERO_NATS_URL=" + nats, "NEXERO_DATABASE_URL=" + database})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// publish puts messages into the queue as an ingest would.
func publish(t *testing.T, nats string, messages ...[]byte) *queue.Conn {
	t.Helper()
	conn, err := queue.Connect(t.Context(), queue.Config{URL: nats}, testkit.Logger(t), nil, queue.Publisher)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Logf("close: %v", err)
		}
	})
	err = conn.Provision(t.Context())
	for i, message := range messages {
		err = errors.Join(err, conn.Publish(t.Context(), fmt.Sprintf("message-%d", i), message))
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// sealed is a message with one batch of one event, as number names it.
func sealed(t *testing.T, number byte) []byte {
	t.Helper()
	now := event.MicrosOf(time.Now())
	encoded, err := envelope.AppendBatch(nil, &event.Batch{
		Tenant: "acme", ID: event.UUID{number, 1}, ReceiptID: event.UUID{number, 2}, ReceivedAt: now,
		Sessions: []event.Session{{Key: event.SessionKey("acme", "tour"), ClientID: "tour"}},
		Events:   []event.Event{{Type: event.ZoneEnter, Zone: "kitchen", OccurredAt: now}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b envelope.Builder
	b.Add(encoded)
	return b.Seal()
}

// What the queue holds is stored and leaves it; what nobody can read is kept;
// the stop is clean.
//
// rule 3, rule 5, rule 10
func TestWorker_EmptiesTheQueue(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	conn := publish(t, nats, sealed(t, 1), []byte("rubbish"))
	w, err := New(t.Context(), settings(t, nats, database), testkit.Logger(t), prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	awaitEmpty(t, conn)
	for _, check := range w.Checks() {
		if err := check.Ready(); err != nil {
			t.Errorf("%s is not ready: %v", check.Name, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	var events, damaged int
	err = db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM nexero.events WHERE zone = 'kitchen'), (SELECT count(*) FROM nexero.damaged_messages)`).
		Scan(&events, &damaged)
	if err != nil || events != 1 || damaged != 1 {
		t.Errorf("%d events and %d damaged messages are stored, %v; want 1 and 1", events, damaged, err)
	}
}

func awaitEmpty(t *testing.T, conn *queue.Conn) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		status, err := conn.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status.Messages == 0 {
			return
		}
		<-tick.C
	}
	t.Fatal("the queue does not empty")
}

// A worker takes no schema but its own, and says what to do about another.
//
// rule 3
func TestNew_RefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, version, want string }{
		{"none", "", "nexero migrate"},
		{"older", "version - 1", "nexero migrate"},
		{"newer", "version + 1", "install the newer program"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			database := testkit.EmptyDatabase(t)
			if test.version != "" {
				database = testkit.Database(t)
				db, err := pgx.Connect(t.Context(), database)
				if err == nil {
					_, err = db.Exec(t.Context(), "UPDATE public.nexero_schema_version SET version = "+test.version)
				}
				if err := errors.Join(err, db.Close(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			_, err := New(t.Context(), settings(t, testkit.NATS(t), database), testkit.Logger(t), prometheus.NewRegistry(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

// A worker that could not see a frozen one says so once, and works.
func TestNew_WarnsWhenFrozenWorkersAreUnseen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, setting, want string
		lines               int
	}{
		{"seen", "on", "", 0},
		{"unseen", "off", "track_activities is off", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			database := testkit.Database(t)
			db, err := pgx.Connect(t.Context(), database)
			if err == nil {
				_, err = db.Exec(t.Context(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_activities = "+test.setting+"', current_database()); END $$")
			}
			if err := errors.Join(err, db.Close(t.Context())); err != nil {
				t.Fatal(err)
			}
			w, err := New(t.Context(), settings(t, testkit.NATS(t), database), slog.New(slog.NewJSONHandler(&log, nil)), prometheus.NewRegistry(), nil)
			if err != nil {
				t.Fatal(err)
			}
			stopped, stop := context.WithCancel(t.Context())
			stop()
			if err := w.Run(stopped); err != nil {
				t.Errorf("Run: %v", err)
			}
			if n := strings.Count(log.String(), "may hold up the others"); n != test.lines || !strings.Contains(log.String(), test.want) {
				t.Errorf("%d warnings, want %d with %q:\n%s", n, test.lines, test.want, log.String())
			}
		})
	}
}

// A database that is away is waited for, and a stop ends the wait.
func TestNew_WaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	cfg := settings(t, testkit.NATS(t), "postgres://nobody:hidden@127.0.0.1:1/nowhere")
	_, err := New(ctx, cfg, testkit.Logger(t), prometheus.NewRegistry(), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the end of the wait", err)
	}
	// rule 8
	if err != nil && strings.Contains(err.Error(), "hidden") {
		t.Errorf("error %v tells the password", err)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]worker.Class{
		"40001": worker.ClassRetry, "53100": worker.ClassRetry, "42P01": worker.ClassStop, "42501": worker.ClassStop, "22021": worker.ClassData,
	} {
		if got := classify(&pgconn.PgError{Severity: "ERROR", Code: code}); got != want {
			t.Errorf("SQLSTATE %s is of class %s, want %s", code, got, want)
		}
	}
}
