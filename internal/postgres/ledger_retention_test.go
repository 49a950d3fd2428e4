package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// ledgerNames are the batches that the ledger remembers.
const ledgerNames = "SELECT s.client_id FROM nexero.batches b JOIN nexero.events e USING (batch_no) JOIN nexero.sessions s USING (session_no) GROUP BY 1 ORDER BY 1"

// setupLedger returns a database that takes batches of any age, as one with long
// retentions does: the ledger alone protects it.
func setupLedger(t *testing.T) *fixture {
	t.Helper()
	return setupWith(t, longRetention)
}

// longRetention is no reason to refuse any day.
var longRetention = postgres.Config{PoseRetention: 500 * 24 * time.Hour, EventRetention: 500 * 24 * time.Hour}

// ago is so many days before today's time of receipt.
func ago(days int) time.Time { return received.AddDate(0, 0, -days) }

// loaded stores batches on the day they were received, as the ledger has it.
func (f *fixture) loaded(batches ...*builder) {
	f.Helper()
	for _, b := range batches {
		f.load(b.seal(f))
		f.exec("UPDATE nexero.batches SET written_at = $2 WHERE batch_id = $1", [16]byte(b.ID), b.ReceivedAt.Time())
	}
}

// forget forgets until there is nothing to forget.
func (f *fixture) forget(store *postgres.Store, oldest time.Time) (rows int64) {
	f.Helper()
	for range 100 {
		n, err := store.ForgetBatches(f.Context(), queueOf(oldest))
		if err != nil {
			f.Fatal(err)
		}
		if n == 0 {
			return rows
		}
		rows += n
	}
	f.Fatal("there is always something to forget")
	return rows
}

// queueOf is a queue whose oldest message was stored then; zero is an empty one.
func queueOf(oldest time.Time) func(context.Context) (time.Time, bool, error) {
	return func(context.Context) (time.Time, bool, error) { return oldest, !oldest.IsZero(), nil }
}

// A queue that does not say how far back it goes keeps every row, and the clock
// is older than its answer: what it took while a frozen process had that answer
// in hand must not lie before the horizon.
//
// rule 2
func TestForgetBatches_AsksTheQueue(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("a").at(ago(40)).poses(0))
	hook := &statements{}
	store, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, queueErr := range []error{nil, errors.New("away")} {
		before := hook.number
		rows, err := store.ForgetBatches(t.Context(), func(context.Context) (time.Time, bool, error) {
			if hook.number == before {
				t.Error("the queue is asked before the clock")
			}
			return time.Time{}, true, queueErr
		})
		if rows != 0 || err == nil {
			t.Errorf("%d rows deleted, %v", rows, err)
		}
	}
	f.want(ledgerNames, "session-a")
}

// resetLedger begins a case with a horizon that never moved.
func (f *fixture) resetLedger(name string) {
	f.Helper()
	f.begin(name)
	f.exec("UPDATE nexero.ledger_horizon SET written_before = 'epoch', received_before = 'epoch'")
}

// Rows go 35 days after their batch was last seen, counted from no later than the
// oldest message of the queue.
//
// rule 2
func TestForgetBatches_WhatNothingNeeds(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	for _, test := range []struct {
		name   string
		oldest time.Time
		also   string
		want   []string
		still  bool // nothing is forgotten, and the horizon stays
	}{
		{name: "empty queue", want: []string{"34"}},
		{name: "queue of today", oldest: received.Add(-time.Minute), want: []string{"34"}},
		{name: "queue of a clock that is ahead", oldest: received.AddDate(0, 0, 9), want: []string{"34"}},
		{name: "message of two days ago", oldest: ago(2), want: []string{"34", "36"}},
		{name: "message of ten days ago", oldest: ago(10), want: []string{"34", "36", "40"}, still: true},
		{
			name: "renewed", also: "UPDATE nexero.batches SET written_at = now() WHERE received_at < now() - interval '39 days'",
			want: []string{"34", "40"},
		},
		{
			name: "damaged message", want: []string{"34", "36"},
			also: "INSERT INTO nexero.damaged_messages (digest, written_at, reason, message) VALUES ('a', now() - interval '2 days', '', '')",
		},
		{
			name: "damaged message that nobody will load", want: []string{"34"},
			also: "INSERT INTO nexero.damaged_messages (digest, written_at, reason, message) VALUES ('a', now() - interval '31 days', '', '')",
		},
		{
			name: "received by a clock that was ahead", want: []string{"34", "40"},
			also: "UPDATE nexero.batches SET received_at = now() + interval '1 hour' WHERE received_at < now() - interval '39 days'",
		},
	} {
		f.resetLedger(test.name)
		f.loaded(batch("34").at(ago(34)).poses(0), batch("36").at(ago(36)).poses(0), batch("40").at(ago(40)).poses(0))
		if test.also != "" {
			f.exec(test.also)
		}
		f.forget(f.store, test.oldest)
		f.want(ledgerNames, named(test.want...)...)
		f.want("SELECT received_before = 'epoch' FROM nexero.ledger_horizon", strconv.FormatBool(test.still))
	}
}

