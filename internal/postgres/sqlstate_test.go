package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// trouble is a state of the server in which a load fails, brought about on the
// real one.
type trouble struct {
	name, state string // the SQLSTATE, empty when the error is not the server's
	class       postgres.Class
	cause       func(l *loader) (end func())
}

// loader is a Store that connects as a user of its own, so that rights and
// limits can be taken from it. It owns the tables as a worker's user does.
type loader struct {
	*fixture
	role   string
	worker *postgres.Store
}

func newLoader(f *fixture, config postgres.Config) *loader {
	f.Helper()
	u, err := url.Parse(f.url)
	if err != nil {
		f.Fatal(err)
	}
	l := &loader{fixture: f, role: "worker_of_" + strings.TrimPrefix(u.Path, "/")}
	f.exec("CREATE ROLE " + l.role + " LOGIN PASSWORD 'secret' IN ROLE " + u.User.Username() + ", pg_write_server_files")
	u.User = url.UserPassword(l.role, "secret")
	config.URL = u.String()
	l.worker = f.open(config)
	f.Cleanup(func() {
		ctx := context.WithoutCancel(f.Context())
		if _, err := f.db.Exec(ctx, fmt.Sprintf("REASSIGN OWNED BY %[1]s TO CURRENT_USER; DROP OWNED BY %[1]s; DROP ROLE %[1]s", l.role)); err != nil {
			f.Errorf("drop the user: %v", err)
		}
	})
	return l
}

// byStatement is a trouble that one statement brings and another ends; $ROLE is
// the loader's user.
func byStatement(begin, end string) func(*loader) func() {
	return func(l *loader) func() {
		l.Helper()
		l.exec(strings.ReplaceAll(begin, "$ROLE", l.role))
		return func() { l.exec(strings.ReplaceAll(end, "$ROLE", l.role)) }
	}
}

// whileLoading makes every load run a statement between its COPY and its COMMIT,
// with the load's own rights and time-outs.
func whileLoading(statement string) func(*loader) func() {
	return byStatement(
		`CREATE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN `+statement+` RETURN NULL; END $f$;
		 CREATE TRIGGER trouble AFTER INSERT ON nexero.session_touches FOR EACH STATEMENT EXECUTE FUNCTION public.trouble()`,
		"DROP FUNCTION public.trouble() CASCADE")
}

// forNewConnections makes the Store connect anew, to meet what holds at a start.
func forNewConnections(cause func(*loader) func()) func(*loader) func() {
	return func(l *loader) func() {
		end := cause(l)
		l.worker.Pool().Reset()
		return func() {
			end()
			l.worker.Pool().Reset()
		}
	}
}

// troubles are the classes of errors as a load meets them. Serialization
// failures are not here: a load does not run in an isolation that has them.
func troubles() []trouble {
	const stop, retry = postgres.ClassStop, postgres.ClassRetry
	return []trouble{
		{"lock not available", "55P03", retry, func(l *loader) func() {
			_, release := l.block("LOCK TABLE nexero.session_touches")
			return release
		}},
		{"statement timeout", "57014", retry, whileLoading("PERFORM pg_sleep(60);")},
		{"terminated", "57P01", retry, whileLoading("PERFORM pg_terminate_backend(pg_backend_pid());")},
		{"too many connections", "53300", retry, forNewConnections(
			byStatement("ALTER ROLE $ROLE CONNECTION LIMIT 0", "ALTER ROLE $ROLE CONNECTION LIMIT -1"))},
		// The kernel finds this device full whenever it is written to.
		{"disk full", "53100", retry, whileLoading("COPY (SELECT repeat('x', 100000)) TO '/dev/full';")},
		{"temporary files", "53400", retry, func(l *loader) func() {
			limit := forNewConnections(byStatement("ALTER ROLE $ROLE SET temp_file_limit = 64; ALTER ROLE $ROLE SET work_mem = 64", "ALTER ROLE $ROLE RESET ALL"))(l)
			sort := whileLoading("PERFORM n FROM generate_series(1, 100000) n ORDER BY -n OFFSET 99999;")(l)
			return func() { sort(); limit() }
		}},
		{"partition dropped", "23514", retry, func(l *loader) func() {
			l.exec("DROP TABLE nexero.events_pose_" + received.Format("20060102"))
			return func() {} // the next load makes it again
		}},

		{
			"undefined table", "42P01", stop,
			byStatement("ALTER TABLE nexero.events RENAME TO elsewhere", "ALTER TABLE nexero.elsewhere RENAME TO events"),
		},
		{
			"undefined column", "42703", stop,
			byStatement("ALTER TABLE nexero.events RENAME zone TO area", "ALTER TABLE nexero.events RENAME area TO zone"),
		},
		{
			"permission", "42501", stop,
			byStatement("REVOKE INSERT ON nexero.events FROM CURRENT_USER", "GRANT INSERT ON nexero.events TO CURRENT_USER"),
		},
		{
			"row-level security", "0A000", stop,
			byStatement("ALTER TABLE nexero.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
				"ALTER TABLE nexero.events DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"),
		},
		{
			"read only", "25006", stop,
			whileLoading("SET LOCAL transaction_read_only = on; DELETE FROM nexero.tenants;"),
		},
		{"wrong password", "28P01", stop, forNewConnections(
			byStatement("ALTER ROLE $ROLE PASSWORD 'another'", "ALTER ROLE $ROLE PASSWORD 'secret'"))},
		{"no login", "28000", stop, forNewConnections(
			byStatement("ALTER ROLE $ROLE NOLOGIN", "ALTER ROLE $ROLE LOGIN"))},
	}
}

