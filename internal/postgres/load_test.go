package postgres_test

import (
	"math"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func TestLoad_StoresABatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").poses(0, 1, 3).rejected(event.MissingTimestamp, 2).with(event.Event{
		Index: 4, Type: event.Gaze, ClockShiftMS: -5000, OccurredAt: event.MicrosOf(received.Add(-25 * time.Hour)),
		Has: event.FieldDuration | event.FieldLevel, DurationMS: 250, Level: -1,
		Zone: "kitchen", Object: "o", Target: "sofa", Action: "a", Name: "n", Props: `{"k":[1,"ü"]}`,
	})
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 4, Rejected: 1}, b.seal(t))

	f.want("SELECT tenant_id, name FROM nexero.tenants", "1 acme")
	f.want(storedLedger, "4 1 1 {2} {missing_timestamp}")
	f.want("SELECT event_type, class, x, client_seq, level, zone FROM nexero.events ORDER BY event_index",
		"1 0 0 0 <nil> <nil>", "1 0 1 1 <nil> <nil>", "1 0 3 3 <nil> <nil>", "2 1 <nil> <nil> -1 kitchen")
	f.want(`SELECT extract(epoch FROM received_at - occurred_at)::integer, clock_shift_ms, duration_ms, object, target, action, name, props::text
	        FROM nexero.events WHERE event_index = 4`, `90000 -5000 250 o sofa a n {"k": [1, "ü"]}`)
	f.want("SELECT client_id, tenant_id FROM nexero.sessions", "session-a 1")
	f.want(`SELECT event_index, code, field, detail, correlation_id, form, convert_from(payload, 'UTF8'), session_id = (SELECT session_id FROM nexero.sessions)
	        FROM nexero.rejected_events`, `2 missing_timestamp timestamp it is wrong correlation-a sent {"n":2} true`)
	f.want("SELECT count(*), bool_and(received_at = $$"+received.Format(time.RFC3339Nano)+"$$) FROM nexero.session_touches", "1 true")
	f.wantExact()
}

func TestLoad_NothingIsNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.wantLoad(postgres.LoadResult{})
	f.wantEmpty()
}

func TestLoad_BatchesOfManyTenantsAndSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	two := batch("two").poses(0)
	two.Sessions = append(two.Sessions, event.Session{Key: event.SessionKey("acme", "session-one"), ClientID: "other spelling"})
	two.with(event.Event{Index: 1, Session: 1, Type: event.Turn})
	f.wantLoad(postgres.LoadResult{Batches: 4, Rows: 4, Rejected: 2},
		batch("one").poses(0).seal(t), two.seal(t), batch("three").of("bolt").poses(0).seal(t),
		// Its session is known, its tenant is known, and no event is good.
		batch("four").of("bolt").rejected(event.NotAnObject, 0, 1).seal(t))

	f.want("SELECT t.name, count(*) FROM nexero.batches JOIN nexero.tenants t USING (tenant_id) GROUP BY 1 ORDER BY 1", "acme 2", "bolt 2")
	f.want("SELECT client_id FROM nexero.sessions ORDER BY 1", "session-four", "session-one", "session-three", "session-two")
	f.want(`SELECT s.client_id, count(*) FROM nexero.session_touches JOIN nexero.sessions s USING (session_no) GROUP BY 1 ORDER BY 1`,
		"session-one 2", "session-three 1", "session-two 1")
	f.wantExact()
}

// rule 2
func TestLoad_RedeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").poses(0, 1).rejected(event.TimestampInFuture, 2).report(event.Report{CustomerID: "c"}).seal(t)
	f.load(b)
	before := f.everything()
	f.wantLoad(postgres.LoadResult{Redelivered: 1}, b)
	f.wantLoad(postgres.LoadResult{Redelivered: 3}, b, b, b)
	// Another worker knows nothing of what this one has cached.
	if _, err := f.open(postgres.Config{}).Load(t.Context(), []envelope.Batch{b}); err != nil {
		t.Fatal(err)
	}
	f.wantSame(before)
	f.wantExact()
}

// rule 2
func TestLoad_CopiesInOneGatherCountOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").poses(0, 1).seal(t)
	again := batch("a").again("second").poses(0, 1).seal(t)
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 2, Repeats: 1, Redelivered: 2}, b, b, again, again)
	f.want(storedEvents, "0", "1")
	f.want("SELECT count(*) FROM nexero.batch_repeats", "1")
	f.want("SELECT receipt_id = $$"+id("receipt", "a").String()+"$$ FROM nexero.batches", "true")
	f.wantExact()
}