func named(names ...string) []string {
	sessions := make([]string, len(names))
	for i, name := range names {
		sessions[i] = "session-" + name
	}
	return sessions
}

// What was rejected can be replayed for as long as it is kept, and the sums of
// what was received outlive the rows that they were made from.
//
// rule 4, rule 5
func TestForgetBatches_LeavesTheRestExact(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(
		batch("bad").at(ago(40)).poses(0).rejected(event.InvalidNumber, 1),
		batch("stored").at(ago(40)).poses(0, 1, 2).report(event.Report{CustomerID: "ann"}),
		batch("edge").at(ago(35).Add(time.Hour)).poses(0), batch("new").poses(0, 1),
	)
	repeat := batch("stored").at(ago(40)).again("r").poses(0)
	f.load(repeat.seal(t), batch("new").again("s").poses(0).seal(t))
	f.exec("UPDATE nexero.batches SET written_at = received_at")
	f.roll(f.store)
	f.rollQuality()
	f.wantExact()
	const quality = "SELECT * FROM rollup.data_quality_daily ORDER BY tenant_id, day, measure, code"
	before := f.lines(quality)
	if rows := f.forget(f.store, time.Time{}); rows != 2 {
		t.Errorf("%d rows deleted, want a batch and its repeat", rows)
	}
	f.want(ledgerNames, named("bad", "edge", "new")...)
	f.want("SELECT count(*) FROM nexero.batch_repeats", "1")
	f.want(quality, before...)
	f.wantExact()

	f.replay(postgres.ReplayRequest{Batch: id("batch", "bad")}, accepting(1), postgres.ReplayOutcome{Index: 1, Was: event.InvalidNumber})
	f.roll(f.store)
	f.rollQuality()
	f.wantExact()
	before = f.lines(quality)
	// Now its row is as young as the row that the replay added.
	if rows := f.forget(f.store, time.Time{}); rows != 0 {
		t.Errorf("%d rows deleted, want none", rows)
	}
	f.exec("UPDATE nexero.batches SET written_at = received_at WHERE received_at < now() - interval '39 days'")
	if rows := f.forget(f.store, time.Time{}); rows != 2 {
		t.Errorf("%d rows deleted, want a batch and its replay", rows)
	}
	f.want(quality, before...)
	f.want("SELECT count(*) FROM nexero.events", "8")
}

// Other content under an id is put aside for as long as the queue may bring it
// again: were the row forgotten that says whose the id is, it would be stored as
// well.
//
// rule 2
func TestForgetBatches_NotWhoseIDItIs(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("a").at(ago(36)).poses(0))
	reused := batch("a").at(ago(2)).again("r").other().poses(0, 1)
	f.wantLoad(postgres.LoadResult{Batches: 1, Reused: 1, Aside: 2}, reused.seal(t))
	f.forget(f.store, time.Time{})
	before := f.everything()
	f.wantLoad(postgres.LoadResult{Redelivered: 1}, reused.seal(t))
	f.wantSame(before)
	f.want("SELECT count(*) FROM nexero.events", "1")
	f.wantExact()

	// So it does when its client sends it again, and not when the queue does.
	for name, days := range map[string]string{"s": "0", "r": "40"} {
		f.exec("UPDATE nexero.batches SET written_at = now() - interval '40 days' WHERE batch_id = $1", [16]byte(id("batch", "a")))
		f.load(batch("a").at(ago(1)).again(name).other().poses(0, 1).seal(t))
		f.want("SELECT extract(day FROM now() - written_at)::integer FROM nexero.batches WHERE batch_id = $$"+id("batch", "a").String()+"$$", days)
	}
}