// Whatever the server cannot or will not do now, a load stores nothing, says
// what kind of trouble it is, blames no row, and is stored by the next attempt
// when the trouble is over. Errors of rows themselves: see
// TestLoad_RefusedRowCostsItselfOnly.
//
// rule 2, rule 7
func TestLoad_EachClassOfError(t *testing.T) {
	t.Parallel()
	f := setup(t)
	l := newLoader(f, postgres.Config{StatementTimeout: time.Second, LockTimeout: 20 * time.Millisecond})
	for _, tt := range troubles() {
		f.begin(tt.name)
		name := strings.ReplaceAll(tt.name, " ", "-")
		warm, gather := batch(name+"-warm").poses(0).seal(t), []envelope.Batch{batch(name).poses(0, 1).seal(t)}
		if _, err := l.worker.Load(t.Context(), []envelope.Batch{warm}); err != nil {
			t.Fatalf("before %s: %v", tt.name, err)
		}
		before := f.lines("SELECT count(*) FROM nexero.batches")
		end := tt.cause(l)
		_, err := l.worker.Load(t.Context(), gather)
		if got := stateOf(err); err == nil || got != tt.state || postgres.Classify(err) != tt.class {
			t.Errorf("%s: %v is SQLSTATE %q of class %v, want %q of class %v", tt.name, err, got, postgres.Classify(err), tt.state, tt.class)
		}
		end()
		f.want("SELECT count(*) FROM nexero.batches", before...)
		result, err := l.worker.Load(t.Context(), gather)
		if err != nil || result.Rows != 2 || result.Refused != 0 {
			t.Errorf("after %s: %+v, %v", tt.name, result, err)
		}
	}
	f.wantExact()
}

func stateOf(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// A load that the server chose as the victim of a deadlock is repeated. The
// other transaction takes its locks against the order that everybody keeps, as
// somebody at a prompt may.
//
// rule 2
func TestLoad_VictimOfADeadlock(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("tenant").seal(t))
	gather := descending(t, func(b *envelope.Batch) []byte { return b.ID[:] })
	first, last := gather[len(gather)-1].ID, gather[0].ID
	const insert = `INSERT INTO nexero.batches (batch_id, receipt_id, digest, received_at, tenant_id, accepted, late, corrected)
		SELECT $1, $1, digest, received_at, tenant_id, 0, 0, 0 FROM nexero.batches LIMIT 1`
	gate, open := f.another()
	gate.do(insert, [16]byte(last))
	rival, end := f.another()
	// The server looks for deadlocks in the name of who waits; here the load only.
	rival.do("SET LOCAL deadlock_timeout = '1h'")
	rival.do("LOCK TABLE nexero.sessions")
	loading := f.loadAside(t.Context(), f.store, gather)
	gate.waiting() // the load has the first ledger row and waits for the last
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		rival.do(insert, [16]byte(first))
	}()
	f.poll(fmt.Sprintf("SELECT cardinality(pg_blocking_pids(%d)) FROM pg_sleep(0.002)", rival.conn.PgConn().PID()), func(n int) bool { return n > 0 })
	open() // the load goes on, to the sessions
	err := <-loading
	if stateOf(err) != "40P01" || postgres.Classify(err) != postgres.ClassRetry {
		t.Errorf("%v is SQLSTATE %q of class %v, want a deadlock to retry", err, stateOf(err), postgres.Classify(err))
	}
	<-waited
	end()
	f.load(gather...)
	f.want("SELECT count(*) FROM nexero.events", strconv.Itoa(len(gather)))
	f.wantExact()
}
