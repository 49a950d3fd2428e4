package postgres_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// verdict is what becomes of one event of one delivery.
type verdict int

const (
	good     verdict = iota
	late             // good, days ago and by a clock that was not believed
	bad              // the edge rejects it
	poisoned         // the edge accepts it, PostgreSQL does not
)

const eventsPerDelivery = 4

// delivered is one delivery by a client in the model.
type delivered struct {
	id, content, receipt int
	verdicts             [eventsPerDelivery]verdict
	tooOld               bool
}

// modelled is a ledger row in the model: where each event is.
type modelled struct {
	content, receipt int
	stored           map[int]int        // index to the receipt that brought it
	rejected         map[int]event.Code // index to reason
	late             int
}

// model is what the tables must hold after any sequence of loads. It knows
// nothing of gathers: a gather is its deliveries, one after the other.
type model struct {
	ledger  map[string]*modelled
	repeats map[string]bool
}

func (m *model) deliver(d delivered) {
	key, reused := strconv.Itoa(d.id), event.Code("")
	if known := m.ledger[key]; known != nil && known.content != d.content {
		key, reused = fmt.Sprint(d.id, "/", d.content), event.BatchIDReused
	}
	known := m.ledger[key]
	if known == nil {
		known = &modelled{content: d.content, receipt: d.receipt, stored: map[int]int{}, rejected: map[int]event.Code{}}
		m.ledger[key] = known
		for index := range d.verdicts {
			known.put(index, d, reused)
		}
		return
	}
	repeat := fmt.Sprint(key, " ", d.receipt)
	if d.receipt == known.receipt || m.repeats[repeat] {
		return
	}
	m.repeats[repeat] = true
	for index, v := range d.verdicts {
		if known.rejected[index].Edge() && v != bad {
			delete(known.rejected, index)
			known.put(index, d, reused)
		}
	}
}

func (k *modelled) put(index int, d delivered, reused event.Code) {
	switch {
	case d.verdicts[index] == bad:
		k.rejected[index] = event.TimestampInFuture
	case reused != "":
		k.rejected[index] = reused
	case d.tooOld:
		k.rejected[index] = event.ReceivedTooOld
	case d.verdicts[index] == poisoned:
		k.rejected[index] = event.RefusedByDatabase
	default:
		k.stored[index] = d.receipt
		if d.verdicts[index] == late {
			k.late++
		}
	}
}

// quality is what all that comes to.
func (m *model) quality() map[string]int {
	sums := map[string]int{"repeats": len(m.repeats), "batches": len(m.ledger)}
	for _, k := range m.ledger {
		sums["accepted"] += len(k.stored)
		sums["received"] += len(k.stored) + len(k.rejected)
		sums["late"] += k.late
		sums["corrected"] += k.late
		for _, code := range k.rejected {
			sums["rejected "+string(code)]++
		}
	}
	return sums
}

// lines renders the model as world.lines does the tables.
func (m *model) lines() []string {
	var lines []string
	for key, k := range m.ledger {
		lines = append(lines, fmt.Sprintf("batch %s receipt %d accepted %d", key, k.receipt, len(k.stored)))
		for index, receipt := range k.stored {
			lines = append(lines, fmt.Sprintf("batch %s event %d of receipt %d", key, index, receipt))
		}
		for index, code := range k.rejected {
			form := "row1"
			if code.Edge() {
				form = "sent"
			}
			lines = append(lines, fmt.Sprintf("batch %s rejected %d %s %s", key, index, code, form))
			lines = append(lines, fmt.Sprintf("batch %s lists %d %s", key, index, code))
		}
	}
	for what, n := range m.quality() {
		if n != 0 {
			lines = append(lines, fmt.Sprint("quality ", what, " ", n))
		}
	}
	for repeat := range m.repeats {
		batch, receipt, _ := strings.Cut(repeat, " ")
		lines = append(lines, fmt.Sprintf("batch %s repeat %s", batch, receipt))
	}
	slices.Sort(lines)
	return lines
}

// world is one run of the property: a tenant of its own.
type world struct {
	*fixture
	tenant string
}

func (w world) batchID(id int) event.UUID { return event.NameUUID(w.tenant, strconv.Itoa(id)) }

func (w world) digest(content int) [16]byte { return event.DigestOf(fmt.Sprint("content ", content)) }

func (w world) seal(d delivered) envelope.Batch {
	b := batch(fmt.Sprint("content-", d.content)).of(w.tenant)
	b.ID, b.Digest, b.ReceiptID = w.batchID(d.id), w.digest(d.content), event.NameUUID(w.tenant, "receipt", strconv.Itoa(d.receipt))
	b.ReceivedAt += event.Micros(d.receipt)
	if d.tooOld {
		b.at(received.AddDate(0, 0, -100))
	}
	for index, v := range d.verdicts {
		switch v {
		case good:
			b.poses(index)
		case late:
			b.with(event.Event{Index: index, Type: event.Heartbeat, OccurredAt: b.ReceivedAt - lateness, ClockShiftMS: -1000})
		case bad:
			b.rejected(event.TimestampInFuture, index)
		case poisoned:
			b.with(event.Event{Index: index, Type: event.Turn, Zone: "EVIL"})
		}
	}
	return b.seal(w)
}

