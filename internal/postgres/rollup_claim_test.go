package postgres_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

const (
	zoneRows     = "SELECT property_id, zone, visits FROM rollup.zones_daily ORDER BY property_id, zone"
	touchedTours = "SELECT session_no, count(*) FROM nexero.session_touches GROUP BY 1 ORDER BY 1"
)

// stay is a visit in a zone, for a minute from the given second of the tour on.
func stay(second int, zone string) []event.Event {
	at := event.MicrosOf(received.Add(-time.Hour)) + event.Micros(second)*1_000_000
	return []event.Event{
		{Index: 500, Type: event.ZoneEnter, OccurredAt: at, Zone: zone},
		{Index: 501, Type: event.ZoneExit, OccurredAt: at + 60_000_000, Zone: zone},
	}
}

// What a session contributed is taken back where it was, and rows that nobody
// is in any more are gone.
//
// rule 4
func TestRollSessions_MovesWhatChanged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "first", 0, 3).with(stay(0, "kitchen")...).report(event.Report{PropertyID: "old", CustomerID: "ann"}).seal(t))
	f.roll(f.store)
	f.want(zoneRows, "old kitchen 1")
	f.want("SELECT customer_id FROM nexero.customer_touches", "ann")
	f.exec("DELETE FROM nexero.customer_touches")

	f.load(tour(t, "second", 100, 3).with(stay(100, "bath")...).report(event.Report{PropertyID: "new", CustomerID: "bob"}).seal(t))
	f.roll(f.store)
	f.want(zoneRows, "new bath 1", "new kitchen 1")
	f.want("SELECT customer_id FROM nexero.customer_touches ORDER BY 1", "ann", "bob")
	f.want("SELECT property_id, refs FROM rollup.properties_daily", "new 1")
	f.want(`SELECT customer_id, property_id, entry_zone, exit_zone, zones, visit_zones::text, array_length(visit_entered_at, 1), visit_dwell_ms::text, events, sealed
	        FROM nexero.session_facts`, "bob new kitchen bath 2 {kitchen,bath} 2 {60000,60000} 12 false")
	f.wantRolled()
}

// A postponed session is as it was, and its rows are still new.
func TestRollSessions_PostponedSessionsKeepTheirTouches(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "first", 0, 3).seal(t), tour(t, "second", 10, 3).seal(t))
	before := f.lines("SELECT session_no, batch_no, received_at FROM nexero.session_touches ORDER BY 2")
	postpone := func(claims []*facts.Claim, _ func([]*facts.Claim) error) error {
		for _, c := range claims {
			c.Result = facts.Result{Postponed: true, Due: c.Now + 3600*1_000_000}
		}
		return nil
	}
	rolled, err := f.store.RollSessions(t.Context(), 0, 10, postpone)
	if err != nil || rolled.Claimed != 1 || rolled.Postponed != 1 || len(rolled.Ages) != 0 {
		t.Errorf("rolled %+v, %v", rolled, err)
	}
	f.want("SELECT session_no, batch_no, received_at FROM nexero.session_touches ORDER BY 2", before...)
	f.roll(f.store)
	f.want("SELECT rolled_at IS NULL FROM nexero.session_facts", "true") // not due before an hour is over
	f.exec("UPDATE nexero.session_facts SET due_at = now()")
	f.roll(f.store)
	f.wantRolled()
}

// A fold that fails leaves everything as it was.
func TestRollSessions_FailsAsAWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "first", 0, 3).seal(t))
	sentinel := errors.New("no")
	if _, err := f.store.RollSessions(t.Context(), 0, 10, func([]*facts.Claim, func([]*facts.Claim) error) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("error %v", err)
	}
	f.want("SELECT count(*) FROM nexero.session_touches", "1")
	f.roll(f.store)
	f.wantRolled()
}

