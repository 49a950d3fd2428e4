package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

// mostNamed bounds how many findings of one kind are named.
const mostNamed = 8

// findings are what is wrong, in words, bounded by kind.
type findings struct {
	named []string
	count map[string]int
}

// add notes a finding of a kind; the first ones are named.
func (f *findings) add(kind, format string, arguments ...any) {
	if f.count == nil {
		f.count = map[string]int{}
	}
	if f.count[kind]++; f.count[kind] <= mostNamed {
		f.named = append(f.named, kind+": "+fmt.Sprintf(format, arguments...))
	}
}

// all are the findings, with how many were not named.
func (f *findings) all() []string {
	lines := f.named
	for kind, n := range f.count {
		if n > mostNamed {
			lines = append(lines, fmt.Sprintf("%s: %d more", kind, n-mostNamed))
		}
	}
	return lines
}

// books is what the checker found in the database.
type books struct {
	Batches, Events, Rejected, Quarantined int
}

// row is a batch as the database holds it.
type row struct {
	id                                    event.UUID
	accepted, rejected                    int // as the ledger says
	events, indexes                       int // as the rows say
	refusedEdge, refusedHere, rejectedIdx int
	reports                               int
}

// check compares all that the database holds with all that headsets did. The
// stand must be settled.
func check(ctx context.Context, s *stand, l *ledger) (books, []string, error) {
	db, err := s.database.connect(ctx)
	if err != nil {
		return books{}, nil, err
	}
	defer func() { _ = db.Close(ctx) }()
	// One snapshot, so that a count is of the same instant as the next.
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return books{}, nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	rows, err := readBatches(ctx, tx)
	if err != nil {
		return books{}, nil, err
	}
	var found findings
	sum := l.compare(rows, &found)
	for _, look := range []func(context.Context, pgx.Tx, *findings) error{checkStrays, checkPartitions} {
		if err := look(ctx, tx, &found); err != nil {
			return sum, nil, err
		}
	}
	truth := l.truth(rows)
	if err := checkTruth(ctx, tx, &truth, l.gone(rows), sum.Quarantined > 0, l.mixed.Load(), &found); err != nil {
		return sum, nil, err
	}
	return sum, found.all(), nil
}

// batchesQuery leaves out what is kept of an attacker's bodies, which the ledger
// of the headsets does not know; see [hostileTenant].
const batchesQuery = `
SELECT b.batch_id, b.accepted, coalesce(cardinality(b.rejected_indexes), 0),
       coalesce(e.events, 0), coalesce(e.indexes, 0),
       coalesce(r.edge, 0), coalesce(r.here, 0), coalesce(r.indexes, 0), coalesce(p.reports, 0)
FROM nexero.batches b JOIN nexero.tenants t ON t.tenant_id = b.tenant_id AND t.name <> 'hostile'
LEFT JOIN (SELECT batch_no, count(*) AS events, count(DISTINCT event_index) AS indexes
           FROM nexero.events GROUP BY batch_no) e USING (batch_no)
LEFT JOIN (SELECT batch_no, count(*) FILTER (WHERE form = 'sent') AS edge, count(*) FILTER (WHERE form <> 'sent') AS here,
                  count(DISTINCT event_index) AS indexes
           FROM nexero.rejected_events GROUP BY batch_no) r USING (batch_no)
LEFT JOIN (SELECT batch_no, count(*) AS reports FROM nexero.session_reports GROUP BY batch_no) p USING (batch_no)`

func readBatches(ctx context.Context, tx pgx.Tx) ([]row, error) {
	rows, err := tx.Query(ctx, batchesQuery)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) (r row, err error) {
		var id [16]byte
		err = from.Scan(&id, &r.accepted, &r.rejected, &r.events, &r.indexes, &r.refusedEdge, &r.refusedHere, &r.rejectedIdx, &r.reports)
		r.id = id
		return r, err
	})
}

// compare holds each batch of the database against what was sent, and each that
// was sent against the database.
func (l *ledger) compare(rows []row, found *findings) (sum books) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := make(map[event.UUID]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		stored[r.id] = true
		sum.Batches++
		sum.Events += r.events
		sum.Rejected += r.refusedEdge
		sum.Quarantined += r.refusedHere
		e := l.entries[r.id]
		if e == nil {
			found.add("nobody sent it", "batch %s with %d events", r.id, r.events)
			continue
		}
		r.compare(e, found)
	}
	for id, e := range l.entries {
		if e.fate == fateAcknowledged && !stored[id] {
			found.add("lost", "batch %s with %d events was acknowledged and is not stored", id, e.post.Accepted)
		}
	}
	return sum
}

