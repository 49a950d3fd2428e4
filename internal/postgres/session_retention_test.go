package postgres_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// customerOf makes b say whose session it is, and where.
func (b *builder) customerOf(customer, property string) *builder {
	return b.report(event.Report{CustomerID: customer, PropertyID: property})
}

// aggregates are the rows of all aggregate tables.
func (f *fixture) aggregates() map[string][]string {
	f.Helper()
	all := make(map[string][]string)
	for _, table := range facts.Tables() {
		all[table.String()] = f.lines("SELECT to_jsonb(t)::text FROM rollup." + table.String() + " t ORDER BY 1")
	}
	return all
}

func (f *fixture) wantAggregates(before map[string][]string) {
	f.Helper()
	if diff := cmp.Diff(before, f.aggregates(), cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("the aggregates changed (-before +after):\n%s", diff)
	}
}

// forgetSessions forgets until there are none left.
func (f *fixture) forgetSessions(store *postgres.Store) (forgotten int64) {
	f.Helper()
	for range 1000 {
		sessions, more, err := store.ForgetSessions(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		if forgotten += sessions; !more {
			return forgotten
		}
	}
	f.Fatal("there is always something to forget")
	return 0
}

// rollAll rolls up sessions and customers.
func (a *archive) rollAll() {
	a.Helper()
	a.rollSealed()
	for range 100 {
		n, err := a.store.RollCustomers(a.Context(), 100)
		if err != nil {
			a.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	a.Fatal("there is always a customer to roll up")
}

const namesKept = "SELECT client_id FROM nexero.sessions ORDER BY client_id"

// wantForgotten checks that of the sessions that are gone nothing is kept but
// sums, and that these are right.
func (a *archive) wantForgotten() {
	a.Helper()
	for _, table := range []string{"session_facts", "session_reports", "session_touches", "events"} {
		a.want("SELECT count(*) FROM nexero."+table+" WHERE session_no NOT IN (SELECT session_no FROM nexero.sessions)", "0")
	}
	a.want("SELECT (SELECT count(*) FROM nexero.customer_departures), (SELECT count(*) FROM nexero.customer_touches)", "0 0")
	a.want("SELECT customer_id FROM nexero.customer_facts EXCEPT SELECT customer_id FROM nexero.session_facts")
	a.want("SELECT sum(events)::bigint FROM rollup.events_hourly", strconv.Itoa(a.loaded))
	a.wantExact()
}

// Sessions go when they are old and settled, with all that is stored of them;
// what they added stays.
//
// rule 4
func TestForgetSessions(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(
		visit("old", 410).customerOf("anna", "loft"), visit("old", 405), visit("nobody", 410), visit("in-use", 410), visit("in-use", 3),
		visit("young", 380).customerOf("anna", "loft"), visit("rejected-of", 410), visit("damaged", 410), visit("newer", 410), visit("held", 410),
		visit("told-later", 410),
	)
	report := batch("told").at(received.AddDate(0, 0, -410)).customerOf("bert", "villa")
	report.Sessions = visit("told", 0).Sessions
	told := batch("told-later").at(received.AddDate(0, 0, -2)).customerOf("bert", "villa")
	told.Sessions = visit("told-later", 0).Sessions
	rejected := batch("bad").rejected(event.InvalidText, 0)
	rejected.Sessions = visit("rejected-of", 0).Sessions
	a.loadWith(a.past, report)
	a.loadWith(a.store, told)
	a.loadWith(a.store, rejected)
	a.exec("UPDATE nexero.rejected_events SET session_id = $1", [16]byte(rejected.Sessions[0].Key))
	a.exec("INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id) VALUES ($1, now() - interval '400 days', 1, 'name')",
		[16]byte(event.SessionKey("acme", "name")))
	a.rollAll()
	if n := a.forgetSessions(a.store); n != 1 {
		t.Errorf("%d sessions forgotten before their days are dropped, want that of another day", n)
	}
	a.retain()
	a.rollAll()
	before := a.aggregates()
	damage := a.lines("SELECT contributions FROM nexero.session_facts JOIN nexero.sessions USING (session_no) WHERE client_id = 'damaged'")
	if len(damage) != 1 {
		t.Fatal("nothing to damage")
	}
	a.exec("ALTER TABLE nexero.session_facts ADD COLUMN whole bytea")
	a.exec(`UPDATE nexero.session_facts f SET whole = contributions, contributions = '\xff' FROM nexero.sessions s WHERE s.session_no = f.session_no AND client_id = 'damaged'`)
	a.exec("UPDATE nexero.session_facts f SET facts_version = 999 FROM nexero.sessions s WHERE s.session_no = f.session_no AND client_id = 'newer'")
	o, end := a.another()
	o.do("SELECT FROM nexero.session_facts JOIN nexero.sessions USING (session_no) WHERE client_id = 'held' FOR UPDATE OF session_facts")
	if n := a.forgetSessions(a.store); n != 3 {
		t.Errorf("%d sessions forgotten, want 3", n)
	}
	end()
	a.want(namesKept, "damaged", "held", "in-use", "newer", "rejected-of", "told-later", "young")
	a.wantAggregates(before)
	a.exec("UPDATE nexero.session_facts SET contributions = whole WHERE whole IS NOT NULL")
	a.exec("UPDATE nexero.session_facts SET facts_version = $1", facts.Version)
	a.exec("UPDATE nexero.rejected_events SET session_id = NULL")
	if n := a.forgetSessions(a.store); n != 4 {
		t.Errorf("%d sessions forgotten, want the other 4", n)
	}
	a.want(namesKept, "in-use", "told-later", "young")
	a.rollAll()
	a.wantAggregates(before)
	a.want("SELECT customer_id, sessions, first_end IS NOT NULL FROM nexero.customer_facts ORDER BY 1", "anna 1 true", "bert 1 true")
	a.wantForgotten()
	if n := a.forgetSessions(a.store); n != 0 {
		t.Errorf("%d sessions forgotten again", n)
	}
}

// What waits for a roll-up is not old, and not to be missed by it.
func TestForgetSessions_LeavesTouchedOnes(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 410).customerOf("anna", "loft"))
	a.retain()
	a.setProperty(1, postgres.Property{ID: "loft", TimeZone: "Asia/Kolkata"})
	if n := a.forgetSessions(a.store); n != 0 {
		t.Errorf("%d sessions forgotten with a touch", n)
	}
	a.rollAll()
	before := a.aggregates()
	if n := a.forgetSessions(a.store); n != 1 {
		t.Errorf("%d sessions forgotten, want 1", n)
	}
	a.rollAll()
	// The time zone is that of those who are kept.
	a.setProperty(0, postgres.Property{ID: "loft", TimeZone: "America/St_Johns"})
	a.wantAggregates(before)
	a.wantForgotten()
}

// A late event of a session that is gone begins a session of its own, whatever a
// worker remembers of the old one, and nothing is counted twice.
//
// rule 2, rule 4
func TestForgetSessions_LateEventsAreAdded(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 410).customerOf("anna", "loft"))
	a.retain()
	a.rollAll()
	first := visit("a", 410).customerOf("anna", "loft")
	if n := a.forgetSessions(a.store); n != 1 {
		t.Fatalf("%d sessions forgotten", n)
	}
	a.rollAll()
	a.want(namesKept)
	a.wantForgotten()
	// The same Store, which remembers the session's number.
	a.loadWith(a.past, first.again("redelivered"))
	a.want(namesKept)
	late := visit("a", 1).customerOf("anna", "loft")
	a.visits(late)
	a.rollAll()
	a.want(namesKept, "a")
	a.want("SELECT sum(refs)::bigint, sum(events)::bigint FROM rollup.properties_daily", "2 6")
	// Nobody remembers anna.
	a.want("SELECT sum(refs)::bigint, sum(repeat_visitors)::bigint FROM rollup.customers_daily", "2 0")
	a.wantForgotten()
	replayed := batch("rejected").at(received.AddDate(0, 0, -1)).rejected(event.InvalidText, 0)
	replayed.Sessions = late.Sessions
	a.loadWith(a.store, replayed)
	a.wantForgotten()
}