// A batch that was repeated more often than one step deletes goes in several, and
// the ledger is exact between any two.
func TestForgetBatches_ManyRepeats(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("a").at(ago(40)).poses(0))
	f.exec(`INSERT INTO nexero.batch_repeats (batch_id, receipt_id, received_at)
	        SELECT batch_id, gen_random_uuid(), received_at FROM nexero.batches, generate_series(1, 7000)`)
	f.exec(`INSERT INTO nexero.quality_changes SELECT tenant_id, received_at::date, 'repeats', '', 7000 FROM nexero.batches`)
	f.roll(f.store)
	f.wantExact()
	for _, want := range []int64{5000, 2001, 0} {
		rows, err := f.store.ForgetBatches(t.Context(), queueOf(time.Time{}))
		if err != nil || rows != want {
			t.Errorf("%d rows, %v, want %d", rows, err, want)
		}
		f.wantExact()
	}
}

// rule 2, rule 5: what nobody can check is set aside once, and waits there for
// somebody who decides.
func TestLoad_BeforeTheHorizon(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	known := batch("known").at(ago(33)).poses(0)
	f.loaded(known, batch("forgotten").at(ago(36)).poses(0, 1))
	f.forget(f.store, time.Time{})
	f.want(ledgerNames, "session-known")

	copied := func() *builder {
		return batch("forgotten").at(ago(36)).poses(0, 1).rejected(event.TimestampInFuture, 2).report(event.Report{CustomerID: "ann"})
	}
	f.wantLoad(postgres.LoadResult{Batches: 2, Quarantined: 1, Redelivered: 1, Rows: 1, Aside: 3, Rejected: 1},
		copied().seal(t), known.seal(t), batch("new").at(ago(4)).poses(0).seal(t))
	f.want(storedRejected, "-1 too_old_to_check report1", "0 too_old_to_check row1", "1 too_old_to_check row1", "2 too_old_to_check sent")
	f.want("SELECT detail FROM nexero.rejected_events WHERE form = 'sent'", "timestamp_in_future: it is wrong")
	f.want("SELECT accepted, rejected_indexes::text FROM nexero.batches WHERE batch_id = $$"+copied().ID.String()+"$$", "0 {-1,0,1,2}")
	f.want("SELECT count(*) FROM nexero.events", "4")
	f.wantExact()

	before := f.everything()
	f.wantLoad(postgres.LoadResult{Redelivered: 1}, copied().seal(t))
	f.wantSame(before)
	// A repeat adds nothing, though the edge takes now what it had rejected.
	f.wantLoad(postgres.LoadResult{Repeats: 1}, copied().at(received).again("today").poses(2).seal(t))
	f.want("SELECT count(*) FROM nexero.events", "4")

	// Nor does an operator who did not ask for it.
	left := func(index int) postgres.ReplayOutcome {
		return postgres.ReplayOutcome{Index: index, Was: event.TooOldToCheck, Now: event.TooOldToCheck}
	}
	f.replay(postgres.ReplayRequest{Batch: copied().ID}, accepting(2), left(-1), left(0), left(1), left(2))
	f.want("SELECT count(*) FROM nexero.events", "4")
	f.replay(postgres.ReplayRequest{Batch: copied().ID, Code: event.TooOldToCheck, Index: new(2)}, accepting(0), left(2))
	// What else is wrong with it is still said.
	f.want("SELECT field, detail FROM nexero.rejected_events WHERE form = 'sent'", "event_type missing_event_type: none")
	f.replay(postgres.ReplayRequest{Batch: copied().ID, Code: event.TooOldToCheck, Index: new(2)}, accepting(2),
		postgres.ReplayOutcome{Index: 2, Was: event.TooOldToCheck})
	f.want("SELECT count(*) FROM nexero.events", "5")
	f.wantExact()
}

