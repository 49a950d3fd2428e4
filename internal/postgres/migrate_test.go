package postgres_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/migrations"
)

// exec1 runs one statement on a connection of its own.
func (f *fixture) exec1(sql string) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(f.Context())
	if _, err := conn.Exec(f.Context(), sql); err != nil {
		f.Fatal(err)
	}
}

func wantVersion(t *testing.T, address string, want int32) {
	t.Helper()
	current, newest, err := postgres.SchemaVersion(t.Context(), address)
	if err != nil || current != want || newest < 1 {
		t.Errorf("schema version %d of %d, want %d (%v)", current, newest, want, err)
	}
}

func TestMigrate_ManyAtOnce(t *testing.T) {
	t.Parallel()
	address := testkit.EmptyDatabase(t)
	wantVersion(t, address, 0)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := postgres.Migrate(t.Context(), address, testkit.Logger(t)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	wantVersion(t, address, int32(len(files)))
}

func TestMigrate_RefusesANewerSchema(t *testing.T) {
	t.Parallel()
	f := &fixture{TB: t, url: migrated(t)}
	f.exec1("UPDATE public.nexero_schema_version SET version = 7")
	if err := postgres.Migrate(t.Context(), f.url, testkit.Logger(t)); !errors.Is(err, postgres.ErrSchemaNewer) {
		t.Errorf("got %v, want %v", err, postgres.ErrSchemaNewer)
	}
	wantVersion(t, f.url, 7)
}

func TestMigrate_FailureLeavesTheVersion(t *testing.T) {
	t.Parallel()
	f := &fixture{TB: t, url: testkit.EmptyDatabase(t)}
	f.exec1("CREATE SCHEMA nexero")
	err := postgres.Migrate(t.Context(), f.url, testkit.Logger(t))
	if err == nil || postgres.Classify(err) != postgres.ClassStop {
		t.Errorf("got %v, want an error to stop at", err)
	}
	wantVersion(t, f.url, 0)
}

// rule 2: a number in a queued message must mean the same in the tables.
func TestMigrations_NameEveryEventType(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var want []string
	for _, eventType := range event.Types() {
		want = append(want, eventType.String())
	}
	f.want("SELECT name FROM nexero.event_types ORDER BY event_type", want...)
	f.want("SELECT max(event_type) - count(*) FROM nexero.event_types", "-1")
}

// Who reads the tables or the views finds in them what they mean.
func TestMigrations_DescribeEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const ours = " IN ('nexero'::regnamespace, 'rollup'::regnamespace, 'analytics'::regnamespace)"
	f.want("SELECT nspname FROM pg_namespace WHERE oid" + ours + " AND obj_description(oid, 'pg_namespace') IS NULL")
	f.want(`SELECT c.oid::regclass::text FROM pg_class c
	        WHERE c.relnamespace` + ours + ` AND c.relkind IN ('r', 'p', 'S', 'v') AND obj_description(c.oid, 'pg_class') IS NULL
	          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')`)
	f.want(`SELECT c.oid::regclass::text || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	        WHERE c.relnamespace` + ours + ` AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
	          AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL`)
	f.want("SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace" + ours + " AND obj_description(oid, 'pg_proc') IS NULL")
}

// A migration that waits for a long reader, such as verify or a backup, keeps no
// load waiting.
func TestMigrate_WaitsWithoutHoldingLoads(t *testing.T) {
	t.Parallel()
	address := testkit.EmptyDatabase(t)
	pool, err := pgxpool.New(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	migrator, err := migrate.NewMigrator(t.Context(), conn, postgres.VersionTable)
	if err == nil {
		err = migrator.LoadMigrations(migrations.Files)
	}
	if err == nil {
		err = migrator.MigrateTo(t.Context(), 5) // the version before sessions were deleted
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, url: address, db: pool}
	reader, end := f.another()
	reader.do("SELECT FROM nexero.customer_facts")
	migrated := make(chan error, 1)
	go func() { migrated <- postgres.Migrate(t.Context(), address, testkit.Logger(t)) }()
	for waiting := 0; waiting == 0; {
		const query = "SELECT count(*) FROM pg_sleep(0.002), pg_locks WHERE NOT granted AND relation = 'nexero.customer_facts'::regclass"
		if err := conn.QueryRow(t.Context(), query).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	f.exec1("SET lock_timeout = '3s'; INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id) VALUES (gen_random_uuid(), now(), 1, 'a')")
	end()
	if err := <-migrated; err != nil {
		t.Error(err)
	}
}
