package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/facts"
)

const (
	// shortestSessions is the least that sessions are kept. Loads trust their
	// memory of a session for sessionTrust after it was first received, so the
	// rest of it is for clocks that differ and processes that were frozen.
	shortestSessions = 7 * 24 * time.Hour
	sessionTrust     = 3 * 24 * time.Hour

	// forgetSessions bounds one step: some tenths of a second, in which a load of
	// one of these sessions has to wait.
	forgetSessions = 200
	// lookSessions is how many old sessions one step looks at. Most can go; those
	// that are still in use stay and are looked at in each round.
	lookSessions = 2000
)

// forgettable says of a session s with facts f that it is old and settled: the
// last of it was received before $1, of its days of receipt none is among those
// with raw events, $3, nothing waits for a roll-up, and no rejected event of it
// can be replayed. One that is not sealed has no events. One without facts has
// nothing but its name. The looks into other tables are no EXISTS, for which the
// server may prefer to read a table as a whole.
const forgettable = `greatest(f.last_received_at, s.first_received_at) < $1
   AND CASE WHEN f.session_no IS NULL
            THEN NOT coalesce((SELECT true FROM nexero.session_reports r WHERE r.session_no = s.session_no LIMIT 1), false)
            ELSE f.rolled_at IS NOT NULL AND f.facts_version <= $2 AND (f.sealed OR f.events + f.over_limit = 0) END
   AND NOT coalesce((SELECT true FROM unnest($3::date[]) AS d (day)
                     WHERE d.day BETWEEN (least(f.first_received_at, s.first_received_at) AT TIME ZONE 'UTC')::date
                                     AND (greatest(f.last_received_at, s.first_received_at) AT TIME ZONE 'UTC')::date LIMIT 1), false)
   AND NOT coalesce((SELECT true FROM nexero.session_touches t WHERE t.session_no = s.session_no LIMIT 1), false)
   AND NOT coalesce((SELECT true FROM nexero.rejected_events e WHERE e.session_id = s.session_id LIMIT 1), false)`

// withLiveFacts joins sessions s with their facts f, one by one: by itself the
// server may prefer to read all facts there are.
const withLiveFacts = `
LEFT JOIN LATERAL (
    SELECT session_no, rolled_at, facts_version, sealed, events, over_limit, first_received_at, last_received_at
    FROM nexero.session_facts WHERE session_no = s.session_no AND generation = ` + liveGeneration + ` LIMIT 1
) f ON true`

// findForgettableSessions looks at sessions from the oldest on. Whose first
// receipt is not old, is not old.
const findForgettableSessions = `
SELECT s.session_no, s.first_received_at, ` + forgettable + `
FROM (SELECT session_no, session_id, first_received_at FROM nexero.sessions
      WHERE first_received_at < $1 AND (first_received_at, session_no) > ($4, $5)
      ORDER BY first_received_at, session_no LIMIT $6) s` + withLiveFacts + `
ORDER BY s.first_received_at, s.session_no`

// forgetCursor remembers how far a round of forgetting has come, and how many
// sessions a step may take: after an error fewer, until the one that fails by
// itself is found and left behind.
type forgetCursor struct {
	mu sync.Mutex
	forgetPlace
	limit int
}

// forgetPlace is a session in the order of forgetting; the zero value comes
// before all.
type forgetPlace struct {
	first time.Time
	no    int64
}

// ForgetSessions deletes some sessions that are no longer kept, oldest first,
// with all that is stored of them, and returns how many and whether there may be
// more. What they added to the aggregates stays there, and is moved from their
// facts to nexero.past_contributions in the same transaction. Customers of
// theirs are touched: their roll-up does the same for what they added.
//
// Any number of processes may call it, beside loads and roll-ups: it waits for
// none of them and skips what they hold. After an error nothing was deleted, or,
// when the connection broke during COMMIT, everything; the next call takes
// fewer, and leaves a single one that fails to the next round.
func (s *Store) ForgetSessions(ctx context.Context) (sessions int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	c := &s.forgotten
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == 0 {
		c.limit = forgetSessions
	}
	f, err := s.oldSessions(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("postgres: find sessions to forget: %w", err)
	}
	candidates, next, err := f.find(ctx, c)
	if err != nil {
		return 0, false, fmt.Errorf("postgres: find sessions to forget: %w", err)
	}
	if len(candidates) > 0 {
		f.candidates = candidates
		if err := s.inTransaction(ctx, f.run); err != nil {
			if len(candidates) == 1 && ctx.Err() == nil {
				c.forgetPlace = next
			}
			c.limit = max(len(candidates)/2, 1)
			return 0, true, fmt.Errorf("postgres: forget %d sessions from no. %d on: %w", len(candidates), candidates[0], err)
		}
		crashpoint.At(crashpoint.OldSessionsCommitted)
	}
	c.limit = min(2*c.limit, forgetSessions)
	c.forgetPlace = next
	return int64(len(f.deleted)), next != forgetPlace{}, nil
}