// rule 2
func TestLoad_RepeatAddsWhatTheEdgeAcceptsNow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first := func() *builder {
		return batch("a").poses(0, 3).rejected(event.TimestampInFuture, 1, 2).rejected(event.InvalidText, 4)
	}
	// 0 was accepted and is rejected now, 1 and 2 are accepted now, 4 is still bad.
	second := func() *builder {
		return batch("a").again("second").poses(1, 2, 3).rejected(event.InvalidNumber, 0).rejected(event.InvalidText, 4)
	}
	third := func() *builder {
		return batch("a").again("third").poses(0, 1, 2, 3, 4)
	}
	check := func() {
		t.Helper()
		f.want(storedEvents, "0", "1", "2", "3", "4")
		f.want("SELECT event_index, extract(epoch FROM received_at - (SELECT received_at FROM nexero.batches))::integer FROM nexero.events ORDER BY 1",
			"0 0", "1 1", "2 1", "3 0", "4 1")
		f.want(storedLedger, "5 0 0 <nil> <nil>")
		f.want(storedRejected)
		f.want("SELECT count(*) FROM nexero.batch_repeats", "2")
		f.wantExact()
	}
	f.begin("one by one")
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 2, Rejected: 3}, first().seal(t))
	f.wantLoad(postgres.LoadResult{Repeats: 1, Rows: 2, Added: 2}, second().seal(t))
	f.want(storedLedger, "4 0 0 {4} {invalid_text}")
	f.want(storedRejected, "4 invalid_text sent")
	f.wantExact()
	f.wantLoad(postgres.LoadResult{Redelivered: 1}, second().seal(t))
	f.wantLoad(postgres.LoadResult{Repeats: 1, Rows: 1, Added: 1}, third().seal(t))
	f.wantLoad(postgres.LoadResult{Redelivered: 3}, third().seal(t), second().seal(t), first().seal(t))
	f.want("SELECT count(*) FROM nexero.session_touches", "3")
	check()
	f.begin("in one gather")
	f.wantLoad(postgres.LoadResult{Batches: 1, Repeats: 2, Rows: 5, Added: 3}, first().seal(t), second().seal(t), third().seal(t))
	check()
}

func TestLoad_RepeatCountsLateAndCorrectedOfWhatItAdds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	old := event.MicrosOf(received.Add(-48 * time.Hour))
	f.load(batch("a").with(event.Event{Index: 0, Type: event.Turn, OccurredAt: old}).rejected(event.TimestampInFuture, 1, 2).seal(t))
	f.want(storedLedger, "1 1 0 {1,2} {timestamp_in_future,timestamp_in_future}")
	f.load(batch("a").again("r").with(
		event.Event{Index: 1, Type: event.Turn, OccurredAt: old, ClockShiftMS: 7},
		event.Event{Index: 2, Type: event.Turn},
	).seal(t))
	f.want(storedLedger, "3 2 1 <nil> <nil>")
	f.wantExact()
}

// rule 5
func TestLoad_WholeBodyThatCanBeReadNow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	unreadable := batch("a").rejected(event.UnreadableBody, -1)
	f.wantLoad(postgres.LoadResult{Batches: 1, Rejected: 1}, unreadable.seal(t))
	readable := batch("a").again("r").poses(0).rejected(event.InvalidNumber, 1).report(event.Report{PropertyID: "p"})
	f.wantLoad(postgres.LoadResult{Repeats: 1, Rows: 1, Added: 1, Reports: 1, Rejected: 1}, readable.seal(t))
	f.want(storedLedger, "1 0 0 {1} {invalid_number}")
	f.want(storedRejected, "1 invalid_number sent")
	f.want("SELECT property_id FROM nexero.session_reports", "p")
	f.wantExact()
}

