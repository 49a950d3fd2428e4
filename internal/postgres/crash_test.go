package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// gatherOfEverything touches every table that a load writes.
func gatherOfEverything(t testing.TB, name string) []envelope.Batch {
	t.Helper()
	return []envelope.Batch{
		batch(name).poses(0, 1).with(event.Event{Index: 2, Type: event.Turn}).rejected(event.InvalidText, 3, 4).seal(t),
		batch(name).again("r").poses(0, 3).seal(t),
		batch(name + "-report").report(event.Report{CustomerID: "c"}).seal(t),
	}
}

// block holds a lock until release and returns the number of the backend that
// waits for it, which is a load's.
func (f *fixture) block(lock string) (waiting func() int, release func()) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		// The lock is gone when this returns; after a Close it would be sometime.
		ctx := context.WithoutCancel(f.Context())
		_, _ = conn.Exec(ctx, "ROLLBACK")
		_ = conn.Close(ctx)
	})
	f.Cleanup(release)
	if _, err := conn.Exec(f.Context(), "BEGIN; "+lock); err != nil {
		f.Fatal(err)
	}
	return func() int {
		f.Helper()
		const query = `
SELECT coalesce(min(pid), 0) FROM pg_sleep(0.002), pg_stat_activity
WHERE datname = current_database() AND application_name = 'nexero-worker' AND wait_event_type = 'Lock'`
		return f.poll(query, func(pid int) bool { return pid != 0 })
	}, release
}

// poll asks until the answer is right. The test's own deadline bounds it.
func (f *fixture) poll(query string, right func(int) bool) int {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	defer cancel()
	for {
		var n int
		if err := f.db.QueryRow(ctx, query).Scan(&n); err != nil {
			f.Fatalf("%s: %v", query, err)
		}
		if right(n) {
			return n
		}
	}
}

// settle waits until no load is at work on the server.
func (f *fixture) settle() {
	f.Helper()
	f.poll(`SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity
	        WHERE datname = current_database() AND application_name = 'nexero-worker' AND state <> 'idle'`,
		func(n int) bool { return n == 0 })
}

// loadAside starts a load and returns what it comes to.
func (f *fixture) loadAside(ctx context.Context, store *postgres.Store, gather []envelope.Batch) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := store.Load(ctx, gather)
		done <- err
	}()
	return done
}

func (f *fixture) wantRetry(err error) {
	f.Helper()
	if err == nil || postgres.Classify(err) != postgres.ClassRetry {
		f.Errorf("got %v, want an error to retry", err)
	}
}

// rule 2, rule 10
func TestLoad_CrashInTheMiddleLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"terminate", "cancel"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.load(gatherOfEverything(t, "before")...)
			for _, table := range []string{
				"batches", "batch_repeats", "sessions", "events", "events_other_" + received.Format("20060102"),
				"session_reports", "rejected_events", "session_touches", "quality_changes",
			} {
				before := f.everything()
				gather := gatherOfEverything(t, table)
				waiting, release := f.block("LOCK TABLE nexero." + table + " IN ACCESS EXCLUSIVE MODE")
				ctx, cancel := context.WithCancel(t.Context())
				done := f.loadAside(ctx, f.store, gather)
				if pid := waiting(); end == "terminate" {
					f.exec("SELECT pg_terminate_backend($1)", pid)
				} else {
					cancel()
				}
				f.wantRetry(<-done)
				cancel()
				release()
				f.settle()
				f.wantSame(before)
				f.wantLoad(postgres.LoadResult{Batches: 2, Repeats: 1, Rows: 4, Added: 1, Reports: 1, Rejected: 1}, gather...)
			}
			f.wantExact()
		})
	}
}

// blockCommit makes COMMIT wait for a lock that it takes.
func (f *fixture) blockCommit() (waiting func() int, release func()) {
	f.Helper()
	f.exec(`CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$`)
	f.exec(`CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON nexero.session_touches
	        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait()`)
	return f.block("SELECT pg_advisory_xact_lock(1)")
}

// rule 2, rule 3
func TestLoad_CrashInCommit(t *testing.T) {
	t.Parallel()
	t.Run("of the server", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		waiting, release := f.blockCommit()
		done := f.loadAside(t.Context(), f.store, gatherOfEverything(t, "a"))
		f.exec("SELECT pg_terminate_backend($1)", waiting())
		f.wantRetry(<-done)
		release()
		f.wantEmpty()
	})
	t.Run("of the worker", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		waiting, release := f.blockCommit()
		ctx, cancel := context.WithCancel(t.Context())
		done := f.loadAside(ctx, f.store, gatherOfEverything(t, "a"))
		waiting()
		cancel()
		f.wantRetry(<-done)
		release()
		f.settle()
		// All or nothing, and nobody can say which.
		f.load(gatherOfEverything(t, "a")...)
		f.want("SELECT count(*) FROM nexero.events", "4")
		f.wantExact()
	})
	t.Run("reply lost", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.load(batch("partitions").seal(t))
		line, through := link.Before(t, f.url)
		line.CutOn(link.Said{Direction: link.ToClient, Pattern: link.CommitAnswered})
		store := f.open(postgres.Config{URL: through})
		f.wantRetry(<-f.loadAside(t.Context(), store, gatherOfEverything(t, "a")))
		f.want("SELECT count(*) FROM nexero.events", "4")
		f.wantLoad(postgres.LoadResult{Redelivered: 3}, gatherOfEverything(t, "a")...)
		f.wantExact()
	})
	t.Run("never sent", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		line, through := link.Before(t, f.url)
		line.CutOn(link.Said{Direction: link.ToServer, Pattern: "PGCOPY"})
		store := f.open(postgres.Config{URL: through})
		f.wantRetry(<-f.loadAside(t.Context(), store, gatherOfEverything(t, "a")))
		f.settle()
		f.wantEmpty()
	})
}