// Whatever else there is to say against a batch: what was set aside under another
// reason could be replayed without a second thought.
func TestLoad_TooOldComesFirst(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("gone").at(ago(36)).poses(0))
	f.forget(f.store, time.Time{})
	short := f.open(postgres.Config{})
	f.loadWith(short, batch("a").at(ago(40)).poses(0))
	f.load(batch("b").at(ago(1)).poses(0).seal(t))
	f.load(batch("b").at(ago(40)).other().poses(0).seal(t))
	f.load(batch("c").at(ago(40)).rejected(event.UnreadableBody, -1).seal(t))
	f.want("SELECT code, count(*) FROM nexero.rejected_events GROUP BY 1", "too_old_to_check 3")
	f.wantExact()
}

// copies are what an older copy of the queue holds of a batch that was loaded 36
// days ago: its first delivery, and a repeat by its client four weeks later.
func copies(t testing.TB) []envelope.Batch {
	t.Helper()
	repeat := batch("a").poses(0, 1).at(ago(8))
	repeat.ReceiptID = id("receipt", "repeat")
	return []envelope.Batch{repeat.seal(t), batch("a").at(ago(36)).poses(0, 1).seal(t), batch("new").poses(0).seal(t)}
}

func (f *fixture) wantCountedOnce() {
	f.Helper()
	f.want("SELECT s.client_id, e.event_index, count(*) FROM nexero.events e JOIN nexero.sessions s USING (session_no) GROUP BY 1, 2 ORDER BY 1, 2",
		"session-a 0 1", "session-a 1 1", "session-new 0 1")
	f.wantExact()
}

// The ledger may forget a batch before any statement of the load that brings it
// again.
//
// rule 2
func TestLoad_WhileTheLedgerForgets(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	for at := 1; ; at++ {
		f.resetLedger(fmt.Sprint("before statement ", at))
		f.loaded(batch("a").at(ago(36)).poses(0, 1))
		hook := &statements{at: at, do: func() { f.forget(f.store, time.Time{}) }}
		config := longRetention
		config.URL = f.url
		store, err := postgres.OpenTraced(t.Context(), config, hook)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Load(t.Context(), copies(t)); err != nil {
			t.Errorf("before statement %d: %v", at, err)
		}
		store.Close()
		f.wantCountedOnce()
		if t.Failed() || hook.number < at {
			return
		}
	}
}

// And a load may commit before any statement of the transaction that forgets.
//
// rule 2
func TestForgetBatches_WhileOthersLoad(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	for at := 1; ; at++ {
		f.resetLedger(fmt.Sprint("before statement ", at))
		f.loaded(batch("a").at(ago(36)).poses(0, 1))
		// Rows that are being deleted are waited for.
		var done <-chan error
		hook := &statements{at: at, do: func() {
			done = f.loadAside(t.Context(), f.store, copies(t))
			f.poll(`SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
			        UNION ALL SELECT count(*) FROM nexero.batches b WHERE EXISTS (SELECT FROM nexero.events e WHERE e.batch_no = b.batch_no AND e.received_at = $$`+
				received.Format(time.RFC3339)+`$$) ORDER BY 1 DESC LIMIT 1`, func(n int) bool { return n > 0 })
		}}
		store, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
		if err != nil {
			t.Fatal(err)
		}
		f.forget(store, time.Time{})
		store.Close()
		if done == nil {
			return
		}
		if err := <-done; err != nil {
			t.Errorf("before statement %d: %v", at, err)
		}
		f.wantCountedOnce()
		if t.Failed() {
			return
		}
	}
}