// Customers keep what was counted: days of sessions that are gone, and repeat
// visits because of them.
//
// rule 4
func TestForgetSessions_Customers(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	// All begin on one day of their clocks, a minute apart for each day of receipt.
	a.visits(
		visit("first", 410).customerOf("anna", "villa"), visit("same-day", 409).customerOf("anna", "loft"),
		visit("kept", 300).customerOf("anna", "loft"), visit("only", 410).customerOf("bert", "loft"),
		visit("moved", 410).customerOf("carl", "loft"), visit("moved", 2).customerOf("dora", "loft"),
	)
	a.retain()
	a.rollAll()
	before := a.aggregates()
	const customers = "SELECT property_id, sum(refs)::bigint, sum(repeat_visitors)::bigint FROM rollup.customers_daily GROUP BY 1 ORDER BY 1"
	a.want(customers, "loft 3 1", "villa 1 0")
	if n := a.forgetSessions(a.store); n != 3 {
		t.Errorf("%d sessions forgotten, want 3", n)
	}
	a.wantExact() // before the customers' roll-up as well
	a.rollAll()
	a.wantAggregates(before)
	a.want("SELECT customer_id, sessions, first_end IS NULL FROM nexero.customer_facts ORDER BY 1", "anna 1 false", "dora 1 true")
	a.wantForgotten()
	// Everything again changes nothing.
	a.exec("INSERT INTO nexero.customer_touches SELECT tenant_id, c FROM nexero.tenants, unnest('{anna,bert,carl,dora}'::text[]) c")
	a.rollAll()
	a.wantAggregates(before)
	// A visit later on is a repeat because of one that is gone.
	a.visits(visit("again", 1).customerOf("anna", "hut"))
	a.rollAll()
	a.want(customers, "hut 1 1", "loft 3 1", "villa 1 0")
	a.wantForgotten()
}