// A state that cannot be read is made anew from the raw events; contributions
// that cannot be read stop their own session and no other.
func TestRollSessions_Damage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "first", 0, 3).seal(t), batch("other").poses(0, 1).seal(t))
	f.roll(f.store)
	f.exec("UPDATE nexero.session_facts SET state = '\\xff'")
	f.load(tour(t, "second", 10, 3).seal(t))
	f.roll(f.store)
	f.wantRolled()

	f.exec("UPDATE nexero.session_facts SET contributions = '\\xff' WHERE session_no = (SELECT session_no FROM nexero.sessions WHERE client_id = 'tour')")
	f.load(tour(t, "third", 20, 3).seal(t), batch("other").again("more").other().seal(t), batch("alone").poses(0).seal(t))
	f.roll(f.store)
	f.want("SELECT s.client_id, count(*) FROM nexero.session_touches JOIN nexero.sessions s USING (session_no) GROUP BY 1", "tour 1")
	f.want("SELECT s.client_id, f.events FROM nexero.session_facts f JOIN nexero.sessions s USING (session_no) ORDER BY 1",
		"session-alone 1", "session-other 2", "tour 8")
}

// One roll-up reads a bounded number of batches, whether of many sessions or of
// one; the rest follow, and a session of which a part was folded is right in the
// end.
//
// rule 4, rule 9
func TestRollSessions_ReadsABoundedNumberOfBatches(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const sessions = 5
	for i := range sessions {
		f.load(tour(t, fmt.Sprint("tour-", i), 10*i, 3).seal(t), batch(strconv.Itoa(i)).poses(0, 1).seal(t))
	}
	// Batches that are not there bring no rows.
	f.exec(`INSERT INTO nexero.session_touches
	        SELECT session_no, 1000000 + n, now() - n % 2 * interval '1 day'
	        FROM nexero.sessions, generate_series(1, CASE client_id WHEN 'tour' THEN 2500 ELSE 600 END) n`)
	waiting := func() int {
		n, err := strconv.Atoi(f.lines("SELECT count(*) FROM nexero.session_touches")[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	left := waiting()
	var after int64
	for range 20 {
		rolled, err := f.store.RollSessions(t.Context(), after, 3, fold)
		if err != nil {
			t.Fatal(err)
		}
		now := waiting()
		if left-now > 1000 || left > 0 && rolled.Claimed > 0 && now == left {
			t.Fatalf("%d of %d touches taken at once", left-now, left)
		}
		if len(rolled.Ages) != left-now {
			t.Errorf("%d touches were put back", len(rolled.Ages)-left+now)
		}
		left = now
		if after = rolled.Last; after == 0 && left > 0 {
			f.exec("UPDATE nexero.session_facts SET due_at = now()")
		}
	}
	if left > 0 {
		t.Errorf("%d touches are never taken", left)
	}
	f.wantRolled()
}

// A session that is read from its first event is read once, however many batches
// of it are new.
//
// rule 4, rule 9
func TestRollSessions_ReadsAllThatIsNewOfASessionReadWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "late", 1000, 3).seal(t))
	f.roll(f.store)
	for i := range 20 {
		f.load(tour(t, fmt.Sprint("tour-", i), 40*i, 3).with(stay(40*i, "kitchen")...).
			report(event.Report{PropertyID: fmt.Sprint("property-", i)}).at(received.Add(time.Duration(i) * time.Second)).seal(t))
	}
	f.exec(`INSERT INTO nexero.session_touches
	        SELECT session_no, 1000000 + n, now() - interval '1 hour' FROM nexero.sessions, generate_series(1, 995) n`)
	if _, err := f.store.RollSessions(t.Context(), 0, 1, fold); err != nil {
		t.Fatal(err)
	}
	f.want("SELECT count(*) FROM nexero.session_touches", "0")
	f.want("SELECT property_id FROM nexero.session_facts", "property-19")
	f.wantRolled()
}

