package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

const (
	// rollTimeout bounds one roll-up, against a server that is gone.
	rollTimeout = time.Minute
	// scanFactor is how many touched sessions are looked at for each that is
	// wanted: most of the others were rolled up a moment ago.
	scanFactor = 16
	// maxTouches is how many new batches one roll-up reads. It bounds memory and
	// time: a batch has at most a few thousand events, and a session that nobody
	// ends may have millions of batches to catch up with.
	maxTouches = 1000
	// damagedPause is how long a session that cannot be read is left alone.
	damagedPause = 10 * time.Minute
)

// RollSessions rolls up at most limit sessions that have new rows and are due.
// It looks at touched sessions with numbers above after, at a bounded number of
// them and of what is new of them: the result says where to go on.
//
// It is safe to call from any number of goroutines and processes: a session is
// in one hand at a time. After an error nothing was stored, or, when the
// connection broke during COMMIT, everything.
func (s *Store) RollSessions(ctx context.Context, after int64, limit int, fold facts.Fold) (facts.Rolled, error) {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	candidates, last, err := s.touchedSessions(ctx, after, limit)
	if err != nil {
		return facts.Rolled{}, fmt.Errorf("postgres: find sessions to roll up: %w", err)
	}
	rolled := facts.Rolled{}
	if len(candidates) > 0 {
		if rolled, err = s.rollCandidates(ctx, candidates, nil, fold); err != nil {
			return rolled, fmt.Errorf("postgres: roll up sessions: %w", err)
		}
	}
	rolled.Last = cmp.Or(rolled.Last, last)
	return rolled, nil
}

// backlogLook is how many touches a look at the backlog reads: some
// milliseconds, every few seconds, whatever waits.
const backlogLook = 50_000

// readBacklog counts what one look finds. If that is not all, the server's own
// estimate takes the place of the count; and the oldest one found is not the
// oldest of all, but old: what waits long is not all behind what came since.
const readBacklog = `
SELECT CASE WHEN n < $1 THEN n ELSE greatest(n, (SELECT reltuples::bigint FROM pg_class WHERE oid = 'nexero.session_touches'::regclass)) END,
       coalesce(extract(epoch FROM clock_timestamp() - oldest), 0)::float8
FROM (SELECT count(*) AS n, min(received_at) AS oldest FROM (SELECT received_at FROM nexero.session_touches LIMIT $1) look) found`

// Backlog tells what waits to be rolled up. Of a long backlog it estimates the
// length, and its age is at least what it says.
func (s *Store) Backlog(ctx context.Context) (facts.Backlog, error) {
	var backlog facts.Backlog
	var seconds float64
	if err := s.pool.QueryRow(ctx, readBacklog, s.backlogLook).Scan(&backlog.Batches, &seconds); err != nil {
		return facts.Backlog{}, fmt.Errorf("postgres: what waits for a roll-up: %w", err)
	}
	backlog.Age = time.Duration(max(seconds, 0) * float64(time.Second))
	return backlog, nil
}

// liveGeneration is a scalar subquery, everywhere the same.
const liveGeneration = "(SELECT generation FROM nexero.generations WHERE live)"

// findTouched steps from session to session through the index of touches,
// instead of reading a session's touches one by one. It stops at $3 sessions;
// of those it returns the last one, and which are due.
const findTouched = `
WITH RECURSIVE touched (session_no) AS (
    (SELECT session_no FROM nexero.session_touches WHERE session_no > $1 ORDER BY session_no LIMIT 1)
    UNION ALL
    SELECT (SELECT t.session_no FROM nexero.session_touches t WHERE t.session_no > touched.session_no ORDER BY t.session_no LIMIT 1)
    FROM touched
    WHERE touched.session_no IS NOT NULL
)
SELECT t.session_no, coalesce((
    SELECT f.due_at <= now() AND f.facts_version <= $2
    FROM nexero.session_facts f
    WHERE f.session_no = t.session_no AND f.generation = ` + liveGeneration + `), true)
FROM (SELECT session_no FROM touched LIMIT $3) t
WHERE t.session_no IS NOT NULL`

// touchedSessions returns candidates with numbers above after, and the last
// session it looked at, 0 when there were no more.
func (s *Store) touchedSessions(ctx context.Context, after int64, limit int) (candidates []int64, last int64, err error) {
	rows, err := s.pool.Query(ctx, findTouched, after, facts.Version, limit*scanFactor)
	if err != nil {
		return nil, 0, err
	}
	seen := 0
	full := false
	var number int64
	var due bool
	_, err = pgx.ForEachRow(rows, []any{&number, &due}, func() error {
		if full {
			return nil
		}
		seen++
		last = number
		if due {
			candidates = append(candidates, number)
			full = len(candidates) == limit
		}
		return nil
	})
	if !full && seen < limit*scanFactor {
		last = 0
	}
	return candidates, last, err
}

