package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// await waits until done says so.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatalf("waited in vain: %s", what)
}

// watch runs the reader's look at the database until the test ends.
func watch(t *testing.T, reader *postgres.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// A database that goes away and comes back is noticed, without a restart.
func TestReader_ReadyFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	if reader.Ready() == nil {
		t.Error("ready before anybody looked")
	}
	watch(t, reader)
	await(t, "ready", func() bool { return reader.Ready() == nil })

	// Under another name nobody finds it, and who is in is thrown out.
	admin, err := pgx.Connect(t.Context(), strings.Replace(f.url, "/"+f.database(), "/postgres", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	rename := func(from, to string) {
		for range 100 { // whoever has just come in is in the way
			_, err = admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", from)
			if err == nil {
				_, err = admin.Exec(t.Context(), "ALTER DATABASE "+from+" RENAME TO "+to)
			}
			if err == nil {
				return
			}
		}
		t.Fatal(err)
	}
	name := f.database()
	rename(name, name+"_away")
	await(t, "not ready", func() bool { return reader.Ready() != nil })
	_, _, err = reader.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Limit: 1})
	if err == nil || postgres.TookTooLong(err) {
		t.Errorf("a read while it is away: %v", err)
	}
	rename(name+"_away", name)
	await(t, "ready again", func() bool { return reader.Ready() == nil })
	if _, _, err := reader.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Limit: 1}); err != nil {
		t.Errorf("a read when it is back: %v", err)
	}
}

func (f *fixture) database() string { return f.lines("SELECT current_database()")[0] }

// Reads go to a schema that this program knows, or nowhere.
func TestReader_RefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	f := &fixture{TB: t, url: testkit.EmptyDatabase(t)}
	reader := f.reader(postgres.ReaderConfig{})
	if err := reader.Run(t.Context()); !errors.Is(err, postgres.ErrSchemaOlder) || !strings.Contains(err.Error(), "nexero migrate") {
		t.Errorf("an empty database: %v", err)
	}
	if reader.Ready() == nil {
		t.Error("ready with another schema")
	}
}

// rule 9: a statement ends, and its client learns that it was the read.
func TestReader_StatementsEnd(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("one").rejected(event.InvalidText, 0).seal(t))
	// Enough for a connection to a server that is busy.
	reader := f.reader(postgres.ReaderConfig{MaxConns: 1, StatementTimeout: 2 * time.Second})
	// A view that takes its time, in place of the one that is read.
	f.exec("ALTER TABLE nexero.rejected_events RENAME TO kept")
	f.exec("CREATE VIEW nexero.rejected_events AS SELECT k.* FROM nexero.kept k, pg_sleep(60)")
	_, _, err := reader.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Limit: 1})
	if !postgres.TookTooLong(err) || postgres.Classify(err) != postgres.ClassRetry {
		t.Errorf("a statement of a minute: %v", err)
	}
	// The connection is usable afterwards.
	if _, err := reader.Session(t.Context(), "acme", "nobody"); !errors.Is(err, postgres.ErrNoSession) {
		t.Errorf("the next read: %v", err)
	}
}

func TestOpenReader_RefusesSettings(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]postgres.ReaderConfig{
		"no address":     {MaxConns: 1, StatementTimeout: time.Second},
		"no connections": {URL: "postgres://db/nexero", StatementTimeout: time.Second},
		"no time":        {URL: "postgres://db/nexero", MaxConns: 1},
		"no URL":         {URL: "postgres://user:hidden@:bad", MaxConns: 1, StatementTimeout: time.Second},
	} {
		_, err := postgres.OpenReader(t.Context(), config, testkit.Logger(t))
		if err == nil || strings.Contains(err.Error(), "hidden") { // rule 8
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rule 8: whatever role it is given, the read API writes nothing.
func TestReader_CannotWrite(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("one").rejected(event.InvalidText, 0).seal(t))
	reader := f.reader(postgres.ReaderConfig{})
	f.exec(`CREATE FUNCTION nexero.scribble() RETURNS boolean LANGUAGE sql VOLATILE AS
	        $$ INSERT INTO nexero.tenants (name) VALUES ('scribbled') RETURNING true $$`)
	f.exec("ALTER TABLE nexero.rejected_events RENAME TO kept")
	f.exec("CREATE VIEW nexero.rejected_events AS SELECT k.* FROM nexero.kept k WHERE nexero.scribble()")
	_, _, err := reader.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Limit: 1})
	if err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a read that writes: %v", err)
	}
	f.want("SELECT count(*) FROM nexero.tenants WHERE name = 'scribbled'", "0")
}
