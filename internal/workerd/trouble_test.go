package workerd

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// inZone is a message of one event.
func inZone(t *testing.T, n byte, zone string) []byte {
	t.Helper()
	now := event.MicrosOf(time.Now())
	encoded, err := envelope.AppendBatch(nil, &event.Batch{
		Tenant: "acme", ID: event.UUID{n}, ReceiptID: event.UUID{n, 1}, ReceivedAt: now,
		Sessions: []event.Session{{Key: event.SessionKey("acme", "tour"), ClientID: "tour"}},
		Events:   []event.Event{{Type: event.ZoneEnter, Zone: zone, OccurredAt: now}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b envelope.Builder
	b.Add(encoded)
	return b.Seal()
}

// failedWrites is how often the store failed in one class.
func failedWrites(t *testing.T, registry *prometheus.Registry, class string) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if strings.HasPrefix(family.GetName(), "nexero_worker_") && label.GetName() == "class" && label.GetValue() == class {
					n += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// What a worker does about each class of error, as the real server reports it:
// it waits and goes on by itself, or it puts the one row aside and goes on, or
// it ends. In no case is anything acknowledged that is not stored.
//
// rule 3, rule 5, rule 7
func TestWorker_EachClassOfError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, class string
		begin, end  string // what brings the trouble, and what ends it
		ends        bool   // the worker
		stored      string
	}{
		{
			"disk full", "retry",
			`CREATE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $f$
			 BEGIN COPY (SELECT repeat('x', 100000)) TO '/dev/full'; RETURN NULL; END $f$;
			 CREATE TRIGGER trouble AFTER INSERT ON nexero.session_touches FOR EACH STATEMENT EXECUTE FUNCTION public.trouble()`,
			"DROP FUNCTION public.trouble() CASCADE", false, "bath,kitchen rejected 0",
		},
		{
			"undefined table", "stop", "ALTER TABLE nexero.events RENAME TO elsewhere", "ALTER TABLE nexero.elsewhere RENAME TO events",
			true, "bath,kitchen rejected 0",
		},
		{
			"constraint", "", "ALTER TABLE nexero.events ADD CHECK (zone <> 'kitchen')", "SELECT", false, "bath rejected 1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nats, database := testkit.NATS(t), testkit.Database(t)
			db, err := pgx.Connect(t.Context(), database)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close(context.WithoutCancel(t.Context()))
			if _, err := db.Exec(t.Context(), tt.begin); err != nil {
				t.Fatal(err)
			}
			conn := publish(t, nats, inZone(t, 1, "kitchen"), inZone(t, 2, "bath"))
			start := func() (*prometheus.Registry, func(), <-chan error) {
				registry := prometheus.NewRegistry()
				w, err := New(t.Context(), settings(t, nats, database), testkit.Logger(t), registry, nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- w.Run(ctx) }()
				return registry, cancel, ended
			}
			registry, stop, ended := start()
			defer func() { stop() }()
			switch {
			case tt.ends:
				if err := <-ended; err == nil || !strings.Contains(err.Error(), "needs a person") {
					t.Errorf("the worker ended with %v", err)
				}
			case tt.class != "":
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for failedWrites(t, registry, tt.class) < 2 { // it has tried again
					select {
					case err := <-ended:
						t.Fatalf("the worker ended: %v", err)
					case <-tick.C:
					}
				}
			}
			if tt.class != "" {
				if status, err := conn.Status(t.Context()); err != nil || status.Messages != 2 {
					t.Errorf("the queue holds %d messages, %v; want 2", status.Messages, err)
				}
			}
			if _, err := db.Exec(t.Context(), tt.end); err != nil {
				t.Fatal(err)
			}
			if tt.ends {
				_, stop, ended = start()
			}
			awaitEmpty(t, conn)
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			var stored string
			err = db.QueryRow(t.Context(), `SELECT concat((SELECT string_agg(zone, ',' ORDER BY zone) FROM nexero.events), ' rejected ',
				(SELECT count(*) FROM nexero.rejected_events))`).Scan(&stored)
			if err != nil || stored != tt.stored {
				t.Errorf("stored %q, %v; want %q", stored, err, tt.stored)
			}
		})
	}
}

// Whatever a frozen worker holds is given back, by the server or by another
// worker, before the queue gives its messages to others, so that these wait for
// nothing.
//
// rule 10
func TestDefaults_FrozenWorkerIsEndedWithinAckWait(t *testing.T) {
	t.Parallel()
	cfg := settings(t, "nats://127.0.0.1:1", "postgres://127.0.0.1:1/nothing")
	// Others look for a COPY that is silent once a second, and need a moment.
	const look = 2 * time.Second
	for name, longest := range map[string]time.Duration{
		"silent in a COPY":           cfg.Database.StatementTimeout + look,
		"silent between statements":  cfg.Database.IdleTimeout,
		"a wait for a lock":          cfg.Database.LockTimeout,
		"a write that is cut off":    cfg.Loading.LoadTimeout,
		"the wait, and then the end": cfg.Database.StatementTimeout + cfg.Database.LockTimeout,
	} {
		if longest >= cfg.Queue.AckWait {
			t.Errorf("%s: %s, the queue waits %s", name, longest, cfg.Queue.AckWait)
		}
	}
}
