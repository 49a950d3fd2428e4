package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
)

// wholeBody is the index of what a body says as a whole: a body that could not
// be read, or a session report.
const wholeBody = -1

// entry is a row of the ledger as this transaction sees it. The transaction
// holds its lock.
type entry struct {
	id, receipt event.UUID
	digest      [16]byte
	batchNo     int64
	tenant      int32
	receivedAt  event.Micros
	// fresh says that this transaction inserted the row.
	fresh bool
	// dirty says that the counts differ from the stored row.
	dirty bool
	counts
	// before is what the row said before this transaction, nothing when it was
	// not there, and repeats is how many this transaction noted.
	before  counts
	repeats int
	// asked says that this transaction noted other content under the row's id.
	asked bool
}

func (e *entry) reject(index int, code event.Code) {
	if e.rejected == nil {
		e.rejected = make(map[int]event.Code)
	}
	e.rejected[index] = code
}

// arrays returns rejected as the two columns of the ledger, in the text form of
// an array: unnest cannot take an array of arrays of different lengths.
func (e *entry) arrays() (indexes, codes *string) {
	if len(e.rejected) == 0 {
		return nil, nil
	}
	sorted := make([]int, 0, len(e.rejected))
	for index := range e.rejected {
		sorted = append(sorted, index)
	}
	slices.Sort(sorted)
	var is, cs strings.Builder
	for i, index := range sorted {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		is.WriteByte(separator)
		cs.WriteByte(separator)
		is.WriteString(strconv.Itoa(index))
		cs.WriteString(quoteElement(string(e.rejected[index])))
	}
	return new(is.String() + "}"), new(cs.String() + "}")
}

func quoteElement(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(storable(s)) + `"`
}

func compareIDs(a, b event.UUID) int { return bytes.Compare(a[:], b[:]) }

func sortEntries(entries []*entry) {
	slices.SortFunc(entries, func(a, b *entry) int { return compareIDs(a.id, b.id) })
}

// insertEntries waits for an uncommitted row of the same id and then either
// skips it or, if that load died, inserts. Sorted ids make waiters queue up in
// one direction. batch_no comes from the column's default; skipped rows use up
// numbers, which is why they mean nothing but identity.
const insertEntries = `
INSERT INTO nexero.batches (batch_id, receipt_id, digest, received_at, tenant_id, accepted, late, corrected, rejected_indexes, rejected_codes)
SELECT batch_id, receipt_id, digest, received_at, tenant_id, accepted, late, corrected, indexes::smallint[], codes::text[]
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::timestamptz[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $9::text[], $10::text[])
    AS new (batch_id, receipt_id, digest, received_at, tenant_id, accepted, late, corrected, indexes, codes)
ORDER BY batch_id
ON CONFLICT DO NOTHING
RETURNING batch_id, batch_no`

// insertBatches writes the candidates that the ledger does not know, and marks
// them fresh. It waits for transactions that are writing or deleting one of the
// same ids. begin starts the transaction in the same round trip.
//
// The horizon is read after the INSERT, by a statement of its own: whoever has
// deleted a row that the INSERT missed had moved the horizon by then. Read
// before, it would say nothing about what is deleted in between.
func (l *load) insertBatches(ctx context.Context, candidates []*entry, begin bool) error {
	sortEntries(candidates)
	byID := make(map[event.UUID]*entry, len(candidates))
	var batch pgx.Batch
	if begin {
		batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	}
	for _, e := range candidates {
		byID[e.id] = e
	}
	batch.Queue(insertEntries, entryColumns(candidates)...).Query(func(rows pgx.Rows) error {
		var id [16]byte
		var batchNo int64
		_, err := pgx.ForEachRow(rows, []any{&id, &batchNo}, func() error {
			e := byID[id]
			e.batchNo, e.fresh = batchNo, true
			return nil
		})
		return err
	})
	batch.Queue(readHorizon).QueryRow(func(row pgx.Row) error {
		var horizon time.Time
		err := row.Scan(&horizon)
		l.horizon = event.MicrosOf(horizon)
		return err
	})
	return l.conn.SendBatch(ctx, &batch).Close()
}

// entryColumns turns entries into the arrays that insertEntries takes.
func entryColumns(entries []*entry) []any {
	n := len(entries)
	ids, receipts, digests := make([][16]byte, n), make([][16]byte, n), make([][]byte, n)
	times, tenants := make([]time.Time, n), make([]int32, n)
	accepted, late, corrected := make([]int, n), make([]int, n), make([]int, n)
	indexes, codes := make([]*string, n), make([]*string, n)
	for i, e := range entries {
		ids[i], receipts[i], digests[i] = e.id, e.receipt, e.digest[:]
		times[i], tenants[i] = storableTime(e.receivedAt), e.tenant
		accepted[i], late[i], corrected[i] = e.accepted, e.late, e.corrected
		indexes[i], codes[i] = e.arrays()
	}
	return []any{ids, receipts, digests, times, tenants, accepted, late, corrected, indexes, codes}
}