// rollCandidates rolls up those of the candidates that nobody else has and that
// are due; with sealing set all of them, and seals them.
func (s *Store) rollCandidates(ctx context.Context, candidates []int64, sealing *facts.Expired, fold facts.Fold) (facts.Rolled, error) {
	slices.Sort(candidates)
	if err := s.makeFacts(ctx, candidates); err != nil {
		return facts.Rolled{}, fmt.Errorf("make rows for facts: %w", err)
	}
	crashpoint.At(crashpoint.SessionsMade)
	r := &rollup{store: s, candidates: candidates, sealing: sealing, fold: fold}
	if err := s.inTransaction(ctx, r.run); err != nil {
		return facts.Rolled{Sessions: r.numbers()}, err
	}
	crashpoint.At(crashpoint.SessionsCommitted)
	r.result.Sessions = r.numbers()
	r.result.Ages = r.ages(time.Since(r.began))
	return r.result, nil
}

const makeFacts = `
INSERT INTO nexero.session_facts (session_no, generation, tenant_id)
SELECT s.session_no, ` + liveGeneration + `, s.tenant_id
FROM nexero.sessions s
WHERE s.session_no = ANY($1)
  AND NOT EXISTS (SELECT FROM nexero.session_facts f WHERE f.session_no = s.session_no AND f.generation = ` + liveGeneration + `)
ORDER BY s.session_no
ON CONFLICT DO NOTHING`

// makeFacts makes the rows that a roll-up locks. It is a transaction of its
// own, so that a second roll-up waits for an instant and not for the first one.
func (s *Store) makeFacts(ctx context.Context, candidates []int64) error {
	_, err := s.pool.Exec(ctx, makeFacts, candidates)
	return err
}

// rollup is the state of one transaction. It lives on one goroutine.
type rollup struct {
	store      *Store
	candidates []int64
	sealing    *facts.Expired
	fold       facts.Fold
	conn       *pgx.Conn
	began      time.Time

	generation int16
	claims     []*claim
	result     facts.Rolled
}

// claim is a session that this transaction has locked.
type claim struct {
	facts.Claim
	touches []touch
	// What is stored of it now, as far as it is needed to find its rows and to
	// see what changed.
	receivedFrom, receivedTo *time.Time
	customer, property       *string
	start, end               *time.Time
	pathKept                 bool
	// partial says that there may be touches that this transaction did not take.
	// If it took them after all, rest bounds when their rows were received.
	partial, restTaken bool
	restFrom, restTo   *time.Time
}

// touch names rows that a load has written.
type touch struct {
	session, batch int64
	receivedAt     time.Time
}

// run is the transaction from BEGIN to just before COMMIT.
//
// The order of its statements is what loses nothing, and each must be a
// statement of its own, since in READ COMMITTED a statement sees what was
// committed before it began. The lock comes first: whoever waited for it must
// not go on with an older view of the touches. The touches come before the
// rows: rows that are read have their touch deleted, or, being newer than that
// statement, keep it and are left alone.
func (r *rollup) run(ctx context.Context, conn *pgx.Conn) error {
	r.conn, r.began = conn, time.Now()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"begin", r.begin},
		{"claim", r.claim},
		{"take touches", r.takeTouches},
		{"read", r.read},
		{"fold", r.decide},
		{"store facts", r.storeFacts},
		{"aggregates", r.apply},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	crashpoint.At(crashpoint.SessionsBeforeCommit)
	return nil
}

// begin starts the transaction. Whoever changes a property waits until
// everybody who may have read it has committed. The session's own timeout is
// for loads: reading a session that nobody ends may take longer.
//
// A generic plan would open every partition of the events and lock it. Compiling
// a plan takes longer than these run. And what is read of the events is always a
// small part: statistics of a day that has just begun say otherwise.
func (r *rollup) begin(ctx context.Context) error {
	var batch pgx.Batch
	batch.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	batch.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d", rollTimeout.Milliseconds()))
	batch.Queue("SET LOCAL plan_cache_mode = force_custom_plan")
	batch.Queue("SET LOCAL jit = off")
	batch.Queue("SET LOCAL enable_seqscan = off")
	batch.Queue("SELECT pg_advisory_xact_lock_shared($1)", propertiesLock)
	batch.Queue("SELECT " + liveGeneration).QueryRow(func(row pgx.Row) error { return row.Scan(&r.generation) })
	return r.conn.SendBatch(ctx, &batch).Close()
}

// claimSessions skips sessions in other hands. A session that another roll-up
// has just let go of is looked at again by the server, so that it is not due
// any more. Nobody claims a session folded by definitions that he does not know.
const claimSessions = `
SELECT session_no, tenant_id, now(), rolled_at IS NULL, facts_version = $3, sealed, path_kept, recomputes, recompute_at,
       first_received_at, last_received_at, customer_id, property_id, started_at, ended_at, state, contributions
FROM nexero.session_facts
WHERE session_no = ANY($1) AND generation = $2 AND facts_version <= $3 AND (due_at <= now() OR $4)
ORDER BY session_no
FOR UPDATE SKIP LOCKED`

