package workerd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/rollup"
	"github.com/nexero-vr/nexero/internal/testkit"
)

const tourists = 30

// step is a message with the same step of each of some tours: a visit of two
// seconds, of which number 0 is the first.
func step(t *testing.T, number int, begin time.Time) []byte {
	t.Helper()
	var b envelope.Builder
	entered := event.MicrosOf(begin) + event.Micros(number)*10_000_000
	for tour := range tourists {
		name := fmt.Sprintf("tour-%d", tour)
		zone := fmt.Sprintf("room-%d", number%3)
		batch := &event.Batch{
			Tenant: "acme", ID: event.UUID{1, byte(number), byte(tour)}, ReceiptID: event.UUID{2, byte(number), byte(tour)}, ReceivedAt: event.MicrosOf(time.Now()),
			Sessions: []event.Session{{Key: event.SessionKey("acme", name), ClientID: name}},
			Events: []event.Event{
				{Type: event.ZoneEnter, Zone: zone, OccurredAt: entered},
				{Type: event.ZoneExit, Zone: zone, OccurredAt: entered + 2_000_000, Index: 1},
			},
		}
		encoded, err := envelope.AppendBatch(nil, batch)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(encoded)
	}
	return b.Seal()
}

// running is a worker and what its Run returns.
type running struct {
	*Worker

	cancel context.CancelFunc
	ended  chan error
}

func run(t *testing.T, cfg *config.Worker) running {
	t.Helper()
	w, err := New(t.Context(), cfg, testkit.Logger(t), prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := running{w, cancel, make(chan error, 1)}
	go func() { r.ended <- w.Run(ctx) }()
	return r
}

func (r running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// await asks the database until it says so.
func await(t *testing.T, db *pgx.Conn, what, query string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		var there bool
		if err := db.QueryRow(t.Context(), query).Scan(&there); err != nil {
			t.Fatal(err)
		}
		if there {
			return
		}
		<-tick.C
	}
	t.Fatalf("waited in vain: %s", what)
}

const nothingWaits = `SELECT NOT EXISTS (SELECT FROM nexero.session_touches) AND EXISTS (SELECT FROM nexero.session_facts WHERE events > 0)`

// What is loaded shows in facts and aggregates, batches that come out of order
// as well, whenever the worker is stopped in between.
//
// rule 4, rule 10
func TestWorker_RollsUpWhatItLoads(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	cfg := settings(t, nats, database)
	cfg.Rollup.Interval, cfg.Rollup.Pause, cfg.Rollup.Loops, cfg.Rollup.Sessions = 100*time.Millisecond, 20*time.Millisecond, 2, 8
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))

	begin := time.Now().Add(-time.Hour).Truncate(time.Hour) // all on one day and in one hour
	const steps = 6
	first := publish(t, nats, step(t, 1, begin))
	w := run(t, cfg)
	await(t, db, "the first facts", `SELECT count(*) = 30 FROM nexero.session_facts WHERE events = 2`)
	for _, check := range w.Checks() {
		if err := check.Ready(); err != nil {
			t.Errorf("%s is not ready: %v", check.Name, err)
		}
	}
	// Stopped at some moment of loading or rolling up, and started again.
	for i, number := range []int{3, 0, 5, 2, 4} {
		if err := first.Publish(t.Context(), fmt.Sprintf("step-%d", number), step(t, number, begin)); err != nil {
			t.Fatal(err)
		}
		if i == 1 || i == 3 {
			await(t, db, "some facts of the step", fmt.Sprintf(`SELECT count(*) > 0 FROM nexero.session_facts WHERE events = %d`, 2*(i+2)))
			w.stop(t)
			w = run(t, cfg)
		}
	}
	awaitEmpty(t, first)
	await(t, db, "the end of the touches", nothingWaits)
	w.stop(t)

	var sessions, events, visits, dwell, refs, hourly int64
	err = errors.Join(
		db.QueryRow(t.Context(), `SELECT count(*), sum(events) FROM nexero.session_facts`).Scan(&sessions, &events),
		db.QueryRow(t.Context(), `SELECT sum(visits), sum(dwell_ms), sum(refs) FROM rollup.zones_daily`).Scan(&visits, &dwell, &refs),
		db.QueryRow(t.Context(), `SELECT sum(events) FROM rollup.events_hourly`).Scan(&hourly),
	)
	if err != nil {
		t.Fatal(err)
	}
	if sessions != tourists || events != 2*steps*tourists || hourly != events {
		t.Errorf("%d sessions with %d events, %d of them by hour", sessions, events, hourly)
	}
	// Each tour is in each of three rooms twice, for two seconds.
	if visits != steps*tourists || dwell != 2000*visits || refs != 3*tourists {
		t.Errorf("%d visits of %d ms by %d", visits, dwell, refs)
	}
	// The server takes its time to notice that a connection was closed.
	await(t, db, "the end of the connections",
		`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nexero-worker')`)
}

// A schema that is changed under a worker stops it, loudly.
func TestWorker_RollUpNeedsAPerson(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	w := run(t, settings(t, nats, database))
	if _, err := db.Exec(t.Context(), `ALTER TABLE nexero.session_facts RENAME TO mislaid`); err != nil {
		t.Fatal(err)
	}
	if err := <-w.ended; err == nil || !strings.Contains(err.Error(), "needs a person") {
		t.Errorf("Run: %v", err)
	}
	w.cancel()
}

// The whole stop takes no longer than the parts that it consists of.
func TestWorker_StopDeadline(t *testing.T) {
	t.Parallel()
	for _, drain := range []time.Duration{time.Second, 20 * time.Second, 10 * time.Minute} {
		w := &Worker{drain: drain}
		if got := w.StopDeadline(); got < drain+min(drain, rollupDrain)+2*closeTimeout {
			t.Errorf("a stop with %s of draining may take %s", drain, got)
		}
	}
}

func TestClassifyRollup(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]rollup.Class{
		"40001": rollup.ClassRetry, "53100": rollup.ClassRetry, "42P01": rollup.ClassStop, "42501": rollup.ClassStop, "22003": rollup.ClassData,
	} {
		if got := classifyRollup(&pgconn.PgError{Severity: "ERROR", Code: code}); got != want {
			t.Errorf("SQLSTATE %s is of class %s, want %s", code, got, want)
		}
	}
}