// rule 5
func TestLoad_ReusedIDIsPutAside(t *testing.T) {
	t.Parallel()
	f := setup(t)
	check := func() {
		t.Helper()
		f.want(storedEvents, "0", "1")
		f.want(storedRejected, "-1 batch_id_reused report1", "0 batch_id_reused row1", "1 invalid_text sent", "2 batch_id_reused row1")
		f.want(storedLedger, "2 0 0 <nil> <nil>", "0 0 0 {-1,0,1,2} {batch_id_reused,batch_id_reused,invalid_text,batch_id_reused}")
		f.want("SELECT batch_id = $$"+event.ReusedID(id("batch", "a"), event.DigestOf("other")).String()+"$$ FROM nexero.batches ORDER BY batch_no",
			"false", "true")
		f.want("SELECT count(*) FROM nexero.session_touches", "1")
		f.wantExact()
	}
	first := func() *builder { return batch("a").poses(0, 1) }
	other := func() *builder {
		return batch("a").other().again("r").poses(0, 2).rejected(event.InvalidText, 1).report(event.Report{CustomerID: "c"})
	}
	f.begin("one by one")
	f.load(first().seal(t))
	f.wantLoad(postgres.LoadResult{Batches: 1, Reused: 1, Rejected: 1, Aside: 3}, other().seal(t))
	f.wantLoad(postgres.LoadResult{Redelivered: 2}, other().seal(t), first().seal(t))
	// A repeat of what was put aside stays aside, also what the edge accepts now.
	f.wantLoad(postgres.LoadResult{Repeats: 1}, batch("a").other().again("r2").poses(0, 2).seal(t))
	check()
	f.wantLoad(postgres.LoadResult{Repeats: 1, Aside: 1}, batch("a").other().again("r3").poses(0, 1, 2).seal(t))
	f.want(storedRejected, "-1 batch_id_reused report1", "0 batch_id_reused row1", "1 batch_id_reused row1", "2 batch_id_reused row1")
	f.wantExact()
	f.begin("in one gather")
	f.wantLoad(postgres.LoadResult{Batches: 2, Reused: 1, Rows: 2, Rejected: 1, Redelivered: 1, Aside: 3}, first().seal(t), other().seal(t), other().seal(t))
	check()
	f.begin("the gather's first is the reuse")
	f.load(first().seal(t))
	f.wantLoad(postgres.LoadResult{Batches: 1, Reused: 1, Rejected: 1, Redelivered: 1, Aside: 3}, other().seal(t), first().seal(t))
	check()
}

// rule 5
func TestLoad_DayOutOfRangeIsPutAside(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, tt := range []struct {
		name string
		at   time.Time
		code event.Code
	}{
		{"too old", received.AddDate(0, 0, -31), event.ReceivedTooOld},
		{"in the future", received.AddDate(0, 0, 2), event.ReceivedInFuture},
		{"beyond the calendar", time.UnixMicro(1 << 62), event.ReceivedInFuture},
		{"before the calendar", time.UnixMicro(-1 << 62), event.ReceivedTooOld},
	} {
		f.begin(tt.name)
		code := string(tt.code)
		b := batch("a").at(tt.at).poses(0, 1).rejected(event.InvalidText, 2).report(event.Report{CustomerID: "c"})
		f.wantLoad(postgres.LoadResult{Batches: 2, Quarantined: 1, Rows: 1, Rejected: 1, Aside: 3}, b.seal(t), batch("b").poses(0).seal(t))
		f.want(storedRejected, "-1 "+code+" report1", "0 "+code+" row1", "1 "+code+" row1", "2 invalid_text sent")
		f.want("SELECT accepted, rejected_indexes::text FROM nexero.batches ORDER BY accepted", "0 {-1,0,1,2}", "1 <nil>")
		f.wantLoad(postgres.LoadResult{Redelivered: 1}, b.seal(t))
		// A repeat that came in time waits for an operator like the first.
		f.wantLoad(postgres.LoadResult{Repeats: 1}, batch("a").again("r").poses(0, 1).rejected(event.InvalidText, 2).seal(t))
		f.wantExact()
	}
}

func TestLoad_RepeatOutOfRangeKeepsItsRows(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).rejected(event.TimestampInFuture, 1).seal(t))
	late := batch("a").again("r").at(received.AddDate(0, 0, -40)).poses(0, 1)
	f.wantLoad(postgres.LoadResult{Repeats: 1, Aside: 1}, late.seal(t))
	f.want(storedRejected, "1 received_too_old row1")
	f.want(storedLedger, "1 0 0 {1} {received_too_old}")
	f.wantExact()
}

func TestLoad_OldDayGetsItsPartition(t *testing.T) {
	t.Parallel()
	f := setup(t)
	old := received.AddDate(0, 0, -29)
	f.wantLoad(postgres.LoadResult{Batches: 2, Rows: 2}, batch("a").at(old).poses(0).seal(t), batch("b").at(received.AddDate(0, 0, 1)).poses(0).seal(t))
	f.want("SELECT DISTINCT tableoid::regclass::text FROM nexero.events WHERE batch_no = (SELECT min(batch_no) FROM nexero.events WHERE received_at < now() - interval '20 days')",
		"nexero.events_pose_"+old.Format("20060102"))
	f.wantExact()
}

