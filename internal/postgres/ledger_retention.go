package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
)

const (
	// ledgerRetention is how long a ledger row is kept after its batch last
	// reached the database, counted from no later than the oldest queued message.
	ledgerRetention = 35 * 24 * time.Hour
	// repeatWindow is how long after a batch a client's repeat of it adds nothing.
	// What is left of ledgerRetention is for clocks that differ, for requests on
	// their way into the queue, and for messages on their way out of it.
	repeatWindow = 30 * 24 * time.Hour

	// forgetBatches and forgetRepeats bound one step: some tens of milliseconds,
	// in which a load of one of these batches has to wait.
	forgetBatches = 1000
	forgetRepeats = 5000
)

// lockHorizon keeps deleters apart; whoever comes second has nothing to do.
// Loads take no lock on the row.
const lockHorizon = `SELECT true FROM nexero.ledger_horizon FOR UPDATE SKIP LOCKED`

// findForgettable never waits for a load. A row that a repeat has renewed since
// is looked at again by the server and stays. So does one whose rejected events
// are still there, until they are dropped: they can be replayed. And one that was
// received by a clock that was ahead stays until its time has come and gone, for
// until then the horizon says nothing about it.
//
// $2 is as far back as a damaged message holds the ledger: until then it can be
// loaded, as if it were queued.
const findForgettable = `
SELECT b.batch_id
FROM nexero.batches b
WHERE b.written_at < least($1, (SELECT min(d.written_at) FROM nexero.damaged_messages d WHERE d.written_at > $2) - $3::interval)
  AND b.received_at < $1
  AND (b.rejected_indexes IS NULL OR NOT EXISTS (SELECT FROM nexero.rejected_events r WHERE r.batch_no = b.batch_no))
ORDER BY b.written_at
LIMIT $4
FOR UPDATE OF b SKIP LOCKED`

// A batch that was repeated very often loses its repeats in several steps, and
// its own row in the last one. Both tables are written under the row's lock only.
const (
	deleteRepeats = `
DELETE FROM nexero.batch_repeats
WHERE (batch_id, receipt_id) IN (SELECT batch_id, receipt_id FROM nexero.batch_repeats WHERE batch_id = ANY($1) LIMIT $2)`
	deleteEntries = `
DELETE FROM nexero.batches b
WHERE b.batch_id = ANY($1) AND NOT EXISTS (SELECT FROM nexero.batch_repeats r WHERE r.batch_id = b.batch_id)`
	moveHorizon = `
UPDATE nexero.ledger_horizon
SET written_before = greatest(written_before, $1), received_before = greatest(received_before, $2)`
)

// errNoAge is a queue that has messages and has lost the time of the first.
var errNoAge = errors.New("the queue does not say how old its oldest message is")

// ForgetBatches deletes some ledger rows that are no longer needed, oldest
// first, and returns how many rows of the ledger and of its repeats it deleted:
// 0 when there is nothing to delete, or another process is doing it. oldest asks
// the queue when its oldest message was stored, and whether there is one; after
// its error, or without a time, nothing is deleted. It is asked after the clock
// was read: however long the answer then takes, or the process is frozen, what
// the queue took meanwhile is younger than that.
//
// In the same transaction the horizon moves: what was received before it and is
// not in the ledger is never stored by a load again. Any number of processes may
// call it, beside any loads; it waits for nobody. After an error nothing was
// deleted, or, when the connection broke during COMMIT, everything.
func (s *Store) ForgetBatches(ctx context.Context, oldest func(context.Context) (time.Time, bool, error)) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.StatementTimeout+loadGrace)
	defer cancel()
	now, err := s.readClock(ctx)
	if err == nil {
		err = trustClock(now, time.Now())
	}
	if err != nil {
		return 0, fmt.Errorf("postgres: forget batches: %w", err)
	}
	stored, queued, err := oldest(ctx)
	if err == nil && queued && stored.IsZero() {
		err = errNoAge
	}
	if err != nil {
		return 0, fmt.Errorf("postgres: forget batches: %w", err)
	}
	crashpoint.At(crashpoint.ForgetAsked)
	f := forgetting{now: now, before: now.Add(-ledgerRetention)}
	if queued && stored.Before(now) {
		f.before = stored.Add(-ledgerRetention)
	}
	if err := s.inTransaction(ctx, f.run); err != nil {
		return 0, fmt.Errorf("postgres: forget batches written before %s: %w", f.before.UTC().Format(time.RFC3339), err)
	}
	crashpoint.At(crashpoint.ForgetCommitted)
	return f.rows, nil
}

// forgetting is the state of one transaction. It lives on one goroutine.
type forgetting struct {
	now, before time.Time
	rows        int64
}

// run is the transaction from BEGIN to just before COMMIT. That the horizon
// moves in it is what makes deleting safe: a load that has missed a row because
// of it, and looks at the horizon afterwards, sees it moved.
func (f *forgetting) run(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	var alone bool
	err := conn.QueryRow(ctx, lockHorizon).Scan(&alone)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock the horizon: %w", err)
	}
	rows, err := conn.Query(ctx, findForgettable, f.before, f.now.Add(-repeatWindow), ledgerRetention, forgetBatches)
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	crashpoint.At(crashpoint.ForgetFound)
	repeats, err := conn.Exec(ctx, deleteRepeats, ids, forgetRepeats)
	if err != nil {
		return fmt.Errorf("delete repeats: %w", err)
	}
	crashpoint.At(crashpoint.ForgetRepeatsDeleted)
	batches, err := conn.Exec(ctx, deleteEntries, ids)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	crashpoint.At(crashpoint.ForgetEntriesDeleted)
	if _, err := conn.Exec(ctx, moveHorizon, f.before, f.before.Add(repeatWindow)); err != nil {
		return fmt.Errorf("move the horizon: %w", err)
	}
	crashpoint.At(crashpoint.ForgetBeforeCommit)
	f.rows = repeats.RowsAffected() + batches.RowsAffected()
	return nil
}

const readHorizon = `SELECT received_before FROM nexero.ledger_horizon`

// tooOldToCheck reports whether d, whose batch the ledger did not know, may have
// been stored before: its row, or that of the batch it repeats, may be deleted.
func (l *load) tooOldToCheck(d *delivery) bool {
	return l.horizon > 0 && d.batch.ReceivedAt < l.horizon
}

// setTooOldAside takes back what newEntry said of a fresh row. Why the batch was
// to be put aside anyway does not matter: whatever is replayed later, this is
// what there is to know of it.
func (l *load) setTooOldAside(d *delivery, e *entry) {
	d.refuse = event.TooOldToCheck
	set := d.newEntry(e.id)
	e.counts, e.dirty = set.counts, true
}