// sessionForgetting is the state of one step. It lives on one goroutine.
type sessionForgetting struct {
	store *Store
	// before is the time before which the last of a session was received if it is
	// old; days are those that still have raw events.
	before     time.Time
	days       []time.Time
	candidates []int64

	conn *pgx.Conn
	// locked says how many rows of facts of a locked session are locked, and added
	// what they have contributed.
	locked  map[int64]int
	added   map[int64][]ownContributions
	deleted []int64
}

// oldSessions begins a step.
func (s *Store) oldSessions(ctx context.Context) (*sessionForgetting, error) {
	now, err := s.readClock(ctx)
	if err == nil {
		err = trustClock(now, time.Now())
	}
	if err != nil {
		return nil, err
	}
	f := &sessionForgetting{store: s, before: now.Add(-s.config.SessionRetention)}
	found, err := rawDays(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	for r := range found {
		if r.holdsEvents() && r.day.start().Before(f.before) {
			f.days = append(f.days, r.day.start())
		}
	}
	return f, nil
}

// find returns candidates from the cursor on and where the next step goes on:
// nowhere, when all were looked at.
func (f *sessionForgetting) find(ctx context.Context, c *forgetCursor) (candidates []int64, next forgetPlace, err error) {
	rows, err := f.store.pool.Query(ctx, findForgettableSessions, f.before, facts.Version, f.days, c.first, c.no, lookSessions)
	if err != nil {
		return nil, forgetPlace{}, err
	}
	looked, full := 0, false
	var at forgetPlace
	var fit bool
	_, err = pgx.ForEachRow(rows, []any{&at.no, &at.first, &fit}, func() error {
		if full {
			return nil
		}
		looked++
		next = at
		if fit {
			candidates = append(candidates, at.no)
			full = len(candidates) == c.limit
		}
		return nil
	})
	if !full && looked < lookSessions {
		next = forgetPlace{}
	}
	return candidates, next, err
}

// run is the transaction from BEGIN to just before COMMIT.
//
// A load of an old session locks it before it writes anything of it, and leaves
// a touch; a roll-up locks its facts; whoever changes a property waits for us. So
// with these locks, and in a statement after them, a session that is forgettable
// stays so.
func (f *sessionForgetting) run(ctx context.Context, conn *pgx.Conn) error {
	f.conn = conn
	f.deleted = nil
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"begin", f.begin},
		{"lock", f.lock},
		{"look again", f.lookAgain},
		{"look at their sums", f.leaveDamagedPast},
		{"delete", f.delete},
		{"keep their sums", f.keep},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	crashpoint.At(crashpoint.OldSessionsBeforeCommit)
	return nil
}

func (f *sessionForgetting) begin(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	batch.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", rollTimeout.Milliseconds()))
	batch.Queue("SELECT pg_advisory_xact_lock_shared($1)", propertiesLock)
	return f.conn.SendBatch(ctx, &batch).Close()
}

const (
	lockOldSessions = `
SELECT session_no FROM nexero.sessions WHERE session_no = ANY($1) ORDER BY session_id FOR UPDATE SKIP LOCKED`
	// Of every generation: all of them have added to something.
	lockOldFacts = `
SELECT session_no, generation, tenant_id, contributions
FROM nexero.session_facts WHERE session_no = ANY($1) ORDER BY session_no, generation FOR UPDATE SKIP LOCKED`
)