func TestLoad_PartitionDroppedBehindOurBack(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).seal(t))
	f.exec("DROP TABLE nexero.events_pose_" + received.Format("20060102"))
	b := []envelope.Batch{batch("b").poses(0).seal(t)}
	_, err := f.store.Load(t.Context(), b)
	if err == nil || postgres.Classify(err) != postgres.ClassRetry {
		t.Fatalf("got %v, class %v, want an error to retry", err, postgres.Classify(err))
	}
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 1}, b...)

	f.exec("DROP TABLE nexero.rejected_events_" + received.Format("20060102"))
	b = []envelope.Batch{batch("c").rejected(event.InvalidText, 0).seal(t)}
	if _, err = f.store.Load(t.Context(), b); err == nil || postgres.Classify(err) != postgres.ClassRetry {
		t.Fatalf("got %v, class %v, want an error to retry", err, postgres.Classify(err))
	}
	f.wantLoad(postgres.LoadResult{Batches: 1, Rejected: 1}, b...)
}

func TestLoad_Reports(t *testing.T) {
	t.Parallel()
	f := setup(t)
	start, end := event.MicrosOf(received), event.MicrosOf(received.Add(time.Hour))
	full := event.Report{Start: &start, End: &end, ClockShiftMS: 12, CustomerID: "c", PropertyID: "p", Device: "d", Props: `{"a":1}`}
	f.wantLoad(postgres.LoadResult{Batches: 2, Reports: 2}, batch("full").report(full).seal(t), batch("empty").report(event.Report{}).seal(t))
	f.want(`SELECT extract(epoch FROM ended_at - started_at)::integer, clock_shift_ms, customer_id, property_id, device, props::text, b.batch_id = r.batch_id
	        FROM nexero.session_reports r JOIN nexero.batches b USING (batch_no) ORDER BY customer_id`,
		`3600 12 c p d {"a": 1} true`, "<nil> <nil> <nil> <nil> <nil> <nil> true")
	f.want("SELECT count(DISTINCT session_no) FROM nexero.session_touches", "2")
	f.wantExact()
}

// rule 7
func TestLoad_RefusedReportCostsItselfOnly(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.wantLoad(postgres.LoadResult{Batches: 5, Rows: 1, Reports: 1, Refused: 4},
		batch("good").poses(0).report(event.Report{CustomerID: "c"}).seal(t),
		batch("bad").report(event.Report{Props: `{"a":"\ud800"}`}).seal(t),
		batch("early").report(event.Report{Start: new(event.Micros(math.MinInt64))}).seal(t),
		batch("endless").report(event.Report{End: new(event.Micros(math.MaxInt64))}).seal(t),
		batch("worse").report(event.Report{CustomerID: "nul\x00", Device: "d"}).seal(t))
	f.want("SELECT event_index, code, form, count(*) FROM nexero.rejected_events GROUP BY 1, 2, 3", "-1 refused_by_database report1 4")
	f.want("SELECT count(*) FROM nexero.batches WHERE rejected_indexes = '{-1}'", "4")
	f.want("SELECT count(*) FROM nexero.rejected_events WHERE convert_from(payload, 'UTF8') LIKE '%device%' AND detail LIKE 'PostgreSQL: %22021%'", "1")
	f.want("SELECT count(*) FROM nexero.session_touches", "1")
	f.wantExact()
}

// rule 7
func TestLoad_TextsThatExplainNeverFail(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").of("te\x00nant").poses(0)
	b.CorrelationID = "bad \xff"
	b.Sessions[0].ClientID = "\x00\xc3"
	b.Rejected = []event.Rejection{{Index: 1, Code: `a "newer" \ code,{}` + "\x00", Field: "\xf0", Detail: "\x00", Raw: "\x00\xff"}}
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 1, Rejected: 1}, b.seal(t))
	f.want("SELECT name FROM nexero.tenants", "te\uFFFDnant")
	f.want("SELECT payload FROM nexero.rejected_events", "[0 255]")
	f.wantExact()
}

// The ledger row's age for retention begins with the last delivery by a client:
// that delivery may come again, out of an older copy of the queue.
func TestLoad_ARepeatRenewsTheLedgerRow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").poses(0).rejected(event.InvalidNumber, 1).seal(t))
	f.exec("UPDATE nexero.batches SET written_at = written_at - interval '1 day'")
	f.load(batch("a").poses(0).rejected(event.InvalidNumber, 1).seal(t)) // the queue's
	f.want("SELECT written_at < now() - interval '1 hour' FROM nexero.batches", "true")
	for _, repeat := range []*builder{batch("a").again("r").poses(0), batch("a").again("s").poses(0, 1)} {
		f.load(repeat.seal(t))
		f.want("SELECT written_at < now() - interval '1 hour' FROM nexero.batches", "false")
		f.exec("UPDATE nexero.batches SET written_at = written_at - interval '1 day'")
	}
}