// Whoever dies before any statement of it has deleted nothing, or all of a step
// with the horizon that belongs to it: the next one goes on from there, and what
// the queue brings again is stored by neither.
//
// rule 2, rule 10
func TestForgetBatches_InterruptedBeforeAnyStatement(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"terminate", "cancel"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			f := setupLedger(t)
			const state = `
SELECT count(*), (SELECT count(*) FROM nexero.batch_repeats), (SELECT received_before = 'epoch' FROM nexero.ledger_horizon)
FROM nexero.batches WHERE received_at < now() - interval '30 days'`
			for at := 1; ; at++ {
				f.resetLedger(fmt.Sprint(end, " before statement ", at))
				f.loaded(batch("a").at(ago(36)).poses(0, 1), batch("b").at(ago(37)).poses(0))
				f.load(batch("a").at(ago(36)).again("r").poses(0).seal(t))
				f.exec("UPDATE nexero.batches SET written_at = received_at")
				ctx, cancel := context.WithCancel(t.Context())
				others := f.lines("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
				hook := &statements{at: at, do: func() {
					if end == "cancel" {
						cancel()
						return
					}
					f.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nexero-worker' AND pid::text <> ALL($1)", others)
				}}
				store, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
				if err != nil {
					t.Fatal(err)
				}
				_, err = store.ForgetBatches(ctx, queueOf(time.Time{}))
				cancel()
				store.Close()
				// The server may still be at work for whoever hung up.
				f.settle()
				over := hook.number < at
				if (err == nil) != over {
					t.Fatalf("interrupted before statement %d of %d: %v", at, hook.number, err)
				}
				if !over {
					f.want(state, "2 1 true")
				}
				f.forget(f.store, time.Time{})
				f.want(state, "0 0 false")
				f.load(copies(t)...)
				f.want("SELECT count(*), count(DISTINCT (session_no, event_index)) FROM nexero.events", "4 4")
				f.wantExact()
				if over || t.Failed() {
					return
				}
			}
		})
	}
}

// rule 2: any number of processes forget while any number load the same again.
func TestForgetBatches_ByManyAtOnce(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	const batches = 40
	for i := range batches {
		f.load(batch(strconv.Itoa(i)).at(ago(36)).poses(0).seal(t))
	}
	f.exec("UPDATE nexero.batches SET written_at = received_at")
	var group sync.WaitGroup
	for w := range 2 {
		deleter, loader := f.open(postgres.Config{}), f.open(longRetention)
		group.Go(func() { f.forget(deleter, time.Time{}) })
		group.Go(func() {
			for i := range batches {
				f.loadWith(loader, batch(strconv.Itoa((i+w*batches/2)%batches)).at(ago(36)).poses(0))
			}
		})
	}
	group.Wait()
	f.want("SELECT count(*), count(DISTINCT session_no) FROM nexero.events", fmt.Sprint(batches, " ", batches))
	f.wantExact()
}

// A message that waited here longer than the ledger remembers is not counted.
func TestLoadDamaged_BeforeTheHorizon(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("gone").at(ago(36)).poses(0))
	f.forget(f.store, time.Time{})
	for days, ok := range map[int]bool{6: false, 4: true} {
		f.exec("DELETE FROM nexero.damaged_messages")
		if err := f.store.KeepDamaged(t.Context(), sealedMessage(t, batch(strconv.Itoa(days)).at(ago(days)).poses(0)), "because"); err != nil {
			t.Fatal(err)
		}
		kept, err := f.store.DamagedMessages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.store.LoadDamaged(t.Context(), kept[0].Digest, false); (err == nil) != ok {
			t.Errorf("received %d days ago: %v", days, err)
		}
	}
}

// An operator may give up the message for its batches: none is counted by that.
//
// rule 2, rule 5
func TestLoadDamaged_SetsAsideWhatIsTooOld(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	f.loaded(batch("gone").at(ago(36)).poses(0))
	f.forget(f.store, time.Time{})
	if err := f.store.KeepDamaged(t.Context(), sealedMessage(t, batch("gone").at(ago(36)).poses(0)), "because"); err != nil {
		t.Fatal(err)
	}
	kept, err := f.store.DamagedMessages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.LoadDamaged(t.Context(), kept[0].Digest, false); !errors.Is(err, postgres.ErrTooOldToCheck) {
		t.Errorf("unasked: %v, want ErrTooOldToCheck", err)
	}
	if got, err := f.store.LoadDamaged(t.Context(), kept[0].Digest, true); err != nil || got.Quarantined != 1 || got.Rows != 0 {
		t.Errorf("asked: %+v, %v, want one batch set aside", got, err)
	}
	f.want("SELECT count(*) FROM nexero.events", "1")
	f.want("SELECT count(*) FROM nexero.damaged_messages", "0")
	f.want("SELECT code FROM nexero.rejected_events", "too_old_to_check")
	f.wantExact()
}