// lock locks the candidates that nobody else has.
func (f *sessionForgetting) lock(ctx context.Context) error {
	rows, err := f.conn.Query(ctx, lockOldSessions, f.candidates)
	if err != nil {
		return err
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	f.locked = make(map[int64]int, len(numbers))
	for _, number := range numbers {
		f.locked[number] = 0
	}
	if rows, err = f.conn.Query(ctx, lockOldFacts, numbers); err != nil {
		return err
	}
	f.added = make(map[int64][]ownContributions, len(numbers))
	var number int64
	var own ownContributions
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&number, &own.generation, &own.tenant, &stored}, func() error {
		f.locked[number]++
		if stored == nil {
			return nil
		}
		var err error
		if own.rows, err = facts.DecodeContributions(stored); err != nil {
			// What cannot be read cannot be kept, and what is not kept would be
			// missed in the sums: the session stays.
			f.store.log.ErrorContext(ctx, "session is kept longer than it should be: what it has contributed is damaged",
				slog.Int64("session_no", number), slog.Any("error", err))
			f.locked[number] = -1
			return nil
		}
		f.added[number] = append(f.added[number], own)
		return nil
	})
	crashpoint.At(crashpoint.OldSessionsLocked)
	return err
}

const lookAgain = `
SELECT s.session_no, (SELECT count(*) FROM nexero.session_facts a WHERE a.session_no = s.session_no)
FROM nexero.sessions s` + withLiveFacts + `
WHERE s.session_no = ANY($4) AND ` + forgettable

// lookAgain keeps those that are still forgettable and whose facts are in our
// hands.
func (f *sessionForgetting) lookAgain(ctx context.Context) error {
	rows, err := f.conn.Query(ctx, lookAgain, f.before, facts.Version, f.days, f.candidates)
	if err != nil {
		return err
	}
	var nameless []int64
	var number int64
	var factsRows int
	_, err = pgx.ForEachRow(rows, []any{&number, &factsRows}, func() error {
		locked, ours := f.locked[number]
		switch {
		case !ours || locked != factsRows:
		case locked == 0:
			nameless = append(nameless, number)
		default:
			f.deleted = append(f.deleted, number)
		}
		return nil
	})
	if err != nil || len(nameless) == 0 {
		return err
	}
	return f.addNames(ctx, nameless)
}

// addNames adds sessions of which there is nothing but the name, as of one all
// of whose events were refused. Rows that are in nobody's facts would be left
// without their session: verify names them, and they stay.
func (f *sessionForgetting) addNames(ctx context.Context, names []int64) error {
	const query = `
SELECT n.session_no FROM unnest($1::bigint[]) AS n (session_no)
WHERE NOT coalesce((SELECT true FROM nexero.events e WHERE e.session_no = n.session_no LIMIT 1), false)`
	rows, err := f.conn.Query(ctx, query, names)
	if err != nil {
		return err
	}
	empty, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	f.deleted = append(f.deleted, empty...)
	return err
}

// deleteOldFacts tells customers who has departed, by a touch as roll-ups do.
const (
	deleteOldFacts = `
WITH gone AS (
    DELETE FROM nexero.session_facts WHERE session_no = ANY($1)
    RETURNING tenant_id, customer_id, generation, property_id, started_at, ended_at
), departed AS (
    INSERT INTO nexero.customer_departures (tenant_id, customer_id, generation, property_id, started_at, ended_at)
    SELECT tenant_id, customer_id, generation, property_id, started_at, ended_at FROM gone
    WHERE customer_id IS NOT NULL AND started_at IS NOT NULL
    RETURNING tenant_id, customer_id
)
INSERT INTO nexero.customer_touches (tenant_id, customer_id)
SELECT DISTINCT tenant_id, customer_id FROM departed`
	deleteOldReports  = `DELETE FROM nexero.session_reports WHERE session_no = ANY($1)`
	deleteOldSessions = `DELETE FROM nexero.sessions WHERE session_no = ANY($1)`
)

func (f *sessionForgetting) delete(ctx context.Context) error {
	if len(f.deleted) == 0 {
		return nil
	}
	var batch pgx.Batch
	batch.Queue(deleteOldFacts, f.deleted)
	batch.Queue(deleteOldReports, f.deleted)
	batch.Queue(deleteOldSessions, f.deleted).Exec(wantRows(len(f.deleted)))
	err := f.conn.SendBatch(ctx, &batch).Close()
	crashpoint.At(crashpoint.OldSessionsDeleted)
	return err
}
