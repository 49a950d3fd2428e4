package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// visitor is one batch of a session: what a visitor does in ten seconds, the
// part-th of a tour. Tours begin at noon of the day before receipt, earlier by
// the given days: never at a midnight or at a full hour of any time zone.
func visitor(t testing.TB, client string, part, daysBefore int) *builder {
	t.Helper()
	b := batch(fmt.Sprint(client, "-", part, "-", daysBefore))
	b.Sessions = []event.Session{{Key: event.SessionKey("acme", client), ClientID: client}}
	at := func(second int) event.Micros {
		noon := received.Truncate(24*time.Hour).AddDate(0, 0, -1-daysBefore).Add(12*time.Hour + 5*time.Minute)
		return event.MicrosOf(noon) + event.Micros(10*part+second)*1_000_000
	}
	rooms := []string{"hall", "kitchen", "bath"}
	room := rooms[part%len(rooms)]
	if part > 0 {
		b.with(event.Event{Index: 0, Type: event.ZoneExit, OccurredAt: at(0), Zone: rooms[(part-1)%len(rooms)]})
	}
	b.with(
		event.Event{Index: 1, Type: event.ZoneEnter, OccurredAt: at(1), Zone: room},
		event.Event{Index: 2, Type: event.Gaze, OccurredAt: at(2), Has: event.FieldDuration, DurationMS: 700, Target: "oven"},
		event.Event{Index: 3, Type: event.Interaction, OccurredAt: at(3), Object: "door", Action: "open"},
	)
	for second := range 10 {
		b.with(event.Event{
			Index: 4 + second, Type: event.Pose, OccurredAt: at(second),
			Has: event.FieldX | event.FieldY | event.FieldSeq, X: float32(40 * second), Y: float32(100 * part), Seq: int64(10*part + second),
		})
	}
	return b
}

// reporting is a session post about a tour of the villa.
func reporting(client, customer string) *builder {
	b := batch(client + "-report")
	b.Sessions = []event.Session{{Key: event.SessionKey("acme", client), ClientID: client}}
	return b.report(event.Report{CustomerID: customer, PropertyID: "villa", Device: "Quest 3"})
}

// furnish fills the database as it comes about: sessions grow batch by batch
// and are rolled up in between, one part comes too late, one repeats.
func (f *fixture) furnish() {
	f.Helper()
	f.load(visitor(f, "first", 0, 3).seal(f), reporting("first", "ann").seal(f))
	f.roll(f.store)
	f.load(visitor(f, "tour", 0, 0).rejected(event.InvalidNumber, 20).seal(f))
	f.roll(f.store)
	f.load(visitor(f, "tour", 1, 0).seal(f), visitor(f, "nobody", 0, 0).seal(f))
	f.roll(f.store)
	f.load(visitor(f, "tour", 4, 0).seal(f), reporting("tour", "ann").seal(f))
	f.roll(f.store)
	f.rollCustomers(1)
	f.load(visitor(f, "tour", 2, 0).seal(f), visitor(f, "tour", 1, 0).again("later").seal(f), visitor(f, "nobody", 1, 0).seal(f))
	f.roll(f.store)
	f.rollCustomers(0)
}

