package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
)

// takeBack looks whether faults had something put aside, has it judged again,
// and waits for rest. Afterwards nothing that the edge accepts is left aside, so
// the books are balanced as if nothing had been.
func (r *round) takeBack(ctx context.Context) error {
	codes, err := r.lookAside(ctx)
	if err != nil || len(codes) == 0 {
		return err
	}
	// An operator's replay that dies between two batches, or around a COMMIT, is
	// begun again.
	dies := []crashpoint.Point{crashpoint.ReplayBeforeCommit, crashpoint.ReplayCommitted}[r.number%2].Nth(1 + r.number%3)
	for _, code := range codes {
		if _, err := r.stand.nexeroWith(ctx, []string{crashpoint.Variable + "=" + dies}, "rejected", "replay", "--code", string(code)); err != nil {
			r.reach("death of a replay")
		}
		// Its exit status says whether it could be done, not what came of it.
		if _, err := r.stand.nexero(ctx, "rejected", "replay", "--code", string(code)); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		r.reach("replay of " + string(code))
	}
	return r.judge("after a replay", r.stand.settle(ctx))
}

// asideQuery finds what the database has put aside, and with $1 what the edge
// has because of a wrong clock.
const asideQuery = `
SELECT code, event_index, form FROM nexero.rejected_events
WHERE form <> 'sent' OR $1 AND code = 'timestamp_in_future'`

// lookAside compares what is aside with what was meant to be, and returns the
// codes that are worth a replay.
func (r *round) lookAside(ctx context.Context) (codes []event.Code, err error) {
	db, err := r.stand.database.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close(ctx) }()
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	rows, err := tx.Query(ctx, asideQuery, r.ledger.mixed.Load())
	if err != nil {
		return nil, err
	}
	var found findings
	expected := r.stand.takeRefusals()
	var code event.Code
	var index int
	var form string
	_, err = pgx.ForEachRow(rows, []any{&code, &index, &form}, func() error {
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
		if code == event.RefusedByDatabase && !slices.ContainsFunc(expected, func(f refusal) bool { return f.meant(index) }) {
			found.add("quarantine", "position %d was refused, and nobody had asked for it", index)
		}
		return nil
	})
	if err != nil || len(codes) == 0 {
		return nil, err
	}
	batches, err := readBatches(ctx, tx)
	if err != nil {
		return nil, err
	}
	r.ledger.compareAside(batches, &found)
	r.wrong = append(r.wrong, found.all()...)
	return codes, nil
}

// takeRefusals returns what was expected since the last call.
func (s *stand) takeRefusals() []refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	refusals := s.refusals
	s.refusals = nil
	return refusals
}

// compareAside looks whether everything of each batch is somewhere, once,
// wherever that is.
func (l *ledger) compareAside(rows []row, found *findings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		e := l.entries[r.id]
		if e == nil {
			continue // check says so
		}
		if e.poses != nil && r.events == 0 && r.refusedHere > 0 {
			e.poses = nil // aside as a whole: a replay stores it as of today
		}
		if e.poses != nil && !e.givenUp {
			continue // of a day that somebody may have begun to give up: check says so when that is over
		}
		want := max(e.post.Accepted+e.post.Rejected, 1) // a report is 1
		if got := r.events + e.gone() + r.refusedEdge + r.refusedHere + r.reports; got != want {
			found.add("aside", "batch %s has %d events stored or aside of %d", r.id, got, want)
		}
		if r.indexes != r.events || r.accepted != r.events+e.gone() || r.rejected != r.refusedEdge+r.refusedHere || r.rejectedIdx != r.rejected {
			found.add("aside", "batch %s does not count its rows: %+v", r.id, *r)
		}
	}
}
