package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/postgres"
)

const partitions = `
SELECT i.inhparent::regclass::text, count(*), min(right(i.inhrelid::regclass::text, 8)), max(right(i.inhrelid::regclass::text, 8)),
       bool_and(obj_description(i.inhrelid, 'pg_class') LIKE 'Part of nexero.%')
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE c.relkind = 'r' AND i.inhparent IN ('nexero.events_pose'::regclass, 'nexero.events_other'::regclass, 'nexero.rejected_events'::regclass)
GROUP BY 1 ORDER BY 1`

func dayName(offset int) string { return time.Now().UTC().AddDate(0, 0, offset).Format("20060102") }

// wantPartitions checks that events go back to day first and everything to a
// week ahead.
func (f *fixture) wantPartitions(first int) {
	f.Helper()
	events := fmt.Sprint(8-first, " ", dayName(first), " ", dayName(7), " true")
	f.want(partitions, "nexero.events_other "+events, "nexero.events_pose "+events,
		fmt.Sprint("nexero.rejected_events 8 ", dayName(0), " ", dayName(7), " true"))
}

func (f *fixture) ensure(oldest time.Time) {
	f.Helper()
	if err := f.store.EnsurePartitions(f.Context(), oldest); err != nil {
		f.Fatal(err)
	}
}

func TestEnsurePartitions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, tt := range []struct {
		name   string
		oldest time.Time
		first  int
	}{
		{"nothing queued", time.Time{}, 0},
		{"queued today", time.Now(), 0},
		{"queued by a clock ahead", time.Now().AddDate(0, 0, 3), 0},
		{"queued days ago", time.Now().AddDate(0, 0, -3), -3},
		{"again", time.Now().AddDate(0, 0, -3), -3},
		{"queued before the shortest retention", time.Now().AddDate(0, 0, -90), -30},
		{"nothing is dropped", time.Time{}, -30},
	} {
		t.Log("case:", tt.name)
		f.ensure(tt.oldest)
		f.wantPartitions(tt.first)
	}
}

// A worker that is frozen while it has the lock of partitions keeps nobody from
// making those that are needed: the server ends its session. // rule 9
func TestEnsurePartitions_FrozenHolder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	frozen := f.open(postgres.Config{URL: f.url, IdleTimeout: 100 * time.Millisecond})
	conn, err := frozen.HoldPartitionLock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.ensure(time.Now().AddDate(0, 0, -2)) // waits for the lock as long as the test may run
	f.wantPartitions(-2)
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the frozen session still lives")
	}
}