// describeVilla has the villa's days begin elsewhere than in UTC.
func (f *fixture) describeVilla() {
	f.Helper()
	f.load(batch("tenant").poses(0).seal(f))
	if _, err := f.store.SetProperty(f.Context(), "acme", postgres.Property{ID: "villa", TimeZone: "Pacific/Auckland"}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) beginFurnished(name string) {
	f.Helper()
	f.begin(name)
	f.forgetFacts()
	f.exec("DELETE FROM nexero.quality_changes")
	f.exec("DELETE FROM rollup.data_quality_daily")
	f.furnish()
}

// Sessions that grew in any number of steps are what one fold of all their rows
// gives, and so are the sums.
//
// rule 4
func TestVerify_FurnishedIsExact(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.describeVilla()
	f.beginFurnished("furnished")
	var steps []string
	v, err := f.store.VerifyWith(t.Context(), func(p postgres.Progress) { steps = append(steps, p.Step) })
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.Verification{
		Batches: 9, Events: 95, Sessions: 4, Rejected: 1, Repeats: 1, Folded: 3, Visits: 7, Customers: 1,
		Aggregates: []postgres.AggregateTotal{
			{"zones_daily", 6},
			{"zone_transitions_daily", 10},
			{"gaze_targets_daily", 6},
			{"interactions_daily", 6},
			{"floor_heatmap_daily", 67},
			{"events_hourly", 14},
			{"properties_daily", 3},
			{"customers_daily", 2},
		},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := slices.Compact(steps); !slices.Equal(got, []string{"ledger", "sessions", "customers", "past", "aggregates"}) {
		t.Errorf("progress of %v", got)
	}
	// What is not rolled up yet is no difference, and is told.
	f.load(visitor(f, "tour", 3, 0).seal(f), visitor(f, "new", 0, 0).seal(f))
	if v, err = f.store.Verify(t.Context()); err != nil || !v.Exact() || v.Waiting != 2 || v.Folded != 2 {
		t.Errorf("%d waiting, %d folded, %v (%v)", v.Waiting, v.Folded, v.Named, err)
	}
}

// rule 4: each corruption is found, named with what is wrong by how much, and
// nothing else is.
func TestVerify_FindsEveryCorruptionOfFacts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.describeVilla()
	const (
		tour   = "(SELECT session_no FROM nexero.sessions WHERE client_id = 'tour')"
		nobody = "(SELECT session_no FROM nexero.sessions WHERE client_id = 'nobody')"
		state  = "facts are those of the raw rows"
		rows   = "contributions are those of the facts"
		shown  = "columns are those of the facts"
		sums   = "aggregates are the sums of facts"
		people = "customers are what their sessions say"
	)
	for _, tt := range []struct {
		name, corrupt string
		check, found  string
		differences   int64
	}{
		{"a visit too many", "UPDATE rollup.zones_daily SET visits = visits + 1 WHERE zone = 'bath' AND property_id = 'villa'", sums, "zones_daily tenant 1 villa * bath: visits is 2, must be 1", 1},
		{"row lost", "DELETE FROM rollup.zones_daily WHERE zone = 'bath' AND property_id = 'villa'", sums, "bath: is not there, must be: refs 1, visits 1, dwell_ms 20000", 1},
		{
			"row of nothing", "INSERT INTO rollup.zone_transitions_daily SELECT tenant_id, generation, property_id, day, zone, 'attic', 1, 1 FROM rollup.zone_transitions_daily LIMIT 1",
			sums, "attic: is there, must not be: refs 1, transitions 1", 1,
		},
		{"refs off", "UPDATE rollup.properties_daily SET refs = refs - 1 WHERE property_id = ''", sums, "properties_daily tenant 1 '' *: refs is 0, must be 1", 1},
		{"emptied row kept", "INSERT INTO rollup.customers_daily (tenant_id, generation, property_id, day, refs, repeat_visitors) VALUES (1, 1, 'x', '2026-01-01', 0, 0)", sums, "customers_daily tenant 1 x 2026-01-01: is there, must not be: refs 0", 1},
		{"bins moved", "UPDATE rollup.zones_daily SET dwell_bins = dwell_bins[144:144] || dwell_bins[1:143] WHERE zone = 'bath' AND property_id = 'villa'", sums, "of dwell_bins is 0, must be 1; bin", 1},
		{"bins cut", "UPDATE rollup.properties_daily SET duration_bins = duration_bins[1:143] WHERE property_id = ''", sums, "duration_bins has 143 bins", 1},
		{"heat moved", "UPDATE rollup.floor_heatmap_daily SET x = x + 1000 WHERE (day, x, y) IN (SELECT day, x, y FROM rollup.floor_heatmap_daily ORDER BY 1, 2, 3 LIMIT 1)", sums, "x 1000 y 0: is there, must not be: refs 1, heat_ms 1000", 2},
		{"sum of customers off", "UPDATE rollup.customers_daily SET repeat_visitors = 0", sums, "repeat_visitors is 0, must be 1", 1},
		{"generation left behind", "UPDATE rollup.interactions_daily SET generation = 7", "generations are there", "rollup.interactions_daily: 6 rows of generation 7", 7},

		{"state damaged", "UPDATE nexero.session_facts SET state = '\\x0101ff' WHERE session_no = " + tour, state, "its state cannot be read", 1},
		{"state lost", "UPDATE nexero.session_facts SET state = NULL WHERE session_no = " + tour, state, "its state cannot be read", 1},
		{"bit of a state flipped", "UPDATE nexero.session_facts SET state = set_bit(state, 8 * 4, 1 - get_bit(state, 8 * 4)) WHERE session_no = " + tour, state, "over_limit is -1, must be 0", 3},
		{
			"state of another session", "UPDATE nexero.session_facts SET state = (SELECT state FROM nexero.session_facts WHERE session_no = " + nobody + ") WHERE session_no = " + tour,
			state, "customer_id is '', must be ann; property_id is '', must be villa", 3,
		},
		{
			"contributions of another session", "UPDATE nexero.session_facts SET contributions = (SELECT contributions FROM nexero.session_facts WHERE session_no = " + nobody + ") WHERE session_no = " + tour,
			rows, "zones_daily '' * bath is not there, must be", 0,
		},
		{"contributions damaged", "UPDATE nexero.session_facts SET contributions = '\\xff' WHERE session_no = " + nobody, rows, "cannot be read, so they are in no sum", 0},
		{"contributions lost", "UPDATE nexero.session_facts SET contributions = NULL WHERE session_no = " + nobody, rows, "none are stored, there must be", 0},
		{"a length shown wrong", "UPDATE nexero.session_facts SET duration_ms = duration_ms + 1 WHERE session_no = " + tour, shown, "duration_ms is 49001, must be 49000", 1},
		{"a start shown wrong", "UPDATE nexero.session_facts SET started_at = started_at + interval '1 microsecond' WHERE session_no = " + nobody, shown, "started_at is", 1},
		{"a device shown wrong", "UPDATE nexero.session_facts SET device = NULL WHERE session_no = " + tour, shown, "device is NULL, must be Quest 3", 1},
		{"a visit shown wrong", "UPDATE nexero.session_facts SET visit_dwell_ms[2] = 1 WHERE session_no = " + tour, shown, "visit_dwell_ms no. 2 is 1, must be 9000", 1},
		{"a visit not shown", "UPDATE nexero.session_facts SET visit_zones = visit_zones[2:] WHERE session_no = " + tour, shown, "visit_zones has 3 visits, must have 4", 1},
		{"a path denied", "UPDATE nexero.session_facts SET path_kept = false WHERE session_no = " + tour, shown, "path_kept is false, the state has", 1},
		{"other definitions", "UPDATE nexero.session_facts SET facts_version = 0 WHERE session_no = " + tour, state, "folded by definitions 0, this program has 1", 1},

		{"event lost", "DELETE FROM nexero.events WHERE event_type = 6 AND session_no = " + nobody, state, "events is 27, must be 25", 3},
		{"event changed", "UPDATE nexero.events SET target = 'sink' WHERE event_type = 2 AND session_no = " + nobody, state, "of looks no. 1 target is oven, must be sink", 1},
		{"report changed", "UPDATE nexero.session_reports SET customer_id = 'eve' WHERE session_no = " + tour, state, "customer_id is ann, must be eve", 1},
		{"facts lost", "DELETE FROM nexero.session_facts WHERE session_no = " + nobody, state, "27 events and 0 reports are in no facts, and no touch asks for them", 0},
		{"facts of no session", "UPDATE nexero.session_facts SET session_no = 1000000 WHERE session_no = " + nobody, "facts have their session", "there is no such session", 2},
		{"facts in another tenant", "UPDATE nexero.session_facts SET tenant_id = 1000 WHERE session_no = " + nobody, "facts have their session", "of tenant 1000, the session is of tenant 1", 0},
		{"touch of no session", "INSERT INTO nexero.session_touches VALUES (1000000, 0, now())", "touches have their batch and session", "there is no such session", 1},
		{"touch of no batch", "INSERT INTO nexero.session_touches VALUES (" + nobody + ", 1000000, now())", "touches have their batch and session", "there is no such batch", 1},
		{"property changed in secret", "UPDATE nexero.properties SET time_zone = 'Pacific/Midway'", rows, "is not there, must be", 3},
		{"nothing is live", "UPDATE nexero.generations SET live = false", "one generation is live", "none of 1 is live", 0},

		{"customer lost", "DELETE FROM nexero.customer_facts", people, "tenant 1 customer ann: 2 sessions are in no facts", 3},
		{"customer's sessions miscounted", "UPDATE nexero.customer_facts SET sessions = 5", people, "sessions is 5, must be 2", 1},
		{"customer of older definitions", "UPDATE nexero.customer_facts SET facts_version = 0", people, "counted by definitions 0", 1},
		{"customer nobody was", "UPDATE nexero.customer_facts SET customer_id = 'eve'", people, "customer eve: sessions is 2, must be 0", 3},
		{"quality miscounted", "UPDATE rollup.data_quality_daily SET n = n + 1 WHERE measure = 'rejected'", "data quality is what the ledger says", "rejected invalid_number: counted 2, the ledger says 1", 1},
	} {
		f.beginFurnished(tt.name)
		f.wantExact()
		f.exec(tt.corrupt)
		v, err := f.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f.exec("UPDATE nexero.generations SET live = true")
		f.exec("UPDATE nexero.properties SET time_zone = 'Pacific/Auckland'")
		if !slices.ContainsFunc(v.Named, func(d postgres.Difference) bool { return d.Check == tt.check && says(d, tt.found) }) {
			t.Errorf("%s: want %q saying %q; got %d differences: %v", tt.name, tt.check, tt.found, v.Differences, v.Named[:min(len(v.Named), 5)])
		}
		if tt.differences > 0 && v.Differences != tt.differences {
			t.Errorf("%s: want %d differences, got %d: %v", tt.name, tt.differences, v.Differences, v.Named[:min(len(v.Named), 8)])
		}
	}
}

// says reports whether the parts of want, between asterisks, are in what a
// person reads, in their order.
func says(d postgres.Difference, want string) bool {
	text := d.Row + ": " + d.Found
	for part := range strings.SplitSeq(want, "*") {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// A roll-up that loses a touch leaves rows that nobody will ever fold.
//
// rule 4, rule 5
func TestVerify_FindsALostTouch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.beginFurnished("lost touches")
	f.load(visitor(f, "tour", 5, 0).seal(f), visitor(f, "new", 0, 0).seal(f), reporting("newer", "eve").seal(f))
	f.wantExact()
	f.exec("DELETE FROM nexero.session_touches")
	v, err := f.store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range v.Named {
		found = append(found, d.Found)
	}
	slices.Sort(found)
	want := []string{
		"0 events and 1 reports are in no facts, and no touch asks for them",
		"13 events and 0 reports are in no facts, and no touch asks for them",
		"end is ",
	}
	if !slices.EqualFunc(found, want, strings.HasPrefix) {
		t.Errorf("found %q", found)
	}
}

// Of a sealed session the raw rows may be gone, but what it contributed and what
// is shown must follow from its state.
func TestVerify_SealedSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const tour = "(SELECT session_no FROM nexero.sessions WHERE client_id = 'tour')"
	for _, tt := range []struct {
		name, corrupt string
		want          []string
	}{
		{"raw rows gone", "SELECT 1", nil},
		{"shown wrong", "UPDATE nexero.session_facts SET events = 1 WHERE sealed", []string{"events is 1, must be 55"}},
		{"state damaged", "UPDATE nexero.session_facts SET state = '\\xff' WHERE sealed", []string{"its state cannot be read"}},
		{"folded by older definitions", "UPDATE nexero.session_facts SET facts_version = 0, state = '\\xff' WHERE sealed", nil},
	} {
		f.beginFurnished(tt.name)
		f.exec("UPDATE nexero.session_facts SET sealed = true WHERE session_no = " + tour)
		f.exec("DELETE FROM nexero.batches WHERE batch_no IN (SELECT batch_no FROM nexero.events WHERE session_no = " + tour + " AND class = 0)")
		f.exec("DELETE FROM nexero.batch_repeats WHERE batch_id NOT IN (SELECT batch_id FROM nexero.batches)")
		f.exec("DELETE FROM nexero.events WHERE session_no = " + tour)
		f.exec("DELETE FROM nexero.rejected_events")
		f.exec("DELETE FROM nexero.quality_changes")
		f.exec("DELETE FROM rollup.data_quality_daily")
		f.exec(tt.corrupt)
		v, err := f.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, d := range v.Named {
			if d.Check != "data quality is what the ledger says" {
				found = append(found, d.Found)
			}
		}
		ok := len(found) == len(tt.want)
		for i := range found {
			ok = ok && strings.Contains(found[i], tt.want[i])
		}
		if !ok || v.Sealed != 1 || v.Folded != 2 {
			t.Errorf("%s: found %q, %d sealed, %d folded", tt.name, found, v.Sealed, v.Folded)
		}
	}
}

// Whatever commits while Verify reads, it sees one moment: loads and roll-ups
// between its statements make no difference.
//
// rule 4
func TestVerify_SeesOneMomentWhateverCommits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.beginFurnished("one moment")
	const every = 5
	part := 0
	hook := &statements{at: every}
	hook.do = func() {
		part++
		f.load(visitor(f, "moving", part, 0).seal(f), reporting(fmt.Sprint("moving", part), "ann").seal(f))
		f.roll(f.store)
		f.rollCustomers(1)
		hook.at += every
	}
	traced, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
	if err != nil {
		t.Fatal(err)
	}
	defer traced.Close()
	v, err := traced.Verify(t.Context())
	if err != nil || !v.Exact() || part < 10 {
		t.Errorf("after %d commits %d differences: %v (%v)", part, v.Differences, v.Named, err)
	}
	f.wantExact()
}

