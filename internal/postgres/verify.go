package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
)

// Verification is what Verify found.
type Verification struct {
	// Totals of the snapshot.
	Batches, Events, Sessions, Rejected, Repeats int64
	// Differences is how many rows are not as they must be; 0 is exact.
	Differences int64
	// Named are the first of them, at most 100.
	Named []Difference
}

// Difference is one row that is not as it must be.
type Difference struct {
	// Check is the rule that the row breaks.
	Check string
	// Row names the row.
	Row string
	// Found says what is wrong with it and by how much.
	Found string
}

// Exact reports whether ledger and rows agree.
func (v *Verification) Exact() bool { return v.Differences == 0 }

// maxNamedDifferences bounds Verification.Named.
const maxNamedDifferences = 100

// Verify compares the ledger with what is stored, in one snapshot: for every
// batch its rows are counted, every rejection is looked up, and nothing may be
// there that the ledger does not know. It reads all raw rows, in the database,
// with memory that does not grow with them; it takes no locks that a load would
// wait for and no longer than ctx allows.
//
// What retention has dropped cannot be compared: batches received before the
// shortest retention are left out.
func (s *Store) Verify(ctx context.Context) (Verification, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return Verification{}, fmt.Errorf("postgres: verify: %w", err)
	}
	defer pooled.Release()
	var v Verification
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, pooled, options, func(tx pgx.Tx) error { return s.verify(ctx, tx, &v) })
	if err != nil {
		return Verification{}, fmt.Errorf("postgres: verify: %w", err)
	}
	return v, nil
}

const totalsQuery = `
SELECT (SELECT count(*) FROM nexero.batches), (SELECT count(*) FROM nexero.events), (SELECT count(*) FROM nexero.sessions),
       (SELECT count(*) FROM nexero.rejected_events), (SELECT count(*) FROM nexero.batch_repeats), now()`

func (s *Store) verify(ctx context.Context, tx pgx.Tx, v *Verification) error {
	// The settings of a session are for loads, which are short and sort nothing.
	for _, setting := range []string{"statement_timeout = 0", "work_mem = '64MB'"} {
		if _, err := tx.Exec(ctx, "SET LOCAL "+setting); err != nil {
			return err
		}
	}
	var now time.Time
	if err := tx.QueryRow(ctx, totalsQuery).Scan(&v.Batches, &v.Events, &v.Sessions, &v.Rejected, &v.Repeats, &now); err != nil {
		return err
	}
	// The day after the last one that retention may be dropping right now.
	kept := windowAt(now, s.config.PoseRetention).oldest + 1
	arguments := pgx.NamedArgs{
		"kept": kept.start(), "pose": int16(event.Pose), "gaze": int16(event.Gaze),
		"class_pose": int16(event.ClassPose), "class_other": int16(event.ClassOther), "most": maxNamedDifferences,
	}
	for _, check := range checks {
		if err := check.run(ctx, tx, arguments, v); err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
	}
	return nil
}

// check is a query that returns one row per difference: which row, and what is
// wrong with it.
type check struct{ name, query string }

func (c check) run(ctx context.Context, tx pgx.Tx, arguments pgx.NamedArgs, v *Verification) error {
	// Counted and cut by the server, which spills to disk what it cannot hold.
	query := "WITH difference (row_name, found) AS MATERIALIZED (" + c.query + ")\n" +
		"SELECT row_name, found, (SELECT count(*) FROM difference) FROM difference LIMIT @most"
	rows, err := tx.Query(ctx, query, arguments)
	if err != nil {
		return err
	}
	d := Difference{Check: c.name}
	var total int64
	_, err = pgx.ForEachRow(rows, []any{&d.Row, &d.Found, &total}, func() error {
		if len(v.Named) < maxNamedDifferences {
			v.Named = append(v.Named, d)
		}
		return nil
	})
	v.Differences += total
	return err
}