func (r *rollup) claim(ctx context.Context) error {
	rows, err := r.conn.Query(ctx, claimSessions, r.candidates, r.generation, facts.Version, r.sealing != nil)
	if err != nil {
		return err
	}
	r.claims, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*claim, error) {
		c := &claim{}
		var now, recomputeAt time.Time
		var known bool
		var state, contributions []byte
		err := row.Scan(&c.SessionNo, &c.TenantID, &now, &c.New, &known, &c.Sealed, &c.pathKept, &c.Recomputes, &recomputeAt,
			&c.receivedFrom, &c.receivedTo, &c.customer, &c.property, &c.start, &c.end, &state, &contributions)
		if err != nil {
			return nil, err
		}
		c.Now, c.RecomputeAt = event.MicrosOf(now), event.MicrosOf(recomputeAt)
		c.Seal, c.ForgetPath = r.sealing != nil, r.sealing != nil && r.sealing.Poses
		if err := c.decode(known, state, contributions); err != nil {
			// One damaged row must not keep all others waiting.
			r.store.log.ErrorContext(ctx, "session cannot be rolled up: what is stored of it is damaged",
				slog.Int64("session_no", c.SessionNo), slog.Any("error", err))
			c.Result = facts.Result{Postponed: true, Due: c.Now + event.Micros(damagedPause.Microseconds())}
		}
		return c, nil
	})
	return err
}

// decode reads what the last roll-up left. A state that cannot be read is made
// anew, unless the raw events that it stands for are gone; contributions that
// cannot be read could never be taken back.
func (c *claim) decode(known bool, state, contributions []byte) (err error) {
	if c.New {
		return nil
	}
	if c.Contributed, err = facts.DecodeContributions(contributions); err != nil {
		return fmt.Errorf("contributions: %w", err)
	}
	if !known && !c.Sealed {
		return nil
	}
	if c.State, err = facts.Decode(state); err != nil && c.Sealed {
		return fmt.Errorf("state of a sealed session: %w", err)
	}
	return nil
}

// takeTouches takes a session's oldest touches first: the rest of them, which
// the next roll-up takes, then mostly extends what this one has folded.
const takeTouches = `
DELETE FROM nexero.session_touches
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM nexero.session_touches WHERE session_no = ANY($1) ORDER BY session_no, received_at LIMIT $2))
RETURNING session_no, batch_no, received_at`

// takeTouches takes what loads have left for the claimed sessions, as much as
// one roll-up should read. Sessions for which nothing is left are let go.
func (r *rollup) takeTouches(ctx context.Context) error {
	crashpoint.At(crashpoint.SessionsLocked)
	byNumber := make(map[int64]*claim, len(r.claims))
	var numbers []int64
	for _, c := range r.claims {
		if !c.Result.Postponed {
			byNumber[c.SessionNo] = c
			numbers = append(numbers, c.SessionNo)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	rows, err := r.conn.Query(ctx, takeTouches, numbers, maxTouches)
	if err != nil {
		return err
	}
	var t touch
	taken, last := 0, int64(0)
	_, err = pgx.ForEachRow(rows, []any{&t.session, &t.batch, &t.receivedAt}, func() error {
		c := byNumber[t.session]
		c.touches = append(c.touches, t)
		taken, last = taken+1, max(last, t.session)
		return nil
	})
	if err != nil {
		return err
	}
	full := taken == maxTouches
	if full {
		c := byNumber[last]
		c.partial, r.result.Last = true, last
		// Its rows cannot be dropped before all of them are folded.
		c.Seal, c.ForgetPath = false, false
	}
	r.claims = slices.DeleteFunc(r.claims, func(c *claim) bool {
		// Else somebody rolled it up between our look and our lock.
		wanted := len(c.touches) > 0 || c.Result.Postponed || c.Seal
		return !wanted || full && c.SessionNo > last
	})
	return nil
}

const takeRest = `
WITH taken AS (DELETE FROM nexero.session_touches WHERE session_no = $1 RETURNING received_at)
SELECT min(received_at), max(received_at) FROM taken`

// takeRest takes all touches of a session that is about to be read as a whole:
// it would be read again for each part of them.
func (r *rollup) takeRest(ctx context.Context, c *claim) error {
	if err := r.conn.QueryRow(ctx, takeRest, c.SessionNo).Scan(&c.restFrom, &c.restTo); err != nil {
		return err
	}
	c.restTaken = true
	return nil
}

// numbers are those of the claims.
func (r *rollup) numbers() []int64 {
	numbers := make([]int64, len(r.claims))
	for i, c := range r.claims {
		numbers[i] = c.SessionNo
	}
	return numbers
}

// decide lets the caller fold what was read.
func (r *rollup) decide(ctx context.Context) error {
	crashpoint.At(crashpoint.SessionsRead)
	var open []*facts.Claim
	for _, c := range r.claims {
		if !c.Result.Postponed {
			open = append(open, &c.Claim)
		}
	}
	if len(open) == 0 {
		return nil
	}
	for _, c := range open {
		r.result.Events += len(c.Events)
	}
	return r.fold(open, func(claims []*facts.Claim) error { return r.readWhole(ctx, claims) })
}
