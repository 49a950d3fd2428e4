package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/postgres"
)

// rolledSession is what a roll-up of a session leaves of it, in one transaction:
// its facts, and touches of the customer that it had and of the one it has.
const rolledSession = `
WITH before AS (SELECT customer_id FROM nexero.session_facts WHERE session_no = $1),
stored AS (
    INSERT INTO nexero.session_facts (session_no, generation, tenant_id, customer_id, property_id, started_at, ended_at)
    SELECT $1, 1, tenant_id, $2, NULLIF($3, ''), $4, $5 FROM nexero.tenants WHERE name = 'acme'
    ON CONFLICT (session_no, generation) DO UPDATE
    SET customer_id = excluded.customer_id, property_id = excluded.property_id, started_at = excluded.started_at, ended_at = excluded.ended_at
)
INSERT INTO nexero.customer_touches (tenant_id, customer_id)
SELECT tenant_id, customer_id FROM nexero.tenants, (SELECT customer_id FROM before UNION ALL SELECT $2) c
WHERE name = 'acme' AND customer_id IS NOT NULL`

// setupCustomers is a database with tenant acme.
func setupCustomers(t testing.TB) *fixture {
	t.Helper()
	f := setup(t)
	f.exec("INSERT INTO nexero.tenants (name) VALUES ('acme')")
	return f
}

// noon is the first of the days on which these sessions are.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// session stores a session's facts; times are in minutes from noon.
func (f *fixture) session(number int, customer, property string, start, end int) {
	f.Helper()
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	f.exec(rolledSession, number, customer, property, minute(start), minute(end))
}

func (f *fixture) rollCustomers(want int) {
	f.Helper()
	got, err := f.store.RollCustomers(f.Context(), 100)
	if err != nil || got != want {
		f.Errorf("rolled up %d customers, want %d (%v)", got, want, err)
	}
}

const storedCustomers = `SELECT property_id, day::text, refs, repeat_visitors FROM rollup.customers_daily ORDER BY property_id, day`

// customersAnew asks of every pair of sessions what the definition says.
const customersAnew = `
SELECT property_id, day::text, count(*), count(*) FILTER (WHERE repeat)
FROM (SELECT s.customer_id, coalesce(s.property_id, '') AS property_id, (s.started_at AT TIME ZONE coalesce(p.time_zone, 'UTC'))::date AS day,
             bool_or(EXISTS (SELECT FROM nexero.session_facts e
                             WHERE e.customer_id = s.customer_id AND e.session_no <> s.session_no
                               AND greatest(e.started_at, e.ended_at) + interval '30 minutes' <= s.started_at)) AS repeat
      FROM nexero.session_facts s LEFT JOIN nexero.properties p USING (tenant_id, property_id)
      WHERE s.customer_id IS NOT NULL
      GROUP BY 1, 2, 3) customers
GROUP BY property_id, day ORDER BY property_id, day`

// wantCustomers compares facts and aggregates of customers with their sessions.
func (f *fixture) wantCustomers() {
	f.Helper()
	f.want("SELECT count(*) FROM nexero.customer_touches", "0")
	if diff := cmp.Diff(f.lines(customersAnew), f.lines(storedCustomers), cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("customers (-by their sessions +stored):\n%s", diff)
	}
	f.want(`SELECT customer_id, f.sessions, s.sessions FROM nexero.customer_facts f
		FULL JOIN (SELECT customer_id, count(*) AS sessions FROM nexero.session_facts WHERE customer_id IS NOT NULL GROUP BY customer_id) s
		USING (customer_id) WHERE f.sessions IS DISTINCT FROM s.sessions`)
}

