package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// lockFactor is how many candidates there are for each customer that is wanted,
// so that roll-ups at the same time find customers in nobody's hands.
const lockFactor = 4

// customerPause is how long a customer is left alone who cannot be rolled up.
const customerPause = 10 * time.Minute

// RollCustomers brings at most limit customers up to date one of whose sessions
// changed, and returns how many, or with an error how many it had claimed: one of
// them may be more than can be done in a minute, or something that the database
// refuses, so the caller asks for fewer next time. One that fails alone in such a
// way is left alone for ten minutes, by everybody. RollCustomers also moves what
// loads have counted of the data's quality into its sums.
//
// It is safe to call from any number of goroutines and processes: a customer is
// in one hand at a time. After an error nothing of that transaction was stored,
// or, when the connection broke during COMMIT, everything.
func (s *Store) RollCustomers(ctx context.Context, limit int) (customers int, err error) {
	if err = s.moveQualityInTime(ctx); err != nil {
		err = fmt.Errorf("postgres: move data quality: %w", err)
	}
	customers, rollErr := s.rollCustomers(ctx, limit)
	if rollErr != nil {
		rollErr = fmt.Errorf("postgres: roll up customers: %w", rollErr)
	}
	return customers, errors.Join(err, rollErr)
}

// customerDue spaces the roll-ups of a customer with very many sessions, such as
// the one name that a showroom gives everybody: all of them are read each time,
// at 5 to 25 us each, and that must not be all that roll-ups do.
const customerDue = `coalesce(f.rolled_at + greatest(f.sessions - 1000, 0) * interval '200 us' <= now(), true)
    AND coalesce(f.due_at <= now(), true)`

// findTouchedCustomers steps from customer to customer through the index of
// touches, and that of departures, through at most $1 of them. A departure comes
// with a touch; one whose touch was taken by somebody who knows of no
// departures, as a worker of an older version, is found all the same.
const findTouchedCustomers = `
WITH RECURSIVE touched (tenant_id, customer_id) AS (
    (SELECT tenant_id, customer_id FROM (
        (SELECT tenant_id, customer_id FROM nexero.customer_touches ORDER BY tenant_id, customer_id LIMIT 1)
        UNION ALL
        (SELECT tenant_id, customer_id FROM nexero.customer_departures WHERE generation = ` + liveGeneration + `
         ORDER BY tenant_id, customer_id LIMIT 1)
    ) f ORDER BY tenant_id, customer_id LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.customer_id
    FROM touched
    CROSS JOIN LATERAL (
        SELECT b.tenant_id, b.customer_id FROM (
            (SELECT t.tenant_id, t.customer_id FROM nexero.customer_touches t
             WHERE (t.tenant_id, t.customer_id) > (touched.tenant_id, touched.customer_id)
             ORDER BY t.tenant_id, t.customer_id LIMIT 1)
            UNION ALL
            (SELECT d.tenant_id, d.customer_id FROM nexero.customer_departures d
             WHERE (d.tenant_id, d.customer_id) > (touched.tenant_id, touched.customer_id) AND d.generation = ` + liveGeneration + `
             ORDER BY d.tenant_id, d.customer_id LIMIT 1)
        ) b ORDER BY b.tenant_id, b.customer_id LIMIT 1
    ) n
)
SELECT t.tenant_id, t.customer_id
FROM (SELECT tenant_id, customer_id FROM touched LIMIT $1) t
LEFT JOIN nexero.customer_facts f
       ON f.tenant_id = t.tenant_id AND f.customer_id = t.customer_id AND f.generation = ` + liveGeneration + `
WHERE f.tenant_id IS NULL OR (f.facts_version <= $2 AND ` + customerDue + `)
LIMIT $3`

// makeCustomerFacts leaves alone what is there, so that it waits for nobody who
// is deleting it.
const makeCustomerFacts = `
INSERT INTO nexero.customer_facts (tenant_id, customer_id, generation)
SELECT n.tenant_id, n.customer_id, ` + liveGeneration + `
FROM unnest($1::integer[], $2::text[]) AS n (tenant_id, customer_id)
WHERE NOT EXISTS (
    SELECT FROM nexero.customer_facts f
    WHERE f.tenant_id = n.tenant_id AND f.customer_id = n.customer_id AND f.generation = ` + liveGeneration + `)
ORDER BY n.tenant_id, n.customer_id COLLATE "C"
ON CONFLICT DO NOTHING`