// A session with more events than can be folded folds the first ones by the
// client's time and counts the others.
func TestRollSessions_ALongSession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const most = 1000
	f.store.FoldAtMost(most)
	f.load(tour(t, "first", 0, 1).seal(t))
	f.exec(`INSERT INTO nexero.events (batch_no, session_no, received_at, occurred_at, event_index, event_type, class)
	        SELECT t.batch_no, t.session_no, t.received_at, t.received_at - n * interval '1 ms', 0, 17, 1
	        FROM nexero.session_touches t, generate_series(1, $1::integer) n`, most)
	readWhole := func(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
		if err := whole(claims); err != nil {
			return err
		}
		c := claims[0]
		if len(c.Events) != most || c.Unread != 2 || c.UnreadUntil != event.MicrosOf(received) || c.UnreadFrom != c.UnreadUntil {
			t.Errorf("read %d events, %d unread from %d to %d", len(c.Events), c.Unread, c.UnreadFrom, c.UnreadUntil)
		}
		state := facts.Of(c.Events, c.Reports)
		state.Skip(c.Unread, c.UnreadFrom, c.UnreadUntil)
		fs := state.Facts()
		c.Result = facts.Result{Due: c.Now, State: state, Facts: fs, Contributed: fs.Contributions(facts.Property{}), RecomputeAt: c.Now}
		return nil
	}
	if _, err := f.store.RollSessions(t.Context(), 0, 1, readWhole); err != nil {
		t.Fatal(err)
	}
	f.want("SELECT events, over_limit FROM nexero.session_facts", fmt.Sprint(most, " 2"))
}

// The event of a long session that is not read can be the one that was received
// first: when the client's clock was ahead at first. It is not forgotten by the
// next time that the session is read.
func TestRollSessions_ALongSessionReadTwice(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.store.FoldAtMost(10)
	f.load(tour(t, "ahead", 2000, 0).at(received.Add(-time.Hour)).seal(t))
	f.load(tour(t, "rest", 1000, 20).seal(t))
	anew := func(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
		if err := whole(claims); err != nil {
			return err
		}
		for _, c := range claims {
			state := facts.Of(c.Events, c.Reports)
			state.Skip(c.Unread, c.UnreadFrom, c.UnreadUntil)
			fs := state.Facts()
			c.Result = facts.Result{Due: c.Now, State: state, Facts: fs, Contributed: fs.Contributions(facts.Property{}), RecomputeAt: c.Now}
		}
		return nil
	}
	for range 2 {
		if _, err := f.store.RollSessions(t.Context(), 0, 1, anew); err != nil {
			t.Fatal(err)
		}
		f.want("SELECT events, over_limit, last_received_at - first_received_at = interval '1 hour' FROM nexero.session_facts", "10 12 true")
		f.exec("INSERT INTO nexero.session_touches SELECT session_no, 0, now() FROM nexero.sessions")
	}
	f.exec("DELETE FROM nexero.session_touches")
	f.wantExact()
}

// Names of any length that the edge may let through fit the aggregates' keys.
func TestRollSessions_LongNames(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := func(n int) string {
		var b strings.Builder
		for i := range 4000 {
			b.WriteByte('a' + byte((i*i*i+n*i*7919+i*i/(n+3))%26)) // does not compress
		}
		return b.String()
	}
	f.load(tour(t, "long", 0, 1).with(event.Event{
		Index: 9, Type: event.Interaction, Zone: long(1), Object: long(2), Action: long(3), Target: long(4),
	}).report(event.Report{PropertyID: long(5), CustomerID: long(6), Device: long(7)}).seal(t))
	f.roll(f.store)
	f.want("SELECT interactions FROM rollup.interactions_daily", "1")
	f.wantRolled()
}

