package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit"
)

const (
	// shortDrain is how long the services of these tests drain.
	shortDrain = "NEXERO_DRAIN_TIMEOUT=2s"
	// stopLimit is more than all deadlines of any service with such a drain come
	// to, one after the other.
	stopLimit = time.Minute
)

// The steps in which each service stops.
func ingestSteps() []string {
	return []string{"http server", "group commit", "key watcher", "queue connection", "ingest"}
}

func workerSteps() []string {
	return []string{"roll-ups", "loading", "queue connection", "database pool", "worker"}
}

// querySteps are those of a read API; what serves it comes before.
func querySteps() []string {
	return []string{"database watch", "key watcher", "queue connection", "reader pool", "query"}
}

// busy is a service in the midst of its work.
type busy struct {
	*process

	// meanwhile is called when the stop has begun, and after when the process
	// has ended: it checks that nothing is lost.
	meanwhile, after func()
}

// TestStop ends each service while it works: every step is named and timed, in
// the order in which nothing that was let in is refused, the exit code is 0, and
// what was answered is stored.
//
// rule 1, rule 2, rule 10
func TestStop(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		busy  func(t *testing.T) busy
		steps []string
	}{
		{"ingest", busyIngest, slices.Concat([]string{"reload"}, ingestSteps(), []string{"metrics"})},
		{"worker", busyWorker, slices.Concat([]string{"reload"}, workerSteps(), []string{"metrics"})},
		{"query", busyQuery, slices.Concat([]string{"reload", "http server"}, querySteps(), []string{"metrics"})},
		{"up", busyUp, slices.Concat([]string{"reload", "run file", "metrics"}, ingestSteps(), querySteps(), workerSteps(), []string{"postgres", "nats"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := test.busy(t)
			b.signal(syscall.SIGTERM)
			b.meanwhile()
			if code := b.exitCode(stopLimit); code != 0 {
				t.Errorf("exit code %d\n%s", code, b.tail())
			}
			var names []string
			for _, s := range b.stops() {
				names = append(names, s.Name)
				if s.Took == nil || *s.Took < 0 || !s.Clean {
					t.Errorf("step %q: took %v, clean %v", s.Name, s.Took, s.Clean)
				}
			}
			if !slices.Equal(names, test.steps) {
				t.Errorf("stopped %q, want %q", names, test.steps)
			}
			b.after()
		})
	}
}

// store loads what is queued and checks that all of it is there, to the row.
func store(t *testing.T, nats, database string, l *load) {
	t.Helper()
	worker := serve(t, "worker", "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database).ready()
	awaitEmptyQueue(t, worker)
	if output, err := nexero(t, "verify", "--nats-url", nats, "--database-url", database, "--wait", patience.String()); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	l.check(t, database)
}

func busyIngest(t *testing.T) busy {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	ingest := serve(t, "ingest", shortDrain, "NEXERO_NATS_URL="+nats).ready()
	l := startLoad(t, ingest.url)
	l.answers(t, 100)
	return busy{ingest.process, func() {}, func() {
		l.end()
		store(t, nats, database, l)
	}}
}

func busyWorker(t *testing.T) busy {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	worker := serve(t, "worker", shortDrain, "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database).ready()
	l := startLoad(t, serve(t, "ingest", "NEXERO_NATS_URL="+nats).ready().url)
	awaitBatches(t, connect(t, database), 100)
	return busy{worker.process, func() {}, func() {
		l.end()
		store(t, nats, database, l)
	}}
}

// busyQuery has reads under way that cannot end before the stop has begun.
func busyQuery(t *testing.T) busy {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	query := serve(t, "query", "NEXERO_DRAIN_TIMEOUT=1m", "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database,
		"NEXERO_ANONYMOUS_READ=true", "NEXERO_READ_STATEMENT_TIMEOUT=1m", "NEXERO_READ_REQUEST_TIMEOUT=1m").ready()
	const reads = 5
	release := lockTable(t, database, "nexero.rejected_events")
	statuses := make([]int, reads)
	var wg sync.WaitGroup
	for i := range reads {
		wg.Go(func() { statuses[i], _ = get(t, query.url+"/api/v1/rejections") })
	}
	awaitWaiters(t, database, reads)
	return busy{query.process, func() {
		query.said(`"stopping"`)
		release()
	}, func() {
		wg.Wait()
		for _, status := range statuses {
			if status != http.StatusOK {
				t.Errorf("a read under way ended with status %d", status)
			}
		}
	}}
}

func busyUp(t *testing.T) busy {
	t.Helper()
	dataDir := filepath.Join(dataRoot(t), "data")
	settings := []string{shortDrain, "NEXERO_LISTEN=127.0.0.1:0", "NEXERO_ANONYMOUS_TENANT=acme"}
	p := up(t, dataDir, settings)
	run := p.run()
	l := startLoad(t, run.URL)
	db := connect(t, run.DatabaseURL)
	awaitBatches(t, db, 100)
	closeDatabase(t, db)
	return busy{p, func() {}, func() {
		l.end()
		again := up(t, dataDir, settings)
		verify(t, dataDir)
		l.check(t, again.run().DatabaseURL)
	}}
}

// lockTable keeps everybody else from a table until release.
func lockTable(t *testing.T, database, table string) (release func()) {
	t.Helper()
	db := connect(t, database)
	tx, err := db.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// awaitWaiters waits until n statements wait for a lock.
func awaitWaiters(t *testing.T, database string, n int) {
	t.Helper()
	db := connect(t, database)
	await(t, db, "statements that wait for a lock", `SELECT count(*) >= $1 FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`, n)
}
