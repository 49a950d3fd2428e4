package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// accepting judges as an edge would that accepts the events at these positions,
// and rejects the others as having no type.
func accepting(indexes ...int) postgres.Judge {
	return func(sent postgres.SentEvent, b *event.Batch) error {
		for _, index := range indexes {
			if index == sent.Index {
				session := sent.Session
				if session == "" {
					session = "named-by-itself"
				}
				b.Sessions = []event.Session{{Key: event.SessionKey(sent.Tenant, session), ClientID: session}}
				b.Events = []event.Event{{Index: index, Type: event.CTA, OccurredAt: sent.ReceivedAt - 1000, Zone: "hall"}}
				return nil
			}
		}
		b.Rejected = []event.Rejection{{Index: sent.Index, Code: event.MissingEventType, Field: "event_type", Detail: "none", Raw: sent.Raw}}
		return nil
	}
}

// receipts counts replays across the tests of a run.
var receipts atomic.Int64

func (f *fixture) replay(request postgres.ReplayRequest, judge postgres.Judge, want ...postgres.ReplayOutcome) {
	f.Helper()
	if request.ReceiptID == (event.UUID{}) {
		request.ReceiptID = id("replay", receipts.Add(1))
	}
	got, err := f.store.Replay(f.Context(), request, judge)
	if err != nil {
		f.Fatalf("replay: %v", err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(postgres.ReplayOutcome{}, "Detail")); diff != "" {
		f.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// rule 2, rule 5
func TestReplay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const future, refused, missing = event.TimestampInFuture, event.RefusedByDatabase, event.MissingEventType
	f.exec("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL')")
	evil := event.Event{Index: 3, Type: event.Turn, Zone: "EVIL"}
	b := batch("a").poses(0).with(evil).rejected(future, 1, 2)
	f.load(b.seal(t))
	f.roll(f.store)
	request := postgres.ReplayRequest{Batch: b.ID}
	written := f.lines("SELECT event_index, written_at FROM nexero.rejected_events WHERE event_index > 1 ORDER BY 1")

	// A dry run says what would come and leaves no trace.
	before := f.everything()
	dry := request
	dry.DryRun = true
	f.replay(dry, accepting(1), postgres.ReplayOutcome{Index: 1, Was: future}, postgres.ReplayOutcome{Index: 2, Was: future, Now: missing},
		postgres.ReplayOutcome{Index: 3, Was: refused, Now: refused})
	f.wantSame(before)

	f.replay(request, accepting(1), postgres.ReplayOutcome{Index: 1, Was: future}, postgres.ReplayOutcome{Index: 2, Was: future, Now: missing},
		postgres.ReplayOutcome{Index: 3, Was: refused, Now: refused})
	f.want(storedEvents, "0", "1")
	f.want(storedRejected, "2 missing_event_type sent", "3 refused_by_database row1")
	f.want(storedLedger, "2 0 0 {2,3} {missing_event_type,refused_by_database}")
	// What is still bad is as old as before: nothing is kept longer for having been tried.
	f.want("SELECT event_index, written_at FROM nexero.rejected_events WHERE event_index > 1 ORDER BY 1", written...)
	// The row has a receipt of its own, which is no repeat by the client.
	f.want("SELECT count(DISTINCT received_at), count(*) FILTER (WHERE replayed) FROM nexero.events LEFT JOIN nexero.batch_repeats USING (received_at)", "2 1")
	f.wantExact()
	f.roll(f.store)
	f.wantRolled()
	f.rollQuality()
	f.wantExact()

	// The client's own retry comes late: it finds everything there.
	f.wantLoad(postgres.LoadResult{Repeats: 1}, batch("a").again("late").poses(0, 1).rejected(future, 2).seal(t))

	// The table takes the row now. One event alone is left out and stays.
	f.exec("ALTER TABLE nexero.events DROP CONSTRAINT no_evil")
	request.Index = new(3)
	f.replay(request, accepting(), postgres.ReplayOutcome{Index: 3, Was: refused})
	f.replay(request, accepting())
	request.Index, request.Code = nil, future
	f.replay(request, accepting(2))
	request.Code = missing
	f.replay(request, accepting(2), postgres.ReplayOutcome{Index: 2, Was: missing})
	f.want(storedEvents, "0", "1", "2", "3")
	f.want(storedRejected)
	f.want(storedLedger, "4 0 0 <nil> <nil>")
	f.roll(f.store)
	f.wantRolled()
	f.wantExact()
	f.wantLoad(postgres.LoadResult{Redelivered: 1}, b.seal(t))

	if _, err := f.store.Replay(t.Context(), postgres.ReplayRequest{Batch: id("nobody")}, accepting()); !errors.Is(err, postgres.ErrNotInLedger) {
		t.Errorf("replay of no batch: %v", err)
	}
}

// What was put aside as a whole is stored by a replay: other content under an id
// that was taken, a batch that came too late, a report.
func TestReplay_WhatWasPutAside(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one := batch("a").poses(0)
	other := batch("a").other().again("other").at(received.Add(-time.Hour)).poses(0, 1).report(event.Report{CustomerID: "first"})
	f.load(one.seal(t), other.seal(t))
	old := batch("old").at(received.AddDate(0, 0, -100)).poses(0)
	f.load(old.seal(t))
	reused := event.ReusedID(other.ID, other.Digest)
	// A later report of the same session overrules the one that is replayed.
	later := batch("later")
	later.Sessions = other.Sessions
	f.load(later.at(received.Add(-time.Minute)).report(event.Report{CustomerID: "second"}).seal(t))
	f.roll(f.store)

	const reusedCode = event.BatchIDReused
	f.replay(postgres.ReplayRequest{Batch: reused}, accepting(), postgres.ReplayOutcome{Index: -1, Was: reusedCode},
		postgres.ReplayOutcome{Index: 0, Was: reusedCode}, postgres.ReplayOutcome{Index: 1, Was: reusedCode})
	f.replay(postgres.ReplayRequest{Batch: old.ID}, accepting(), postgres.ReplayOutcome{Index: 0, Was: event.ReceivedTooOld})
	f.want(storedRejected)
	f.want("SELECT count(*) FROM nexero.events", "4")
	f.wantLoad(postgres.LoadResult{Redelivered: 3}, one.seal(t), other.seal(t), old.seal(t))
	f.roll(f.store)
	f.wantExact()
	f.want("SELECT count(*), min(customer_id) FROM nexero.session_facts WHERE customer_id IS NOT NULL", "1 second")
}

// What cannot be replayed stays as it was, and says why.
func TestReplay_WhatStays(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").rejected(event.UnreadableBody, -1).rejected(event.EventTooLarge, 0).rejected(event.MissingSession, 1).poses(2)
	f.load(b.seal(t))
	rows := "SELECT event_index, code, field, detail, payload FROM nexero.rejected_events ORDER BY 1"
	before := f.lines(rows)
	var asked []postgres.SentEvent
	got, err := f.store.Replay(t.Context(), postgres.ReplayRequest{Batch: b.ID, ReceiptID: id("r")}, func(sent postgres.SentEvent, _ *event.Batch) error {
		asked = append(asked, sent)
		return errors.New("it is cut \x00")
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range got {
		if o.Now != o.Was || o.Detail == "" {
			t.Errorf("%d: %+v, want it to stay, and why", i, o)
		}
	}
	f.want(rows, before...)
	if len(got) != 3 || len(asked) != 2 {
		t.Fatalf("%d outcomes of %d events, want 3 and 2", len(got), len(asked))
	}
	// Its batch's session is what other events of the batch named.
	if asked[0].Session != "session-a" || asked[1].Session != "" || asked[0].Raw != `{"n":0}` || asked[0].Tenant != "acme" {
		t.Errorf("asked about %+v", asked)
	}
	f.wantExact()
}

// The times of a batch moved together, and so does an event that follows.
func TestReplay_KnowsHowTheClockWasCorrected(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := batch("a").with(event.Event{Type: event.CTA, ClockShiftMS: -90_000}, event.Event{Index: 1, Type: event.CTA, ClockShiftMS: 7_000_000}).
		rejected(event.InvalidNumber, 2)
	f.load(b.seal(t))
	var asked postgres.SentEvent
	_, err := f.store.Replay(t.Context(), postgres.ReplayRequest{Batch: b.ID, ReceiptID: id("r")}, func(sent postgres.SentEvent, _ *event.Batch) error {
		asked = sent
		return errors.New("no")
	})
	if err != nil || asked.AheadMS != -90_000 || asked.DeadMS != 7_000_000 || asked.ReceivedAt != b.ReceivedAt || asked.Now < b.ReceivedAt {
		t.Errorf("asked about %+v, %v", asked, err)
	}
}

// rule 2: workers that get the client's own retries, replays and roll-ups, all at
// once: every event is stored once and folded once.
func TestReplay_BesideTheClientsRetry(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const batches, events = 24, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range batches {
		f.load(batch(strconv.Itoa(i)).poses(0).rejected(event.TimestampInFuture, 1, 2, 3).seal(t))
	}
	var group sync.WaitGroup
	start := make(chan struct{})
	for w := range 2 {
		worker, operator := f.open(postgres.Config{}), f.open(postgres.Config{})
		orders := [2][]int{rand.New(rand.NewPCG(seed, uint64(w))).Perm(batches), rand.New(rand.NewPCG(seed, uint64(w)+9)).Perm(batches)}
		group.Go(func() {
			<-start
			for _, i := range orders[0] {
				retry := batch(strconv.Itoa(i)).again(strconv.Itoa(w)).poses(0, 1, 2).rejected(event.TimestampInFuture, 3)
				f.loadWith(worker, retry)
			}
		})
		group.Go(func() {
			<-start
			for _, i := range orders[1] {
				request := postgres.ReplayRequest{Batch: id("batch", strconv.Itoa(i)), ReceiptID: id("replay", w, i)}
				if _, err := operator.Replay(t.Context(), request, accepting(2, 3)); err != nil {
					t.Errorf("replay: %v", err)
				}
			}
		})
		group.Go(func() {
			<-start
			for range batches {
				if _, err := operator.RollSessions(t.Context(), 0, 8, fold); err != nil {
					t.Errorf("roll up: %v", err)
				}
			}
		})
	}
	close(start)
	group.Wait()
	f.want("SELECT count(*), count(DISTINCT (batch_no, event_index)) FROM nexero.events", fmt.Sprint(batches*events, " ", batches*events))
	f.want(storedRejected)
	f.roll(f.store)
	f.wantRolled()
	f.rollQuality()
	f.wantExact()
}

// A message that nobody could read is loaded by a version that can, once.
func TestLoadDamaged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	good := sealedMessage(t, batch("good").poses(0, 1))
	old := sealedMessage(t, batch("old").at(received.AddDate(0, 0, -31)).poses(0))
	for _, m := range [][]byte{good, old, []byte("no message")} {
		if err := f.store.KeepDamaged(t.Context(), m, "because"); err != nil {
			t.Fatal(err)
		}
	}
	f.load(batch("bystander").poses(0).seal(t))
	kept, err := f.store.DamagedMessages(t.Context())
	if err != nil || len(kept) != 3 {
		t.Fatalf("%d messages, %v", len(kept), err)
	}
	wrong := map[int]error{len(good): nil, len(old): postgres.ErrTooOldToCheck, len("no message"): postgres.ErrStillDamaged}
	for _, m := range kept {
		if m.Bytes == len(good) && time.Since(m.WrittenAt) > time.Hour || m.Reason != "because" {
			t.Errorf("%+v", m)
		}
	}
	var errs []error
	for _, m := range kept {
		_, err := f.store.LoadDamaged(t.Context(), m.Digest, false)
		errs = append(errs, err)
	}
	for _, want := range wrong {
		found := false
		for _, err := range errs {
			found = found || errors.Is(err, want)
		}
		if !found {
			t.Errorf("no message was judged as %v: %v", want, errs)
		}
	}
	f.want("SELECT count(*) FROM nexero.damaged_messages", "2")
	f.want("SELECT count(*) FROM nexero.events", "3")
	if _, err := f.store.LoadDamaged(t.Context(), [32]byte{1}, false); !errors.Is(err, postgres.ErrNoMessage) {
		t.Errorf("no message: %v", err)
	}
	f.exec("DELETE FROM nexero.damaged_messages")
	f.wantExact()
}

// sealedMessage is what the queue holds of a batch.
func sealedMessage(t testing.TB, b *builder) []byte {
	t.Helper()
	encoded, err := envelope.AppendBatch(nil, &b.Batch)
	if err != nil {
		t.Fatal(err)
	}
	var e envelope.Builder
	e.Add(encoded)
	return e.Seal()
}
