package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// Verification is what Verify found.
type Verification struct {
	// Totals of the snapshot.
	Batches, Events, Sessions, Rejected, Repeats int64
	// Folded sessions were folded again from their raw events; Sealed ones have
	// none any more and were compared with their stored state. Waiting sessions
	// have new rows that no roll-up has seen yet. The others have no rows at all.
	Folded, Sealed, Waiting int64
	// Visits are those of Folded and Sealed sessions.
	Visits int64
	// Customers were counted again; CustomersWaiting wait for a roll-up.
	Customers, CustomersWaiting int64
	// Past is for how many properties and days there are sums of sessions that are
	// no longer kept.
	Past int64
	// Aggregates were summed again.
	Aggregates []AggregateTotal
	// Differences is how many rows are not as they must be; 0 is exact.
	Differences int64
	// Named are the first of them, at most 100.
	Named []Difference
}

// AggregateTotal is how many rows a table of schema rollup has.
type AggregateTotal struct {
	Table string
	Rows  int64
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

// Exact reports whether raw rows, facts and aggregates agree.
func (v *Verification) Exact() bool { return v.Differences == 0 }

// Touched is what no roll-up has seen yet.
type Touched struct{ Sessions, Customers int64 }

// Touched counts what waits for a roll-up: until it is nothing, facts and
// aggregates lag behind the raw rows.
func (s *Store) Touched(ctx context.Context) (Touched, error) {
	const query = `
SELECT (SELECT count(DISTINCT session_no) FROM nexero.session_touches),
       (SELECT count(*) FROM (SELECT DISTINCT tenant_id, customer_id FROM nexero.customer_touches) c)`
	var t Touched
	if err := s.pool.QueryRow(ctx, query).Scan(&t.Sessions, &t.Customers); err != nil {
		return Touched{}, fmt.Errorf("postgres: what waits for a roll-up: %w", err)
	}
	return t, nil
}

// Progress tells how far a verification has come: Done of Total of what Step
// names. Steps come one after the other.
type Progress struct {
	Step        string
	Done, Total int64
}

// rejectedRetention is how long rejected_events are kept.
const rejectedRetention = 30 * 24 * time.Hour

// daysUnstored are the days from the one on which a ledger row was last written to
// the first on which no rows of its batch can have been received: the latest are
// stamped with the next day.
const daysUnstored = 3

// maxNamedDifferences bounds Verification.Named.
const maxNamedDifferences = 100

// Verify checks in one snapshot that everything stored is what it must be.
//
//   - The ledger: for every batch its rows are counted, every rejection is looked
//     up, and nothing may be there that the ledger does not know.
//   - Facts: every settled session is folded again from its raw rows, and what is
//     stored of it must come out, to the byte.
//   - Aggregates: what sessions and customers have contributed is added up again,
//     with what was kept of those that are gone, and each row must be that sum.
//
// It reads all raw rows, with memory that does not grow with them: the largest
// session decides, and the database spills to temporary files. It takes no
// locks that a load or a roll-up would wait for, writes nothing but temporary
// tables, and takes no longer than ctx allows.
//
// What retention has dropped cannot be compared: batches received before the
// shortest retention are left out, rows and sums of batches that the ledger may
// have forgotten are not missed in it, and sealed sessions are compared with
// their stored state. Only the live generation is verified.
func (s *Store) Verify(ctx context.Context) (Verification, error) {
	return s.VerifyWith(ctx, func(Progress) {})
}

// VerifyWith does what Verify does and tells how far it is, on the caller's
// goroutine.
func (s *Store) VerifyWith(ctx context.Context, progress func(Progress)) (Verification, error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return Verification{}, fmt.Errorf("postgres: verify: %w", err)
	}
	defer pooled.Release()
	tx, err := pooled.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return Verification{}, fmt.Errorf("postgres: verify: %w", err)
	}
	v := verifier{store: s, conn: pooled.Conn(), progress: progress}
	// Nothing is worth committing: temporary tables go with the transaction.
	if err := errors.Join(v.run(ctx), tx.Rollback(context.WithoutCancel(ctx))); err != nil {
		return Verification{}, fmt.Errorf("postgres: verify: %w", err)
	}
	return v.found, nil
}

// verifier is one verification. It lives on one goroutine and one connection,
// in one transaction, whose snapshot is that of its first query.
type verifier struct {
	store    *Store
	conn     *pgx.Conn
	progress func(Progress)
	found    Verification

	// generation is the live one.
	generation int16
	arguments  pgx.NamedArgs
	properties map[propertyKey]facts.Property
	sums       contributionSums
}

type propertyKey struct {
	tenant   int32
	property string
}

func (v *verifier) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"begin", v.begin},
		{"count", v.count},
		{"ledger", v.checkRows},
		{sessionKeysCheck, v.checkSessionKeys},
		{"sessions", v.checkSessions},
		{"customers", v.checkCustomers},
		{"past", v.addPast},
		{"aggregates", v.checkAggregates},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// begin prepares the transaction. Temporary tables have to be made while it may