func TestEnsurePartitions_ByManyAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var group sync.WaitGroup
	for i := range 4 {
		store := f.open(postgres.Config{})
		group.Go(func() {
			if err := store.EnsurePartitions(t.Context(), time.Now().AddDate(0, 0, -i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	f.wantPartitions(-3)
}

// rule 10
func TestEnsurePartitions_AfterADeathInTheMiddle(t *testing.T) {
	t.Parallel()
	f := setup(t)
	waiting, release := f.block("LOCK TABLE nexero.events_other IN ACCESS EXCLUSIVE MODE")
	done := make(chan error, 1)
	go func() { done <- f.store.EnsurePartitions(t.Context(), time.Time{}) }()
	f.exec("SELECT pg_terminate_backend($1)", waiting())
	f.wantRetry(<-done)
	release()
	// And as if a person had made a table, or a program had died in a smaller step.
	f.exec("CREATE TABLE nexero.rejected_events_" + dayName(2) + " (LIKE nexero.rejected_events INCLUDING CONSTRAINTS)")
	f.ensure(time.Time{})
	f.want("SELECT DISTINCT c FROM (SELECT count(*) AS c FROM pg_inherits WHERE inhparent IN ('nexero.events_pose'::regclass, 'nexero.events_other'::regclass, 'nexero.rejected_events'::regclass) GROUP BY inhparent) x", "8")
}

func TestEnsurePartitions_TakesBackATableWithRows(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).seal(t))
	f.exec("ALTER TABLE nexero.events_pose DETACH PARTITION nexero.events_pose_" + dayName(0))
	f.ensure(time.Time{})
	f.want(storedEvents, "0")
	f.wantExact()
}

func TestEnsurePartitions_TableThatDoesNotFitStops(t *testing.T) {
	t.Parallel()
	f := setup(t)
	table := "nexero.rejected_events_" + dayName(1)
	for _, sql := range []string{
		"CREATE TABLE " + table + " (a integer)",
		// The right table with a row of another day.
		"DROP TABLE " + table + "; CREATE TABLE " + table + " (LIKE nexero.rejected_events INCLUDING ALL);" +
			"INSERT INTO " + table + ` SELECT * FROM jsonb_populate_record(NULL::nexero.rejected_events, '{"written_at": "2001-01-01",
			"received_at": "2001-01-01", "batch_no": 1, "tenant_id": 1, "event_index": 1, "code": "c", "form": "row1", "payload": ""}')`,
	} {
		f.exec1(sql)
		err := f.store.EnsurePartitions(t.Context(), time.Time{})
		if err == nil || postgres.Classify(err) != postgres.ClassStop {
			t.Errorf("got %v, want an error to stop at", err)
		}
	}
}

func TestEnsurePartitions_GivesUpOnALock(t *testing.T) {
	t.Parallel()
	f := setupWith(t, postgres.Config{LockTimeout: 20 * time.Millisecond})
	_, release := f.block("LOCK TABLE nexero.events_pose IN ACCESS EXCLUSIVE MODE")
	f.wantRetry(f.store.EnsurePartitions(t.Context(), time.Time{}))
	release()
	f.ensure(time.Time{})
	f.wantPartitions(0)
}

func TestEnsurePartitions_DoesNotWaitForReadersOrLoads(t *testing.T) {
	t.Parallel()
	f := setupWith(t, postgres.Config{LockTimeout: 20 * time.Millisecond})
	f.load(batch("a").poses(0).seal(t))
	f.block("LOCK TABLE nexero.events, nexero.rejected_events IN ROW EXCLUSIVE MODE")
	f.ensure(time.Now().AddDate(0, 0, -2))
	f.wantPartitions(-2)
}

// Whoever holds the lock, a worker whose partitions are there can start.
func TestEnsurePartitions_LocksOnlyToMakeSomething(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.ensure(time.Time{})
	_, release := f.block("SELECT pg_advisory_lock(x'6e657865726f2070'::bigint)")
	f.ensure(time.Time{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	f.wantRetry(f.store.EnsurePartitions(ctx, time.Now().AddDate(0, 0, -1)))
	done := make(chan error, 1)
	go func() { done <- f.store.EnsurePartitions(t.Context(), time.Now().AddDate(0, 0, -1)) }()
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.wantPartitions(-1)
}

// A reader of the partition that is on its way out delays nobody for long, as
// long as nothing is missing.
func TestEnsurePartitions_GoesOnBesideADetachThatCannotFinish(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.ensure(time.Now().AddDate(0, 0, -2))
	release := f.interruptDetach("nexero.events_pose_" + dayName(-2))
	f.ensure(time.Time{})
	f.want("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "1")
	release()
	f.ensure(time.Now().AddDate(0, 0, -2))
	f.want("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "0")
	f.wantPartitions(-2)
}

// interruptDetach leaves a partition half detached, and a reader that sees it.
func (f *fixture) interruptDetach(partition string) (release func()) {
	f.Helper()
	_, release = f.block("SELECT count(*) FROM nexero.events_pose")
	detached := make(chan error, 1)
	go func() {
		_, err := f.db.Exec(f.Context(), "ALTER TABLE nexero.events_pose DETACH PARTITION "+partition+" CONCURRENTLY")
		detached <- err
	}()
	f.poll("SELECT count(*) FROM pg_sleep(0.002), pg_inherits WHERE inhdetachpending", func(n int) bool { return n == 1 })
	f.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER TABLE % CONCURRENTLY'")
	if err := <-detached; err == nil {
		f.Fatal("the detach was not interrupted")
	}
	return release
}

func TestEnsurePartitions_FinishesAnInterruptedDetach(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.ensure(time.Now().AddDate(0, 0, -2))
	old := "nexero.events_pose_" + dayName(-2)
	release := f.interruptDetach(old)
	release()
	f.want("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "1")
	f.ensure(time.Time{})
	f.want("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", "0")
	f.want("SELECT to_regclass('"+old+"') IS NOT NULL, count(*) FROM pg_inherits WHERE inhrelid = '"+old+"'::regclass", "true 0")
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 1}, batch("a").poses(0).seal(t))
}