// compare holds one stored batch against the post that it was.
func (r *row) compare(e *entry, found *findings) {
	if e.fate == fateUnsent || e.fate == fateRefused {
		found.add("stored against its word", "batch %s was refused, or cut off by its client, each time", r.id)
	}
	if r.indexes != r.events {
		found.add("twice", "batch %s has %d events and %d positions", r.id, r.events, r.indexes)
	}
	// The ledger still counts what retention has given up since.
	gone := e.gone()
	if r.accepted != r.events+gone {
		found.add("ledger", "batch %s has %d events in the ledger, %d rows and %d given up", r.id, r.accepted, r.events, gone)
	}
	if r.rejected != r.refusedEdge+r.refusedHere || r.rejectedIdx != r.rejected {
		found.add("ledger", "batch %s has %d rejections in the ledger and %d rows of %d positions",
			r.id, r.rejected, r.refusedEdge+r.refusedHere, r.rejectedIdx)
	}
	isReport := e.post.Accepted+e.post.Rejected == 0
	if isReport {
		if r.reports+r.refusedHere != 1 {
			found.add("report", "session post %s has %d reports", r.id, r.reports)
		}
		return
	}
	if got := r.events + gone + r.refusedHere; got != e.post.Accepted {
		found.add("in part", "batch %s has %d events stored or quarantined of %d", r.id, got, e.post.Accepted)
	}
	if r.refusedEdge != e.post.Rejected {
		found.add("in part", "batch %s has %d rejected events of %d", r.id, r.refusedEdge, e.post.Rejected)
	}
}

// truth is what is true of the posts that are stored.
func (l *ledger) truth(rows []row) sim.Truth {
	l.mu.Lock()
	defer l.mu.Unlock()
	var stored []*entry
	for i := range rows {
		if e := l.entries[rows[i].id]; e != nil {
			stored = append(stored, e)
		}
	}
	slices.SortFunc(stored, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	var truth sim.Ledger
	for _, e := range stored {
		post := e.post
		// What was kept of it may have come as a repeat only.
		post.Repeat = false
		truth.Add(post)
	}
	return truth.Truth()
}

// checkStrays looks for what no batch of the ledger accounts for.
func checkStrays(ctx context.Context, tx pgx.Tx, found *findings) error {
	for what, query := range map[string]string{
		"events without a batch":   `SELECT count(*) FROM nexero.events e WHERE NOT EXISTS (SELECT FROM nexero.batches b WHERE b.batch_no = e.batch_no)`,
		"reports without a batch":  `SELECT count(*) FROM nexero.session_reports r WHERE NOT EXISTS (SELECT FROM nexero.batches b WHERE b.batch_no = r.batch_no)`,
		"rejected without a batch": `SELECT count(*) FROM nexero.rejected_events r WHERE NOT EXISTS (SELECT FROM nexero.batches b WHERE b.batch_no = r.batch_no)`,
		"half-detached partitions": `SELECT count(*) FROM pg_inherits WHERE inhdetachpending`,
		"damaged messages":         `SELECT count(*) FROM nexero.damaged_messages`,
	} {
		var n int
		if err := tx.QueryRow(ctx, query).Scan(&n); err != nil {
			return fmt.Errorf("look for %s: %w", what, err)
		}
		if n > 0 {
			found.add("strays", "%d %s", n, what)
		}
	}
	return nil
}

// checkPartitions looks whether every day from today to a week ahead can be
// written.
func checkPartitions(ctx context.Context, tx pgx.Tx, found *findings) error {
	rows, err := tx.Query(ctx, `
		SELECT t.name || '_' || to_char(d.day, 'YYYYMMDD')
		FROM unnest(ARRAY['events_pose', 'events_other', 'rejected_events']) AS t (name),
		     generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 7, '1 day') AS d (day)
		WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		                  WHERE i.inhparent = ('nexero.' || t.name)::regclass AND NOT i.inhdetachpending
		                    AND c.relname = t.name || '_' || to_char(d.day, 'YYYYMMDD'))`)
	if err != nil {
		return fmt.Errorf("look at partitions: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at partitions: %w", err)
	}
	if len(missing) > 0 {
		found.add("partitions", "missing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// checkRevoked looks whether each replica refuses each key that was revoked.
func checkRevoked(ctx context.Context, s *stand) ([]string, error) {
	var wrong []string
	for _, owed := range s.debts() {
		for _, ingest := range s.of(kindIngest) {
			status, err := postNothing(ctx, ingest.listen, owed.key)
			if err != nil {
				return nil, err
			}
			if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
				wrong = append(wrong, fmt.Sprintf("revoked: %s answers %d to key %s, which is revoked", ingest.name, status, owed.id))
			}
		}
	}
	return wrong, nil
}

// debts are the keys that were revoked since the stand began.
func (s *stand) debts() []debt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.revoked)
}

// postNothing posts a body that cannot be read, which leaves nothing behind, and
// returns the status.
func postNothing(ctx context.Context, base, key string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+base+"/api/v1/unreal/tracking/batch", bytes.NewReader(nil))
	if err != nil {
		return 0, err
	}
	request.Close = true
	request.Header.Set("X-Api-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// verify runs `nexero verify`, which must exit 0.
func verify(ctx context.Context, s *stand) ([]string, error) {
	// It leaves out what the shortest retention of any worker has given up.
	output, err := s.nexeroWith(ctx, []string{retentionSetting(usualRetention)}, "verify", "--wait", (30 * time.Second).String())
	if err == nil {
		return nil, nil
	}
	if status, ok := exitStatus(err); ok && status == 1 {
		return []string{"verify: " + output + err.Error()}, nil
	}
	return nil, errors.Join(errors.New("verify could not check"), err)
}
