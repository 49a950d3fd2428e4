package postgres_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// replayed is the model of one batch under loads, repeats and replays.
type replayed struct {
	stored   map[int]bool
	rejected map[int]event.Code
	// rows are what was accepted and put aside: PostgreSQL's word decides.
	rows map[int]verdict
	// cured says that PostgreSQL takes every row by now.
	cured bool
}

// put is what becomes of an event that is accepted.
func (r *replayed) put(index int, v verdict) {
	r.rows[index] = v
	if v == poisoned && !r.cured {
		r.rejected[index] = event.RefusedByDatabase
		return
	}
	delete(r.rejected, index)
	r.stored[index] = true
}

func (r *replayed) deliver(verdicts [eventsPerDelivery]verdict) {
	fresh := len(r.stored)+len(r.rejected) == 0
	for index, v := range verdicts {
		switch {
		case fresh && v == bad:
			r.rejected[index] = event.TimestampInFuture
		case v != bad && (fresh || r.rejected[index].Edge()):
			r.put(index, v)
		}
	}
}

// replay judges like the edge of now, to which only verdicts matter.
func (r *replayed) replay(verdicts [eventsPerDelivery]verdict, code event.Code) {
	for index, v := range verdicts {
		was, ok := r.rejected[index]
		switch {
		case !ok || code != "" && was != code:
		case !was.Edge():
			r.put(index, r.rows[index])
		case v == bad:
			r.rejected[index] = event.InvalidNumber
		default:
			r.put(index, v)
		}
	}
}

func (r *replayed) lines() []string {
	var lines []string
	for index := range r.stored {
		lines = append(lines, fmt.Sprint("stored ", index))
	}
	for index, code := range r.rejected {
		lines = append(lines, fmt.Sprint("rejected ", index, " ", code), fmt.Sprint("listed ", index, " ", code))
	}
	slices.Sort(lines)
	return lines
}

// judging accepts as the verdicts say.
func judging(verdicts [eventsPerDelivery]verdict) postgres.Judge {
	return func(sent postgres.SentEvent, b *event.Batch) error {
		e := event.Event{Index: sent.Index, Type: event.Turn, OccurredAt: sent.ReceivedAt, Zone: "hall"}
		switch verdicts[sent.Index] {
		case good:
		case bad:
			b.Rejected = []event.Rejection{{Index: sent.Index, Code: event.InvalidNumber, Detail: "still", Raw: sent.Raw}}
			return nil
		case late:
			e.OccurredAt, e.ClockShiftMS = sent.Now-lateness, -1000
		case poisoned:
			e.Zone = "EVIL"
		}
		b.Sessions = []event.Session{{Key: event.SessionKey(sent.Tenant, "replayed"), ClientID: "replayed"}}
		b.Events = []event.Event{e}
		return nil
	}
}

// rule 2, rule 4: any sequence of deliveries, repeats, replays and roll-ups
// leaves each event in one place, and everything exact.
func TestReplay_AnySequenceStaysExact(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var runs atomic.Int64
	drawn := rapid.Custom(func(rt *rapid.T) (verdicts [eventsPerDelivery]verdict) {
		for i := range verdicts {
			verdicts[i] = rapid.SampledFrom([]verdict{good, late, bad, bad, poisoned}).Draw(rt, "verdict")
		}
		return verdicts
	})
	rapid.Check(t, func(rt *rapid.T) {
		w := world{f, fmt.Sprint("replays-", runs.Add(1))}
		m := replayed{map[int]bool{}, map[int]event.Code{}, map[int]verdict{}, false}
		f.exec("ALTER TABLE nexero.events DROP CONSTRAINT IF EXISTS no_evil")
		f.exec("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL') NOT VALID")
		receipt := 0
		deliver := func(*rapid.T) {
			d := delivered{receipt: receipt, verdicts: drawn.Draw(rt, "delivery")}
			receipt++
			f.load(w.seal(d))
			m.deliver(d.verdicts)
		}
		deliver(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": deliver,
			"replay": func(rt *rapid.T) {
				verdicts := drawn.Draw(rt, "verdicts")
				request := postgres.ReplayRequest{
					Batch: w.batchID(0), ReceiptID: id(w.tenant, "replay", receipt), DryRun: rapid.Bool().Draw(rt, "dry run"),
					Code: rapid.SampledFrom([]event.Code{"", "", event.TimestampInFuture, event.RefusedByDatabase}).Draw(rt, "code"),
				}
				receipt++
				if _, err := f.store.Replay(t.Context(), request, judging(verdicts)); err != nil {
					rt.Fatal(err)
				}
				if !request.DryRun {
					m.replay(verdicts, request.Code)
				}
			},
			"cure": func(*rapid.T) {
				f.exec("ALTER TABLE nexero.events DROP CONSTRAINT IF EXISTS no_evil")
				m.cured = true
			},
			"roll up": func(*rapid.T) { f.roll(f.store) },
			"": func(rt *rapid.T) {
				if diff := cmp.Diff(m.lines(), w.places(), cmpopts.EquateEmpty()); diff != "" {
					rt.Fatalf("tables (-model +stored):\n%s", diff)
				}
				if wrong := f.qualityDifferences(); len(wrong) > 0 {
					rt.Fatalf("data quality: %v", wrong)
				}
			},
		})
		f.roll(f.store)
		if v, err := f.store.Verify(t.Context()); err != nil || !v.Exact() {
			rt.Fatalf("verify: %v, %v", v.Named, err)
		}
	})
}

// places says where the events of the world's one batch are.
func (w world) places() []string {
	w.Helper()
	batch := [16]byte(w.batchID(0))
	var lines []string
	for _, query := range []string{
		"SELECT 'stored', event_index FROM nexero.events JOIN nexero.batches USING (batch_no) WHERE batch_id = $1",
		"SELECT 'rejected', event_index, code FROM nexero.rejected_events JOIN nexero.batches USING (batch_no) WHERE batch_id = $1",
		"SELECT 'listed', index, code FROM nexero.batches, unnest(rejected_indexes, rejected_codes) AS u (index, code) WHERE batch_id = $1",
	} {
		lines = append(lines, w.fixture.lines(query, batch)...)
	}
	slices.Sort(lines)
	return lines
}