// Any number of processes roll up what any number of others load.
//
// rule 2, rule 4
func TestRollSessions_ManyAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const loaders, rounds = 2, 12
	stores := make([]*postgres.Store, 3)
	for i := range stores {
		stores[i] = f.open(postgres.Config{})
	}
	done := make(chan struct{})
	finished, ended := make(chan struct{}, loaders), make(chan struct{}, len(stores))
	for l := range loaders {
		go func() {
			defer func() { finished <- struct{}{} }()
			for round := range rounds {
				f.loadWith(f.store, tour(f, fmt.Sprint("l", l, "-", round), (rounds-round)*10+l*3, 4))
				f.loadWith(f.store, batch(fmt.Sprint("other-", l, "-", round)).poses(0, 1, 2))
			}
		}()
	}
	for _, store := range stores {
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				select {
				case <-done:
					return
				default:
					f.rollOnce(store)
				}
			}
		}()
	}
	for range loaders {
		<-finished
	}
	close(done)
	for range stores {
		<-ended
	}
	f.roll(f.store)
	f.wantRolled()
}

// What a client has reported is read once, however often it reports.
//
// rule 9
func TestRollSessions_ReadsEachReportOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	counting := func(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
		if n := len(claims[0].Reports); n != 1 {
			t.Errorf("%d reports were read", n)
		}
		return fold(claims, whole)
	}
	for i := range 5 {
		b := tour(t, fmt.Sprint("tour-", i), 10*i, 1).at(received.Add(time.Duration(i) * time.Second))
		said := event.Report{Device: fmt.Sprint("device-", i)}
		if i == 1 {
			said.PropertyID, said.CustomerID = "loft", "ann"
		}
		f.load(b.report(said).seal(t))
		if _, err := f.store.RollSessions(t.Context(), 0, 1, counting); err != nil {
			t.Fatal(err)
		}
	}
	f.want("SELECT property_id, customer_id, device FROM nexero.session_facts", "loft ann device-4")
	// Read as a whole, it is what all of them say.
	f.load(tour(t, "early", -10, 1).seal(t))
	f.roll(f.store)
	f.want("SELECT property_id, customer_id, device FROM nexero.session_facts", "loft ann device-4")
	f.wantRolled()
	f.wantExact()
}

// A look at the backlog costs the same however much waits.
//
// rule 9
func TestBacklog_LooksAtABoundedNumber(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.store.LookAtMost(100)
	f.exec("INSERT INTO nexero.session_touches SELECT 1, n, now() - interval '1 hour' FROM generate_series(1, 99) n")
	backlog, err := f.store.Backlog(t.Context())
	if err != nil || backlog.Batches != 99 || backlog.Age < time.Hour {
		t.Errorf("%+v, %v", backlog, err)
	}
	f.exec("INSERT INTO nexero.session_touches SELECT 1, n, now() FROM generate_series(1, 5000) n")
	f.exec("ANALYZE nexero.session_touches")
	f.exec("DELETE FROM nexero.session_touches WHERE batch_no > 4000")
	backlog, err = f.store.Backlog(t.Context())
	if err != nil || backlog.Batches != 5099 || backlog.Age < time.Hour {
		t.Errorf("%+v, %v", backlog, err)
	}
}

// A property whose id is too long for an index is described by the id all the
// same, whole or as it is shown.
func TestSetProperty_OfALongID(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("é", 600)
	f.load(tour(t, "first", 0, 1).report(event.Report{PropertyID: long, CustomerID: "ann"}).seal(t))
	const days = "SELECT p.property_id = f.property_id, p.time_zone FROM nexero.session_facts f JOIN nexero.properties p USING (tenant_id, property_id)"
	f.setProperty(0, postgres.Property{ID: long, TimeZone: "Europe/Berlin"})
	f.roll(f.store)
	f.want(days, "true Europe/Berlin")
	f.wantExact()
	f.setProperty(1, postgres.Property{ID: long, TimeZone: "Asia/Tokyo"})
	shown := f.lines("SELECT property_id FROM nexero.session_facts")[0]
	f.setProperty(1, postgres.Property{ID: shown, TimeZone: "America/New_York"})
	f.exec("UPDATE nexero.session_facts SET due_at = now()")
	f.roll(f.store)
	f.want(days, "true America/New_York")
	f.wantExact()
}