// rule 4
func TestRollCustomers(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	const day = 24 * 60
	for _, step := range []struct {
		name string
		do   func()
		roll int
		want []string
	}{
		{"nobody", func() {}, 0, nil},
		{"two sessions of one customer", func() {
			f.session(1, "anna", "loft", 0, 10)
			f.session(2, "anna", "loft", 20, 30)
		}, 1, []string{"loft 2026-03-10 1 0"}},
		{"another customer", func() { f.session(3, "bert", "loft", 0, 10) }, 1, []string{"loft 2026-03-10 2 0"}},
		{
			"a late older session makes later ones repeated", func() { f.session(4, "anna", "villa", -day, -day+5) }, 1,
			[]string{"loft 2026-03-10 2 1", "villa 2026-03-09 1 0"},
		},
		{
			"touched, but as before", func() { f.session(4, "anna", "villa", -day, -day+5) }, 1,
			[]string{"loft 2026-03-10 2 1", "villa 2026-03-09 1 0"},
		},
		{
			"it ends later than was thought", func() { f.session(4, "anna", "villa", -day, 9) }, 1,
			[]string{"loft 2026-03-10 2 0", "villa 2026-03-09 1 0"},
		},
		{
			"it was another customer's", func() { f.session(4, "carl", "villa", -day, -day+5) }, 2,
			[]string{"loft 2026-03-10 2 0", "villa 2026-03-09 1 0"},
		},
		{"all were one customer's", func() {
			for number := range 4 {
				f.exec("UPDATE nexero.session_facts SET customer_id = 'dora' WHERE session_no = $1", number+1)
			}
			f.exec("INSERT INTO nexero.customer_touches SELECT 1, c FROM unnest('{anna,bert,carl,dora}'::text[]) c")
		}, 4, []string{"loft 2026-03-10 1 1", "villa 2026-03-09 1 0"}},
		{"the sessions are gone", func() {
			f.exec("DELETE FROM nexero.session_facts")
			f.exec("INSERT INTO nexero.customer_touches SELECT 1, 'dora'")
		}, 1, nil},
		{"touched in vain", func() { f.exec("INSERT INTO nexero.customer_touches SELECT 1, 'nobody'") }, 1, nil},
	} {
		f.Log("step:", step.name)
		step.do()
		f.rollCustomers(step.roll)
		f.want(storedCustomers, step.want...)
		f.wantCustomers()
	}
	f.want("SELECT count(*) FROM nexero.customer_facts", "0")
}

// What others commit between any two statements of a roll-up is neither lost nor
// counted twice: a second session of the same customer, and a second roll-up.
// Two roll-ups that had each read one of the sessions would both store 1.
//
// rule 2, rule 4
func TestRollCustomers_NothingIsLostBetweenTwoStatements(t *testing.T) {
	t.Parallel()
	second := func(f *fixture) {
		f.session(2, "anna", "loft", 60, 70)
		f.session(3, "anna", "villa", 60, 70)
	}
	for _, meanwhile := range []struct {
		name string
		do   func(f *fixture, aside func())
	}{
		{"another session", func(f *fixture, _ func()) { second(f) }},
		{"another roll-up", func(_ *fixture, aside func()) { aside() }},
		{"another session and roll-up", func(f *fixture, aside func()) { second(f); aside() }},
		{"the session moves and is rolled up", func(f *fixture, aside func()) { f.session(1, "bert", "loft", 0, 10); aside() }},
	} {
		t.Run(meanwhile.name, func(t *testing.T) {
			t.Parallel()
			f := setupCustomers(t)
			impatient := f.open(postgres.Config{LockTimeout: 20 * time.Millisecond})
			aside := func() {
				// It cannot have a row of the aggregates that the other one has added to.
				if _, err := impatient.RollCustomers(t.Context(), 100); err != nil && postgres.Classify(err) != postgres.ClassRetry {
					t.Errorf("roll up meanwhile: %v", err)
				}
			}
			for at := 1; ; at++ {
				f.Log("before statement", at)
				f.forgetFacts()
				f.session(1, "anna", "loft", 0, 10)
				hook := &statements{at: at, do: func() { meanwhile.do(f, aside) }}
				traced, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
				if err != nil {
					t.Fatal(err)
				}
				f.rollCustomersOnce(traced)
				traced.Close()
				f.rollCustomersOnce(f.store)
				f.wantCustomers()
				if t.Failed() || hook.number < at {
					return
				}
			}
		})
	}
}

func (f *fixture) rollCustomersOnce(store *postgres.Store) {
	f.Helper()
	if _, err := store.RollCustomers(f.Context(), 100); err != nil {
		f.Errorf("roll up: %v", err)
	}
}

func TestRollCustomers_LeavesWhatIsInOtherHands(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	for number, customer := range []string{"anna", "bert", "carl", "dora"} {
		f.session(number, customer, "loft", 0, 10)
	}
	f.rollCustomers(4)
	for number, customer := range []string{"anna", "bert", "carl", "dora"} {
		f.session(number, customer, "villa", 0, 10)
	}
	_, release := f.block("SELECT FROM nexero.customer_facts WHERE customer_id IN ('anna', 'bert') FOR UPDATE")
	// Others' customers do not use up the limit.
	if got, err := f.store.RollCustomers(t.Context(), 1); got != 1 || err != nil {
		t.Errorf("rolled up %d customers (%v)", got, err)
	}
	f.want("SELECT DISTINCT customer_id FROM nexero.customer_touches ORDER BY 1", "anna", "bert", "dora")
	release()
	f.rollCustomers(3)
	f.wantCustomers()
}