func (s *Store) moveQualityInTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	return s.moveQuality(ctx)
}

// rollCustomers makes one roll-up of customers.
func (s *Store) rollCustomers(ctx context.Context, limit int) (int, error) {
	r := &customerRollup{store: s, limit: limit}
	inTime, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	err := s.tryCustomers(inTime, r)
	if err == nil {
		return len(r.claims), nil
	}
	claimed := len(r.locked.tenants)
	if claimed == 1 && ctx.Err() == nil && byItself(err) {
		err = errors.Join(err, s.leaveCustomer(ctx, r, err))
	}
	return claimed, err
}

// byItself reports whether an error says something about what was rolled up, and
// not about the server or the way to it.
func byItself(err error) bool {
	if errors.Is(err, errDamagedPast) {
		return true
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "57014" || errors.Is(err, context.DeadlineExceeded) || dataError(err) != nil
}

// leaveCustomer keeps the one customer that r has failed with from being all that
// roll-ups of customers do.
func (s *Store) leaveCustomer(ctx context.Context, r *customerRollup, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.StatementTimeout)
	defer cancel()
	const query = `
UPDATE nexero.customer_facts SET due_at = now() + $3::interval
WHERE tenant_id = $1 AND customer_id = $2 AND generation = ` + liveGeneration
	tenant := r.locked.tenants[0]
	if _, err := s.pool.Exec(ctx, query, tenant, r.locked.customers[0], customerPause); err != nil {
		return fmt.Errorf("leave the customer alone: %w", err)
	}
	// Who it is belongs into no log.
	s.log.ErrorContext(ctx, "customer cannot be rolled up and is left alone for a while; its numbers are behind",
		slog.Int("tenant_id", int(tenant)), slog.Duration("pause", customerPause), slog.Any("error", cause))
	return nil
}

func (s *Store) tryCustomers(ctx context.Context, r *customerRollup) error {
	limit := r.limit
	rows, err := s.pool.Query(ctx, findTouchedCustomers, limit*scanFactor, facts.Version, limit*lockFactor)
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	var key customerKey
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.customer}, func() error {
		r.candidates.add(key)
		return nil
	})
	if err != nil {
		return fmt.Errorf("find: %w", err)
	}
	if len(r.candidates.tenants) == 0 {
		return nil
	}
	// Rows are made in a transaction of their own, so that a second roll-up waits
	// for an instant and not for the first one.
	if _, err := s.pool.Exec(ctx, makeCustomerFacts, r.candidates.tenants, r.candidates.customers); err != nil {
		return fmt.Errorf("make rows for facts: %w", err)
	}
	crashpoint.At(crashpoint.CustomersMade)
	if err := s.inTransaction(ctx, r.run); err != nil {
		return err
	}
	crashpoint.At(crashpoint.CustomersCommitted)
	return nil
}

// customerKeys are names of customers as two parameters.
type customerKeys struct {
	tenants   []int32
	customers []string
}

func (k *customerKeys) add(key customerKey) {
	k.tenants, k.customers = append(k.tenants, key.tenant), append(k.customers, key.customer)
}

// customerRollup is the state of one transaction. It lives on one goroutine.
type customerRollup struct {
	store      *Store
	limit      int
	candidates customerKeys

	conn       *pgx.Conn
	generation int16
	locked     customerKeys
	damaged    customerKeys
	claims     map[customerKey]*customerClaim
	properties map[int32]map[string]facts.Property // by tenant
}

// customerClaim is a customer that this transaction has locked.
type customerClaim struct {
	contributed, result facts.Contributions
	sessions            []facts.CustomerSession
	// departed sessions were deleted since the last roll-up. firstEnd is the first
	// end of those before them, shared what those and sessions have both counted.
	// past is what nobody but deleted sessions has counted.
	departed     []facts.CustomerSession
	firstEnd     event.Micros
	shared, past facts.Contributions
}

// run is the transaction from BEGIN to just before COMMIT. Each step is a
// statement of its own, in this order: two sessions of one customer can change
// at the same time, and whoever rolls the customer up last has to see both.
// Whoever waited for the lock reads what was committed meanwhile; and a session
// that is committed after it was looked for has left a touch that was not
// deleted.
func (r *customerRollup) run(ctx context.Context, conn *pgx.Conn) error {
	r.conn = conn
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"begin", r.begin},
		{"claim", r.claim},
		{"take touches", r.takeTouches},
		{"read sessions", r.readSessions},
		{"read properties", r.readProperties},
		{"store facts", r.storeFacts},
		{"aggregates", r.apply},
		{"keep what is past", r.keepPast},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	crashpoint.At(crashpoint.CustomersBeforeCommit)
	return nil
}