// Rows of every table are found when they are gone.
func TestVerify_CoversEveryTable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.beginFurnished("every table")
	for _, table := range facts.Tables() {
		f.exec("CREATE TABLE kept AS TABLE rollup." + table.String())
		f.exec("DELETE FROM rollup." + table.String())
		v, err := f.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(len(f.lines("SELECT 1 FROM kept")))
		if rows == 0 || v.Differences != rows || !says(v.Named[0], table.String()+" tenant 1 *: is not there, must be: refs ") {
			t.Errorf("%s: %d rows lost, %d differences: %v", table, rows, v.Differences, v.Named[:min(len(v.Named), 1)])
		}
		f.exec("INSERT INTO rollup." + table.String() + " TABLE kept")
		f.exec("DROP TABLE kept")
	}
	f.wantExact()
}

// Of a session that is too long the same events are folded again as were the
// first time, and the others counted, whatever sessions are beside it.
func TestVerify_SessionsThatAreTooLong(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const most = 20
	f.store.FoldAtMost(most)
	anew := func(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
		if err := whole(claims); err != nil {
			return err
		}
		for _, c := range claims {
			state := facts.Of(c.Events, c.Reports)
			state.Skip(c.Unread, c.UnreadFrom, c.UnreadUntil)
			folded := state.Facts()
			c.Result = facts.Result{Due: c.Now, State: state, Facts: folded, Contributed: folded.Contributions(facts.Property{})}
		}
		return nil
	}
	f.load(visitor(f, "short", 0, 0).seal(f), visitor(f, "long", 1, 0).seal(f), visitor(f, "long", 0, 0).seal(f),
		visitor(f, "other", 0, 0).seal(f), visitor(f, "long", 2, 0).seal(f))
	if _, err := f.store.RollSessions(t.Context(), 0, 10, anew); err != nil {
		t.Fatal(err)
	}
	f.want("SELECT client_id, events, over_limit FROM nexero.session_facts JOIN nexero.sessions USING (session_no) ORDER BY 1",
		"long 20 21", "other 13 0", "short 13 0")
	f.wantExact()
	f.exec("DELETE FROM nexero.events WHERE session_no = (SELECT session_no FROM nexero.sessions WHERE client_id = 'long') AND client_seq = 29")
	v, err := f.store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v.Differences != 2 || !says(v.Named[1], "session no. *over_limit is 21, must be 20") {
		t.Errorf("%v", v.Named)
	}
}