// rule 4
func TestRollCustomers_ManyAtOnce(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	const rollers, writers, sessions, moves = 3, 3, 30, 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	customers, properties := []string{"anna", "bert", "carl", "dora", "emil"}, []string{"", "loft", "villa"}
	var rolling, writing sync.WaitGroup
	done := make(chan struct{})
	for range rollers {
		store := f.open(postgres.Config{})
		rolling.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				// Fewer than there are, so that roll-ups overlap in part.
				if _, err := store.RollCustomers(t.Context(), 3); err != nil {
					t.Errorf("roll up: %v", err)
					return
				}
			}
		})
	}
	for w := range writers {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		writing.Go(func() {
			for range moves {
				start := random.IntN(3 * 24 * 60)
				// Each writer has its sessions: a session is rolled up by one at a time.
				number := w + writers*random.IntN(sessions/writers)
				if _, err := f.db.Exec(t.Context(), rolledSession, number, customers[random.IntN(len(customers))], properties[random.IntN(len(properties))],
					noon.Add(time.Duration(start)*time.Minute), noon.Add(time.Duration(start+random.IntN(90)-10)*time.Minute)); err != nil {
					t.Errorf("session: %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	rolling.Wait()
	for range 3 {
		f.rollCustomersOnce(f.store)
	}
	f.wantCustomers()
}

// rule 9
func TestRollCustomers_SpacesThoseWithVeryManySessions(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	f.session(1, "guest", "loft", 0, 10)
	f.rollCustomers(1)
	f.exec("UPDATE nexero.customer_facts SET sessions = 10000000")
	f.session(2, "guest", "loft", 60, 70)
	f.rollCustomers(0)
	f.want("SELECT count(*) FROM nexero.customer_touches", "1")
	f.exec("UPDATE nexero.customer_facts SET rolled_at = now() - interval '1 hour'")
	f.rollCustomers(1)
	f.wantCustomers()
}

func TestRollCustomers_LeavesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	f.session(1, "anna", "loft", 0, 10)
	f.session(2, "bert", "loft", 0, 10)
	f.rollCustomers(2)
	for name, change := range map[string]string{
		"damaged": `UPDATE nexero.customer_facts SET contributions = '\xff' WHERE customer_id = 'anna'`,
		"newer":   "UPDATE nexero.customer_facts SET facts_version = 1000 WHERE customer_id = 'anna'",
	} {
		f.Log(name)
		f.exec(change)
		f.session(1, "anna", "villa", 0, 10)
		f.session(2, "bert", "villa", 0, 10)
		f.rollCustomers(1)
		f.want("SELECT property_id, refs FROM rollup.customers_daily ORDER BY 1", "loft 1", "villa 1")
	}
}

// rule 4
func TestRollCustomers_FailsAsAWhole(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	f.exec("ALTER TABLE rollup.customers_daily ADD CONSTRAINT small CHECK (property_id <> 'palace')")
	f.session(1, "anna", "loft", 0, 10)
	f.session(2, "bert", "palace", 0, 10)
	_, err := f.store.RollCustomers(t.Context(), 10)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.ConstraintName != "small" || !strings.Contains(fmt.Sprint(err), "roll up customers") {
		t.Errorf("got %v", err)
	}
	f.want("SELECT count(*) FROM nexero.customer_touches", "2")
	f.want("SELECT count(*) FROM rollup.customers_daily", "0")
	f.want("SELECT count(contributions) FROM nexero.customer_facts", "0")
	f.exec("ALTER TABLE rollup.customers_daily DROP CONSTRAINT small")
	f.rollCustomers(2)
	f.wantCustomers()
}

// A customer who cannot be rolled up keeps nobody else waiting, and is tried
// again later.
//
// rule 4, rule 9
func TestRollCustomers_LeavesAloneWhoFails(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	for number, customer := range []string{"anna", "bert", "carl"} {
		f.session(number, customer, "loft", 0, 10)
	}
	f.exec("ALTER TABLE nexero.customer_facts ADD CONSTRAINT evil CHECK (customer_id <> 'anna' OR sessions = 0)")
	for _, want := range []struct {
		limit, claimed int
		fails          bool
	}{{100, 3, true}, {1, 1, true}, {1, 1, false}, {2, 1, false}, {4, 0, false}} {
		claimed, err := f.store.RollCustomers(t.Context(), want.limit)
		if claimed != want.claimed || (err != nil) != want.fails {
			t.Errorf("at most %d: claimed %d, %v", want.limit, claimed, err)
		}
	}
	f.want("SELECT DISTINCT customer_id FROM nexero.customer_touches", "anna")
	f.exec("ALTER TABLE nexero.customer_facts DROP CONSTRAINT evil")
	f.rollCustomers(0)
	f.exec("UPDATE nexero.customer_facts SET due_at = now() WHERE due_at > now() + interval '9 minutes'")
	f.rollCustomers(1)
	f.want("SELECT count(due_at) FROM nexero.customer_facts", "0")
	f.wantCustomers()
}