// One session that cannot be deleted keeps no other.
func TestForgetSessions_OneThatFails(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	for i := range 9 {
		a.visits(visit(fmt.Sprint("session-", i), 410))
	}
	a.retain()
	a.rollAll()
	a.exec(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF old.client_id = 'session-4' THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN old; END $$`)
	a.exec("CREATE TRIGGER refuse BEFORE DELETE ON nexero.sessions FOR EACH ROW EXECUTE FUNCTION public.refuse()")
	failures := 0
	for range 40 {
		_, more, err := a.store.ForgetSessions(t.Context())
		if err == nil && !more {
			break
		}
		if err != nil {
			failures++
		}
	}
	if failures == 0 || failures > 8 {
		t.Errorf("%d failures", failures)
	}
	a.want(namesKept, "session-4")
	a.wantForgotten()
	a.exec("DROP TRIGGER refuse ON nexero.sessions")
	if n := a.forgetSessions(a.store); n != 1 {
		t.Errorf("%d sessions forgotten in the next round", n)
	}
	a.wantForgotten()
}

// Sums of what is gone are checked as all others.
//
// rule 4
func TestVerify_Past(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 410).customerOf("anna", "loft"), visit("b", 410).customerOf("bert", "villa"))
	a.retain()
	a.rollAll()
	a.forgetSessions(a.store)
	a.rollAll()
	a.wantForgotten()
	a.exec("CREATE TABLE public.saved AS SELECT * FROM nexero.past_contributions")
	day := a.lines("SELECT day - date '1970-01-01' FROM nexero.past_contributions WHERE property_id = 'villa'")
	epochDay, err := strconv.ParseInt(strings.Join(day, " "), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	nobody := facts.Contributions{{Key: facts.Key{Table: facts.CustomersDaily, Property: "villa", Day: int32(epochDay)}, Refs: 0, Sums: []int64{1}}}
	for _, tt := range []struct{ name, damage, check, found string }{
		{"of nobody", fmt.Sprintf(`UPDATE nexero.past_contributions SET contributions = '\x%x' WHERE property_id = 'villa'`, nobody.Append(nil)), "past contributions are in their row", "has refs 0"},
		{"lost", "DELETE FROM nexero.past_contributions WHERE property_id = 'villa'", "aggregates are the sums of facts", "is there, must not be"},
		{"unreadable", `UPDATE nexero.past_contributions SET contributions = '\xff'`, "past contributions are in their row", "cannot be read"},
		{"elsewhere", "UPDATE nexero.past_contributions SET day = day + 1 WHERE property_id = 'villa'", "past contributions are in their row", "is of tenant 1 property villa"},
		{"of no generation", "INSERT INTO nexero.past_contributions SELECT tenant_id, 7, property_id, day, contributions FROM public.saved LIMIT 1", "generations are there", "generation 7"},
		{"an aggregate changed", "UPDATE rollup.properties_daily SET duration_ms = duration_ms + 1 WHERE property_id = 'villa'", "aggregates are the sums of facts", "duration_ms is"},
		{"a departure forgotten", "INSERT INTO nexero.customer_departures VALUES (1, 'anna', 1, 'loft', now(), now())", "departed sessions are counted by their customers", "1 deleted sessions"},
	} {
		a.exec(tt.damage)
		v, err := a.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Named, func(d postgres.Difference) bool { return d.Check == tt.check && strings.Contains(d.Found, tt.found) }) {
			t.Errorf("%s: want %q saying %q, got %v", tt.name, tt.check, tt.found, v.Named)
		}
		a.exec("TRUNCATE nexero.past_contributions, nexero.customer_departures")
		a.exec("INSERT INTO nexero.past_contributions SELECT * FROM public.saved")
		a.exec("UPDATE rollup.properties_daily SET duration_ms = duration_ms - 1 WHERE property_id = 'villa' AND $1", tt.name == "an aggregate changed")
		a.wantExact()
	}
}

// A clock that is far ahead deletes nothing: what it deletes never comes back.
func TestForgetSessions_GoesByTheDatabasesTime(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 300))
	a.rollAll()
	a.store.PretendTime(time.Now().AddDate(1, 0, 0))
	if n := a.forgetSessions(a.store); n != 0 {
		t.Errorf("%d sessions forgotten by a remembered time", n)
	}
	short := a.open(postgres.Config{PoseRetention: 24 * time.Hour, EventRetention: 24 * time.Hour, SessionRetention: 7 * 24 * time.Hour})
	if n := a.forgetSessions(short); n != 0 {
		t.Errorf("%d sessions forgotten with raw events", n)
	}
	for _, wrong := range []postgres.Config{
		{URL: a.url, SessionRetention: 395 * 24 * time.Hour},
		{URL: a.url, PoseRetention: 24 * time.Hour, EventRetention: 24 * time.Hour, SessionRetention: 6 * 24 * time.Hour},
	} {
		if _, err := postgres.Open(t.Context(), wrong, nil, nil); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
}
