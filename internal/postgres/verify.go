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

// rejectedRetention is how long rejected_events are kept.
const rejectedRetention = 30 * 24 * time.Hour

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
		"kept": kept.start(), "rejected_kept": (windowAt(now, rejectedRetention).oldest + 1).start(),
		"late_after": event.LateAfter, "positions": event.MaxEvents,
		"pose": int16(event.Pose), "gaze": int16(event.Gaze),
		"class_pose": int16(event.ClassPose), "class_other": int16(event.ClassOther), "most": maxNamedDifferences,
	}
	for _, check := range checks {
		if err := check.run(ctx, tx, arguments, v); err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
	}
	if err := checkSessionKeys(ctx, tx, v); err != nil {
		return fmt.Errorf("%s: %w", sessionKeysCheck, err)
	}
	return nil
}

// add counts a difference and names it if there is room.
func (v *Verification) add(d Difference) {
	v.Differences++
	if len(v.Named) < maxNamedDifferences {
		v.Named = append(v.Named, d)
	}
}

const sessionKeysCheck = "a session's identity is of its tenant and its client's id"

// checkSessionKeys computes every session's identity again, one row at a time.
// A text that was repaired to be stored is no longer what the identity was made
// from; it is left out.
func checkSessionKeys(ctx context.Context, tx pgx.Tx, v *Verification) error {
	const query = `
SELECT s.session_no, s.session_id, s.client_id, coalesce(t.name, ''), t.name IS NULL
FROM nexero.sessions s
LEFT JOIN nexero.tenants t USING (tenant_id)`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return err
	}
	var number int64
	var key [16]byte
	var clientID, tenant string
	var noTenant bool
	_, err = pgx.ForEachRow(rows, []any{&number, &key, &clientID, &tenant, &noTenant}, func() error {
		if repaired(clientID) || repaired(tenant) {
			return nil
		}
		d := Difference{Check: sessionKeysCheck, Row: fmt.Sprintf("session no. %d", number)}
		normal, ok := event.NormaliseSessionID(clientID)
		switch {
		case noTenant:
			d.Found = "of a tenant that is not there"
		case !ok:
			d.Found = "a client's id that no session can have"
		case event.SessionKey(tenant, normal) != key:
			d.Found = fmt.Sprintf("stored as %s, must be %s", event.UUID(key), event.SessionKey(tenant, normal))
		default:
			return nil
		}
		v.add(d)
		return nil
	})
	return err
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