// write; from then on it may write to them alone.
func (v *verifier) begin(ctx context.Context) error {
	settings := []string{
		// The settings of a session are for loads, which are short and sort nothing.
		"SET LOCAL statement_timeout = 0",
		"SET LOCAL idle_in_transaction_session_timeout = '5min'",
		"SET LOCAL work_mem = '64MB'",
		"SET LOCAL datestyle = 'ISO'",
		// A generic plan would open every partition of the events.
		"SET LOCAL plan_cache_mode = force_custom_plan",
	}
	v.sums = newContributionSums(v.conn)
	settings = append(settings, v.sums.definitions()...)
	settings = append(settings, "SET TRANSACTION READ ONLY")
	for _, statement := range settings {
		if _, err := v.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

const totalsQuery = `
SELECT (SELECT count(*) FROM nexero.batches), (SELECT count(*) FROM nexero.events), (SELECT count(*) FROM nexero.sessions),
       (SELECT count(*) FROM nexero.rejected_events), (SELECT count(*) FROM nexero.batch_repeats WHERE NOT replayed), now(),
       coalesce(` + liveGeneration + `, 0), (SELECT written_before FROM nexero.ledger_horizon)`

func (v *verifier) count(ctx context.Context) error {
	var now, forgotten time.Time
	t := &v.found
	err := v.conn.QueryRow(ctx, totalsQuery).Scan(&t.Batches, &t.Events, &t.Sessions, &t.Rejected, &t.Repeats, &now, &v.generation, &forgotten)
	if err != nil {
		return err
	}
	// The day after the last one that retention may be dropping right now.
	kept := windowAt(now, v.store.config.PoseRetention).oldest + 1
	v.arguments = pgx.NamedArgs{
		"kept": kept.start(), "ledger_kept": max(kept, dayOfTime(forgotten)+daysUnstored).start(), "forgotten": forgotten,
		"rejected_kept": (windowAt(now, rejectedRetention).oldest + 1).start(),
		"late_after":    event.LateAfter, "positions": event.MaxEvents,
		"pose": int16(event.Pose), "gaze": int16(event.Gaze),
		"class_pose": int16(event.ClassPose), "class_other": int16(event.ClassOther), "most": maxNamedDifferences,
		"generation": v.generation,
	}
	return v.readProperties(ctx)
}

// readProperties reads what operators said of all properties: some thousand.
func (v *verifier) readProperties(ctx context.Context) error {
	rows, err := v.conn.Query(ctx, "SELECT tenant_id, property_id, time_zone, origin_x, origin_y FROM nexero.properties")
	if err != nil {
		return err
	}
	v.properties = make(map[propertyKey]facts.Property)
	var key propertyKey
	var zone string
	var property facts.Property
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.property, &zone, &property.OriginX, &property.OriginY}, func() error {
		location, err := v.store.location(zone)
		if err != nil {
			return fmt.Errorf("time zone of property %q: %w", key.property, err)
		}
		property.Zone = location
		v.properties[key] = property
		return nil
	})
	return err
}

// checkRows makes the checks that are single queries.
func (v *verifier) checkRows(ctx context.Context) error {
	all := append(ledgerChecks(), factsChecks()...)
	for i, check := range all {
		v.progress(Progress{"ledger", int64(i), int64(len(all))})
		if err := v.check(ctx, check); err != nil {
			return err
		}
	}
	return nil
}

// check is a query that returns one row per difference: which row, and what is
// wrong with it.
type check struct{ name, query string }

func (v *verifier) check(ctx context.Context, c check) error {
	// Counted and cut by the server, which spills to disk what it cannot hold.
	query := "WITH difference (row_name, found) AS MATERIALIZED (" + c.query + ")\n" +
		"SELECT row_name, found, (SELECT count(*) FROM difference) FROM difference LIMIT @most"
	rows, err := v.conn.Query(ctx, query, v.arguments)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	d := Difference{Check: c.name}
	var total int64
	_, err = pgx.ForEachRow(rows, []any{&d.Row, &d.Found, &total}, func() error {
		v.found.name(d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	v.found.Differences += total
	return nil
}

// name keeps a difference if there is room.
func (v *Verification) name(d Difference) {
	if len(v.Named) < maxNamedDifferences {
		v.Named = append(v.Named, d)
	}
}

// differ counts a difference, and names it if there is room.
func (v *verifier) differ(check, row, format string, arguments ...any) {
	v.found.Differences++
	v.found.name(Difference{Check: check, Row: row, Found: fmt.Sprintf(format, arguments...)})
}

const sessionKeysCheck = "a session's identity is of its tenant and its client's id"

// checkSessionKeys computes every session's identity again, one row at a time.
// A text that was repaired to be stored is no longer what the identity was made
// from; it is left out.
func (v *verifier) checkSessionKeys(ctx context.Context) error {
	const query = `
SELECT s.session_no, s.session_id, s.client_id, coalesce(t.name, ''), t.name IS NULL
FROM nexero.sessions s
LEFT JOIN nexero.tenants t USING (tenant_id)`
	rows, err := v.conn.Query(ctx, query)
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
		row := fmt.Sprintf("session no. %d", number)
		normal, ok := event.NormaliseSessionID(clientID)
		switch {
		case noTenant:
			v.differ(sessionKeysCheck, row, "of a tenant that is not there")
		case !ok:
			v.differ(sessionKeysCheck, row, "a client's id that no session can have")
		case event.SessionKey(tenant, normal) != key:
			v.differ(sessionKeysCheck, row, "stored as %s, must be %s", event.UUID(key), event.SessionKey(tenant, normal))
		}
		return nil
	})
	return err
}