// begin starts the transaction. The session's own timeout is for loads: reading
// a million sessions of one customer may take longer.
func (r *customerRollup) begin(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	batch.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", rollTimeout.Milliseconds()))
	batch.Queue("SELECT pg_advisory_xact_lock_shared($1)", propertiesLock)
	batch.Queue("SELECT " + liveGeneration).QueryRow(func(row pgx.Row) error { return row.Scan(&r.generation) })
	return r.conn.SendBatch(ctx, &batch).Close()
}

func (r *customerRollup) readProperties(ctx context.Context) error {
	crashpoint.At(crashpoint.CustomersRead)
	r.properties = make(map[int32]map[string]facts.Property)
	var tenants []int32
	var names []string
	for key, c := range r.claims {
		known := r.properties[key.tenant]
		if known == nil {
			known = make(map[string]facts.Property)
			r.properties[key.tenant] = known
		}
		for _, sessions := range [][]facts.CustomerSession{c.sessions, c.departed} {
			for i := range sessions {
				name := sessions[i].PropertyID
				if _, asked := known[name]; asked || name == "" {
					continue
				}
				known[name] = facts.Property{}
				tenants, names = append(tenants, key.tenant), append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.store.eachProperty(ctx, r.conn, tenants, names, func(tenant int32, id string, property facts.Property) {
		r.properties[tenant][id] = property
	})
}

const updateCustomerFacts = `
UPDATE nexero.customer_facts f
SET facts_version = $4, rolled_at = now(), due_at = NULL, sessions = n.sessions, contributions = n.contributions,
    first_end = n.first_end, shared = n.shared
FROM unnest($1::integer[], $2::text[], $5::bigint[], $6::bytea[], $7::timestamptz[], $8::bytea[])
  AS n (tenant_id, customer_id, sessions, contributions, first_end, shared)
WHERE f.tenant_id = n.tenant_id AND f.customer_id = n.customer_id AND f.generation = $3`

const deleteCustomerFacts = `
DELETE FROM nexero.customer_facts f
USING unnest($1::integer[], $2::text[]) AS n (tenant_id, customer_id)
WHERE f.tenant_id = n.tenant_id AND f.customer_id = n.customer_id AND f.generation = $3`

// storeFacts writes what each customer means now, and deletes those who have no
// session any more. All rows are locked.
func (r *customerRollup) storeFacts(ctx context.Context) error {
	var kept, gone customerKeys
	var sessions []int64
	var contributions, shared [][]byte
	var firstEnds []*time.Time
	for key, c := range r.claims {
		c.count(r.properties[key.tenant])
		if len(c.sessions) == 0 {
			gone.add(key)
			continue
		}
		kept.add(key)
		firstEnds, shared = append(firstEnds, storedFirstEnd(c.firstEnd)), append(shared, storedShared(c.shared))
		sessions, contributions = append(sessions, int64(len(c.sessions))), append(contributions, c.result.Append(nil))
	}
	var batch pgx.Batch
	if n := len(kept.tenants); n > 0 {
		batch.Queue(updateCustomerFacts, kept.tenants, kept.customers, r.generation, facts.Version, sessions, contributions, firstEnds, shared).Exec(wantRows(n))
	}
	if n := len(gone.tenants); n > 0 {
		batch.Queue(deleteCustomerFacts, gone.tenants, gone.customers, r.generation).Exec(wantRows(n))
	}
	if batch.Len() == 0 {
		return nil
	}
	return r.conn.SendBatch(ctx, &batch).Close()
}

// apply adds what the customers contribute now, with what is past, less what
// they had contributed.
func (r *customerRollup) apply(ctx context.Context) error {
	crashpoint.At(crashpoint.CustomersStored)
	differences := make(tenantLists)
	for key, c := range r.claims {
		differences.add(key.tenant, facts.Difference(facts.Add(c.result, c.past), c.contributed))
	}
	return applyDifferences(ctx, r.conn, r.generation, differences.sums())
}

// keepPast keeps what stays in the aggregates for sessions that are gone.
func (r *customerRollup) keepPast(ctx context.Context) error {
	past := make(tenantLists)
	for key, c := range r.claims {
		past.add(key.tenant, c.past)
	}
	return keepPast(ctx, r.conn, r.generation, past.sums())
}