// lateness is how long ago a late event was.
const lateness = event.Micros(3 * 24 * time.Hour / time.Microsecond)

// lines reads the world's rows back in the model's words.
func (w world) lines(ids, contents, receipts int) []string {
	w.Helper()
	batches, names := map[string]string{}, map[string]string{}
	for i := range ids {
		batches[w.batchID(i).String()] = strconv.Itoa(i)
		for c := range contents {
			batches[event.ReusedID(w.batchID(i), w.digest(c)).String()] = fmt.Sprint(i, "/", c)
		}
	}
	for r := range receipts {
		names[event.NameUUID(w.tenant, "receipt", strconv.Itoa(r)).String()] = strconv.Itoa(r)
	}
	var lines []string
	const mine = " JOIN nexero.tenants t USING (tenant_id) WHERE t.name = $1"
	for _, query := range []string{
		"SELECT 'batch', batch_id::text, 'receipt', receipt_id::text, 'accepted', accepted::text FROM nexero.batches" + mine,
		`SELECT 'batch', batch_id::text, 'event', event_index::text, 'of receipt', extract(microseconds FROM e.received_at)::bigint % 1000000 || ''
		 FROM nexero.events e JOIN nexero.batches USING (batch_no)` + mine,
		`SELECT 'batch', batch_id::text, 'rejected', event_index::text, code, form
		 FROM nexero.rejected_events r JOIN nexero.batches b USING (batch_no, tenant_id)` + mine,
		`SELECT 'batch', batch_id::text, 'lists', index::text, code
		 FROM nexero.batches CROSS JOIN unnest(rejected_indexes, rejected_codes) AS u (index, code)` + mine,
		`SELECT 'batch', batch_id::text, 'repeat', r.receipt_id::text
		 FROM nexero.batch_repeats r JOIN nexero.batches USING (batch_id)` + mine,
		`SELECT 'quality', measure || CASE code WHEN '' THEN '' ELSE ' ' || code END, sum(n)::text
		 FROM (SELECT tenant_id, measure, code, n FROM rollup.data_quality_daily
		       UNION ALL SELECT tenant_id, measure, code, change FROM nexero.quality_changes) q JOIN nexero.tenants t USING (tenant_id)
		 WHERE t.name = $1 GROUP BY measure, code HAVING sum(n) <> 0`,
	} {
		for _, line := range w.fixture.lines(query, w.tenant) {
			fields := strings.Split(line, " ")
			for i, field := range fields {
				if name, ok := batches[field]; ok {
					fields[i] = name
				} else if name, ok := names[field]; ok {
					fields[i] = name
				}
			}
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

// rule 2, rule 5, rule 7
func TestLoad_AnySequenceEqualsTheModel(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL')")
	var runs atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		const ids, contents, receipts = 3, 2, 4
		w := world{f, fmt.Sprint("tenant-", runs.Add(1))}
		// A delivery is the same however often the queue brings it.
		all := make(map[[3]int]delivered)
		drawn := rapid.Custom(func(rt *rapid.T) delivered {
			// A receipt belongs to one request, so to one content and id.
			key := [3]int{
				rapid.IntRange(0, ids-1).Draw(rt, "id"), rapid.IntRange(0, contents-1).Draw(rt, "content"),
				rapid.IntRange(0, receipts-1).Draw(rt, "receipt"),
			}
			if _, ok := all[key]; !ok {
				d := delivered{id: key[0], content: key[1], receipt: key[2], tooOld: rapid.IntRange(0, 7).Draw(rt, "old") == 0}
				for i := range d.verdicts {
					d.verdicts[i] = rapid.SampledFrom([]verdict{good, late, bad, bad, poisoned}).Draw(rt, "verdict")
				}
				all[key] = d
			}
			return all[key]
		})
		m := model{map[string]*modelled{}, map[string]bool{}}
		for range rapid.IntRange(1, 4).Draw(rt, "loads") {
			var gather []envelope.Batch
			for _, d := range rapid.SliceOfN(drawn, 1, 6).Draw(rt, "gather") {
				m.deliver(d)
				gather = append(gather, w.seal(d))
			}
			if _, err := f.store.Load(t.Context(), gather); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "roll up") {
				if _, err := f.store.RollCustomers(t.Context(), 10); err != nil {
					rt.Fatal(err)
				}
			}
			if diff := cmp.Diff(m.lines(), w.lines(ids, contents, receipts), cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("tables (-model +stored):\n%s", diff)
			}
			if wrong := f.qualityDifferences(); len(wrong) > 0 {
				rt.Fatalf("data quality: %v", wrong)
			}
		}
	})
	f.wantExact()
}

// The result's counters add up to what was given, whatever it was.
func TestLoad_ResultAccountsForEveryBatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	names := map[string]int{"a": 1, "b": 2, "c": 3}
	var gather []envelope.Batch
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for n := range names[name] {
			gather = append(gather, batch(name).again(strconv.Itoa(n)).poses(0).seal(t))
		}
	}
	gather = append(gather, gather...)
	r := f.load(gather...)
	if r.Batches+r.Repeats+r.Redelivered != len(gather) {
		t.Errorf("%+v does not account for %d batches", r, len(gather))
	}
	f.wantLoad(postgres.LoadResult{Redelivered: len(gather)}, gather...)
}
