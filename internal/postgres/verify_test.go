package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// populated is a database with something of everything.
func populated(t *testing.T) *fixture {
	t.Helper()
	f := setup(t)
	f.populate()
	return f
}

func (f *fixture) populate() {
	f.Helper()
	f.load(gatherOfEverything(f, "a")...)
	f.load(batch("other").of("bolt").poses(0).rejected(event.InvalidText, 1).seal(f))
}

func TestVerify_Totals(t *testing.T) {
	t.Parallel()
	f := populated(t)
	got, err := f.store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.Verification{Batches: 3, Events: 5, Sessions: 3, Rejected: 2, Repeats: 1, Waiting: 3}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(postgres.Verification{}, "Aggregates")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// rule 2, rule 4: a check that never fails checks nothing.
func TestVerify_FindsEveryCorruption(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const (
		acme    = "(SELECT tenant_id FROM nexero.tenants WHERE name = 'acme')"
		another = "(SELECT session_no FROM nexero.sessions WHERE client_id = 'session-other')"
	)
	for _, tt := range []struct {
		name    string
		corrupt string
		check   string
		found   string
		more    int64 // differences that follow from the same corruption
	}{
		{"event lost", "DELETE FROM nexero.events WHERE event_index = 2", "accepted events are stored", "the ledger says 4 events, there are 3", 0},
		{
			"event doubled", "INSERT INTO nexero.events SELECT * FROM nexero.events WHERE event_index = 2",
			"an event is in one place once", "2 times stored, 0 times rejected", 1,
		},
		{
			"event moved onto another", "UPDATE nexero.events SET event_index = 1 WHERE event_index = 2",
			"an event is in one place once", "2 times stored, 0 times rejected", 0,
		},
		{
			"event stored and rejected", "UPDATE nexero.events SET event_index = 4 WHERE event_index = 2",
			"an event is in one place once", "1 times stored, 1 times rejected", 0,
		},
		{
			"rejection lost", "DELETE FROM nexero.rejected_events WHERE event_index = 4",
			"rejections are kept", "the ledger has it as invalid_text, rejected_events does not", 0,
		},
		{
			"rejection nobody knows", "UPDATE nexero.batches SET rejected_indexes = NULL, rejected_codes = NULL WHERE rejected_indexes = '{4}'",
			"rejections are kept", "rejected_events has it as invalid_text, the ledger does not", 2,
		},
		{
			"rejection for another reason", "UPDATE nexero.rejected_events SET code = 'invalid_number' WHERE event_index = 4",
			"rejections are kept", "the ledger says invalid_text, rejected_events invalid_number", 0,
		},
		{
			"ledger row lost", "DELETE FROM nexero.batches WHERE accepted = 4",
			"events have their batch and session", "4 events without a batch", 9,
		},
		{
			"events in another tenant's session", "UPDATE nexero.events SET session_no = " + another + " WHERE event_index = 2",
			"events have their batch and session", "1 events of tenant 1 in a session of tenant 2", 0,
		},
		{
			"report without its batch", "UPDATE nexero.session_reports SET batch_no = 1000",
			"reports have their batch and session", "without a batch", 0,
		},
		{
			"report of another batch", "UPDATE nexero.session_reports SET batch_id = gen_random_uuid()",
			"reports have their batch and session", "the ledger says", 0,
		},
		{
			"report in another tenant's session", "UPDATE nexero.session_reports SET session_no = " + another,
			"reports have their batch and session", "of tenant 1 in a session of tenant 2", 0,
		},
		{
			"rejection of another tenant", "UPDATE nexero.rejected_events SET tenant_id = " + acme + " WHERE event_index = 1",
			"rejections have their tenant and session", "of tenant 1, its batch is of tenant 2", 0,
		},
		{
			"rejection of no session", "UPDATE nexero.rejected_events SET session_id = gen_random_uuid() WHERE event_index = 1",
			"rejections have their tenant and session", "which is not there", 0,
		},
		{"unknown type", "UPDATE nexero.events SET event_type = 99 WHERE event_index = 2", "types are known", "1 of a type without a name", 0},
		{"wrong class", "UPDATE nexero.events SET class = 0 WHERE event_index = 2", "types are known", "1 in the wrong class", 0},
		{
			"repeat of no batch", "INSERT INTO nexero.batch_repeats (batch_id, receipt_id, received_at) VALUES (gen_random_uuid(), gen_random_uuid(), now())",
			"repeats have their batch", "there is no such batch", 0,
		},
		{
			"number given twice", "UPDATE nexero.batches SET batch_no = (SELECT batch_no FROM nexero.session_reports) WHERE batch_id = '" + id("batch", "other").String() + "'",
			"a batch has a number of its own", "2 batches have it", 6,
		},
		{
			"damaged message", "INSERT INTO nexero.damaged_messages (digest, reason, message) VALUES ('\\xab', 'why', 'text')",
			"no message is damaged", "4 bytes, why", 0,
		},
		{"late miscounted", "UPDATE nexero.batches SET late = late + 1 WHERE accepted = 4", "accepted events are stored", "1 late and 0 corrected, there are 0 and 0", 1},
		{"corrected miscounted", "UPDATE nexero.events SET clock_shift_ms = 1 WHERE event_index = 2", "accepted events are stored", "0 late and 0 corrected, there are 0 and 1", 0},
		{
			"negative position", "UPDATE nexero.events SET event_index = -1 WHERE event_index = 2",
			"events have a position and their batch's time", "positions from -1 to 1", 0,
		},
		{
			"position too high", "UPDATE nexero.events SET event_index = 32767 WHERE event_index = 2",
			"events have a position and their batch's time", "positions from 0 to 32767", 0,
		},
		{
			"time of nobody", "UPDATE nexero.events SET received_at = received_at + interval '1 microsecond', occurred_at = received_at WHERE event_index = 2",
			"events have a position and their batch's time", "1 events received when neither", 0,
		},
		// The last one: a Store remembers its sessions.
		{
			"session lost", "DELETE FROM nexero.sessions WHERE client_id = 'session-a'",
			"events have their batch and session", "4 events without a session", 3,
		},
	} {
		f.begin(tt.name)
		f.populate()
		f.wantExact()
		f.exec(tt.corrupt)
		v, err := f.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		named := slices.ContainsFunc(v.Named, func(d postgres.Difference) bool {
			return d.Check == tt.check && strings.Contains(d.Found, tt.found) && d.Row != ""
		})
		if !named || v.Differences != 1+tt.more {
			t.Errorf("want %q saying %q and %d more; got %d differences: %v", tt.check, tt.found, tt.more, v.Differences, v.Named)
		}
	}
}

// A session under another's identity would collect another visitor's events.
func TestVerify_SessionsHaveTheirIdentity(t *testing.T) {
	t.Parallel()
	f := populated(t)
	for _, tt := range []struct{ clientID, found string }{
		{"{session-a} ", ""},
		{"another", "must be " + event.SessionKey("acme", "another").String()},
		{"  ", "no session can have"},
		{"repaired \uFFFD", ""},
	} {
		f.exec("UPDATE nexero.sessions SET client_id = $1 WHERE session_id = $2", tt.clientID, [16]byte(event.SessionKey("acme", "session-a")))
		v, err := f.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tt.found == "" && !v.Exact() || tt.found != "" && (v.Differences != 1 || !strings.Contains(v.Named[0].Found, tt.found)) {
			t.Errorf("%q: want %q, got %v", tt.clientID, tt.found, v.Named)
		}
	}
}

// What the ledger lists can be older than the ledger row's last change.
func TestVerify_RejectionsThatRetentionMayHaveDropped(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("old").at(received.AddDate(0, 0, -30)).rejected(event.InvalidNumber, 0).seal(t), batch("new").rejected(event.InvalidNumber, 0).seal(t))
	f.exec("DELETE FROM nexero.rejected_events WHERE batch_no = (SELECT batch_no FROM nexero.batches WHERE batch_id = $1)", [16]byte(id("batch", "old")))
	f.wantExact()
	f.exec("DELETE FROM nexero.rejected_events")
	v, err := f.store.Verify(t.Context())
	if err != nil || v.Differences != 1 {
		t.Errorf("%d differences (%v), want the lost rejection of today", v.Differences, err)
	}
}

func TestVerify_NamesABoundedNumber(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a")
	for i := range 300 {
		b.poses(i)
	}
	f.load(b.seal(t))
	f.exec("INSERT INTO nexero.events SELECT * FROM nexero.events")
	v, err := f.store.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v.Exact() || v.Differences != 301 || len(v.Named) != 100 {
		t.Errorf("%d differences, %d named", v.Differences, len(v.Named))
	}
}

func TestVerify_LeavesOutWhatRetentionMayDrop(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").at(received.AddDate(0, 0, -30)).poses(0).seal(t), batch("b").poses(0).seal(t))
	f.exec("DROP TABLE nexero.events_pose_" + received.AddDate(0, 0, -30).Format("20060102"))
	f.wantExact()
}

// Verify reads while others write and sees one moment.
func TestVerify_SeesOneMoment(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).seal(t))
	waiting, release := f.block("LOCK TABLE nexero.session_touches IN SHARE MODE")
	done := f.loadAside(t.Context(), f.store, gatherOfEverything(t, "b"))
	waiting()
	f.wantExact()
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.wantExact()
}