// storableTime keeps a time of receipt inside the calendar: one outside it puts
// its batch aside and must not fail the row that says so.
func storableTime(t event.Micros) time.Time {
	return min(max(t, event.Earliest), event.Latest).Time()
}

const lockEntries = `
SELECT batch_id, batch_no, receipt_id, digest, received_at, tenant_id, accepted, late, corrected, rejected_indexes, rejected_codes
FROM nexero.batches
WHERE batch_id = ANY($1)
ORDER BY batch_id
FOR UPDATE`

// errEntryGone is a ledger row that was deleted between two statements: the load
// begins again and finds it new, and the horizon moved.
var errEntryGone = errors.New("a batch left the ledger while it was looked up")

// lockBatches reads the rows of candidates that were there before, and keeps
// others from changing them. It is a statement after the INSERT, so it sees
// what the INSERT waited for.
func (l *load) lockBatches(ctx context.Context, candidates []*entry) (map[event.UUID]*entry, error) {
	known := make(map[event.UUID]*entry, len(candidates))
	var ids [][16]byte
	for _, e := range candidates {
		if e.fresh {
			known[e.id] = e
		} else {
			ids = append(ids, e.id)
		}
	}
	if len(ids) == 0 {
		return known, nil
	}
	rows, err := l.conn.Query(ctx, lockEntries, ids)
	if err != nil {
		return nil, err
	}
	var (
		id, receipt               [16]byte
		batchNo                   int64
		digest                    []byte
		receivedAt                time.Time
		tenant                    int32
		accepted, late, corrected int
		indexes                   []int
		codes                     []string
	)
	into := []any{&id, &batchNo, &receipt, &digest, &receivedAt, &tenant, &accepted, &late, &corrected, &indexes, &codes}
	_, err = pgx.ForEachRow(rows, into, func() error {
		e := &entry{id: id, receipt: receipt, batchNo: batchNo, tenant: tenant, receivedAt: event.MicrosOf(receivedAt)}
		copy(e.digest[:], digest)
		e.counts = counts{accepted: accepted, late: late, corrected: corrected}
		for i, index := range indexes {
			e.reject(index, event.Code(codes[i]))
		}
		e.before = e.counts
		e.before.rejected = maps.Clone(e.rejected)
		known[e.id] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(known) != len(candidates) {
		return nil, errEntryGone
	}
	return known, nil
}

const updateEntry = `
UPDATE nexero.batches
SET written_at = now(), accepted = $2, late = $3, corrected = $4, rejected_indexes = $5::text::smallint[], rejected_codes = $6::text::text[]
WHERE batch_id = $1`

// queueUpdates writes back entries that changed since they were read or
// inserted, and renews those that were repeated, or whose id other content came
// under: the row stays for as long as that delivery, in an older copy of the
// queue, may come again. All of them are locked already.
func (l *load) queueUpdates(batch *pgx.Batch) {
	sortEntries(l.entries)
	for _, e := range l.entries {
		if !e.dirty && e.repeats == 0 && !e.asked {
			continue
		}
		indexes, codes := e.arrays()
		batch.Queue(updateEntry, [16]byte(e.id), e.accepted, e.late, e.corrected, indexes, codes).Exec(wantRows(1))
	}
}

// repeat is the name of a client's delivery.
type repeat struct{ batch, receipt event.UUID }

// insertRepeats is keyed by receipt: the client's retries are counted, the
// queue's are not.
const insertRepeats = `
INSERT INTO nexero.batch_repeats (batch_id, receipt_id, received_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS new (batch_id, receipt_id, received_at)
ORDER BY batch_id, receipt_id
ON CONFLICT DO NOTHING
RETURNING batch_id, receipt_id`

// insertNewRepeats writes those deliveries that were not seen before and
// returns which they are. The ledger rows' locks keep others away.
func (l *load) insertNewRepeats(ctx context.Context, candidates []*delivery) (map[repeat]bool, error) {
	candidates = slices.Clone(candidates)
	slices.SortFunc(candidates, func(a, b *delivery) int {
		return cmp.Or(compareIDs(a.entry.id, b.entry.id), compareIDs(a.batch.ReceiptID, b.batch.ReceiptID))
	})
	n := len(candidates)
	ids, receipts, times := make([][16]byte, n), make([][16]byte, n), make([]time.Time, n)
	for i, d := range candidates {
		ids[i], receipts[i], times[i] = d.entry.id, d.batch.ReceiptID, storableTime(d.batch.ReceivedAt)
	}
	rows, err := l.conn.Query(ctx, insertRepeats, ids, receipts, times)
	if err != nil {
		return nil, err
	}
	inserted := make(map[repeat]bool, n)
	var id, receipt [16]byte
	_, err = pgx.ForEachRow(rows, []any{&id, &receipt}, func() error {
		inserted[repeat{id, receipt}] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("repeats: %w", err)
	}
	return inserted, nil
}
