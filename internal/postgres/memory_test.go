package postgres_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// A worker outlives the database that it filled: what it remembers is of
// commits that the restored one does not have. rule 2
func TestLoad_RemembersNothingOfAReplacedDatabase(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).seal(t), batch("b").of("bolt").poses(0).seal(t))
	// Another database takes the name; in it the same numbers are others'.
	f.swap(testkit.Database(t))
	f.want("SELECT count(*) FROM nexero.batches", "0")
	if _, err := f.open(postgres.Config{}).Load(t.Context(), sealed(t)); err != nil {
		t.Fatal(err)
	}
	f.wantLoad(postgres.LoadResult{Batches: 2, Rows: 2}, batch("b").of("bolt").again("r").poses(1).seal(t), batch("a").poses(0).seal(t))
	f.wantExact()
}

// swap exchanges the names of the fixture's database and another.
func (f *fixture) swap(other string) {
	f.Helper()
	name := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			f.Fatal(err)
		}
		return pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()
	}
	admin, err := url.Parse(f.url)
	if err != nil {
		f.Fatal(err)
	}
	admin.Path = "/postgres"
	conn, err := pgx.Connect(f.Context(), admin.String())
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(f.Context())
	// Whole and idle connections: none of them breaks, the Store has to look.
	f.store.Pool().Reset()
	f.db.Reset()
	const left = "SELECT count(*) FROM pg_stat_activity WHERE quote_ident(datname) = trim('\"' FROM $1) OR datname = trim('\"' FROM $1)"
	for n := 1; n > 0; {
		if err := conn.QueryRow(f.Context(), left, name(f.url)).Scan(&n); err != nil {
			f.Fatal(err)
		}
	}
	aside := `"swapped_` + strings.Trim(name(f.url), `"`) + `"`
	for _, rename := range [][2]string{{name(f.url), aside}, {name(other), name(f.url)}, {aside, name(other)}} {
		if _, err := conn.Exec(f.Context(), "ALTER DATABASE "+rename[0]+" RENAME TO "+rename[1]); err != nil {
			f.Fatal(err)
		}
	}
}

// rule 2
func TestLoad_RemembersNothingAfterABreak(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).seal(t))
	// What a restore to a moment before the load leaves.
	f.exec("DELETE FROM nexero.events; DELETE FROM nexero.sessions; DELETE FROM nexero.session_touches; DELETE FROM nexero.quality_changes; DELETE FROM nexero.batches; DELETE FROM nexero.tenants")
	f.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nexero-worker'")
	if _, err := f.store.Load(t.Context(), sealed(t)); err != nil {
		f.wantRetry(err)
	}
	f.load(sealed(t)...)
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 1}, batch("a").poses(0).seal(t))
	f.wantExact()
}

// A machine that slept wakes with a clock that stood still.
func TestLoad_ARememberedTimeRefusesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, days := range []int{-40, 40} {
		f.begin("")
		f.load(batch("a").poses(0).seal(t))
		f.store.PretendTime(time.Now().AddDate(0, 0, days))
		f.wantLoad(postgres.LoadResult{Batches: 2, Rows: 1, Quarantined: 1, Aside: 1},
			batch("b").poses(0).seal(t), batch("old").at(received.AddDate(0, 0, -90)).poses(0).seal(t))
		f.want("SELECT code FROM nexero.rejected_events", string(event.ReceivedTooOld))
	}
}
