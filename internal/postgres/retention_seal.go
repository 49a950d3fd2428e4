package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/facts"
)

// SealSessions rolls up and seals at most limit sessions that have rows in an
// expired partition and still need them. Each of its transactions is like one
// of [Store.RollSessions], but takes sessions that are not due. None claimed
// means that the partition can be dropped as far as sessions are concerned; a
// session that others keep from being sealed is an error.
//
// It may be called by any number of goroutines and processes, and be repeated
// after an error.
func (s *Store) SealSessions(ctx context.Context, expired facts.Expired, limit int, fold facts.Fold) (facts.Rolled, error) {
	r, ok := parseRawDay(expired.Partition)
	if !ok {
		return facts.Rolled{}, fmt.Errorf("postgres: seal sessions of %q: no partition of ours has this name", expired.Partition)
	}
	if !r.holdsEvents() {
		return facts.Rolled{}, nil
	}
	expired = facts.Expired{Partition: r.name(), Poses: r.table == posesTable}
	rolled, err := s.sealSessions(ctx, r, &expired, limit, fold)
	if err != nil {
		return rolled, fmt.Errorf("postgres: seal sessions of %s: %w", r.name(), err)
	}
	return rolled, nil
}

// sealSessions tries until it has sealed something or there is nothing to seal.
// Sessions in other hands are free within the time that a transaction may take.
func (s *Store) sealSessions(
	ctx context.Context, r rawDay, expired *facts.Expired, limit int, fold facts.Fold,
) (facts.Rolled, error) {
	for giveUp := time.Now().Add(s.config.LockTimeout); ; {
		candidates, err := s.unsealed(ctx, r, limit)
		if err != nil || len(candidates) == 0 {
			return facts.Rolled{}, err
		}
		rolled, err := s.sealCandidates(ctx, candidates, expired, fold)
		if err != nil || rolled.Claimed > rolled.Postponed {
			return rolled, err
		}
		if time.Now().After(giveUp) {
			return rolled, fmt.Errorf("%d sessions or more cannot be sealed now: other roll-ups hold them, "+
				"a newer version has folded them, or they are damaged; the first is no. %d", len(candidates), candidates[0])
		}
		select {
		case <-ctx.Done():
			return rolled, ctx.Err()
		case <-time.After(lockWait):
		}
	}
}

func (s *Store) sealCandidates(ctx context.Context, candidates []int64, expired *facts.Expired, fold facts.Fold) (facts.Rolled, error) {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	return s.rollCandidates(ctx, candidates, expired, fold)
}

// sealCursor remembers how far the sessions of a partition have been sealed, so
// that sealing n of them does not look n times at the first one. It is only a
// hint: nothing is believed to be sealed until a look from the first session on
// has found nothing.
type sealCursor struct {
	mu   sync.Mutex
	day  rawDay
	last int64
}

func (c *sealCursor) at(r rawDay) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.day != r {
		return 0
	}
	return c.last
}

func (c *sealCursor) set(r rawDay, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.day, c.last = r, last
}

// unsealed returns at most limit sessions with rows in an attached partition
// that are not sealed.
func (s *Store) unsealed(ctx context.Context, r rawDay, limit int) ([]int64, error) {
	days, err := rawDays(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	// Rows of a detached table would be missing from what is folded: Drop decides
	// about it.
	if state, there := days[r]; !there || state != attached {
		return nil, nil
	}
	from := s.sealing.at(r)
	for {
		found, err := findUnsealed(ctx, s.pool, r, from, limit)
		if isUndefinedTable(err) {
			return nil, nil // dropped by another process since we looked
		}
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			s.sealing.set(r, found[len(found)-1])
			return found, nil
		}
		if from == 0 {
			return nil, nil
		}
		from = 0
	}
}

// allUnsealed returns all sessions that need the partition's rows.
func allUnsealed(ctx context.Context, conn *pgx.Conn, r rawDay) ([]int64, error) {
	if !r.holdsEvents() {
		return nil, nil
	}
	found, err := findUnsealed(ctx, conn, r, 0, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("look for sessions that are not sealed: %w", err)
	}
	return found, nil
}

// sessionsAtOnce is how many sessions one statement looks at, well within the
// statement's timeout.
const sessionsAtOnce = 10_000

// lookForUnsealed steps from session to session through the index of the
// partition %s, and tells of each whether it needs the partition's rows: it is
// not sealed, its path is not forgotten, or some of the rows are in nobody's
// facts yet. A sealed session too can have such rows, when they were loaded late
// in their day's time. These are no EXISTS, for which the server may prefer to
// read the partition as a whole.
const lookForUnsealed = `
WITH RECURSIVE held (session_no) AS (
    (SELECT session_no FROM %[1]s WHERE session_no > $1 ORDER BY session_no LIMIT 1)
    UNION ALL
    SELECT (SELECT e.session_no FROM %[1]s e WHERE e.session_no > held.session_no ORDER BY e.session_no LIMIT 1)
    FROM held
    WHERE held.session_no IS NOT NULL
)
SELECT h.session_no,
       NOT coalesce((SELECT f.sealed AND NOT (f.path_kept AND $3) FROM nexero.session_facts f
                     WHERE f.session_no = h.session_no AND f.generation = ` + liveGeneration + `), false)
       OR coalesce((SELECT true FROM nexero.session_touches t
                    WHERE t.session_no = h.session_no AND t.received_at >= '%[2]s 00:00:00+00' AND t.received_at < '%[3]s 00:00:00+00'
                      AND (SELECT true FROM %[1]s e
                           WHERE e.session_no = t.session_no AND e.batch_no = t.batch_no AND e.received_at = t.received_at LIMIT 1)
                    LIMIT 1), false)
FROM (SELECT session_no FROM held LIMIT $2) h
WHERE h.session_no IS NOT NULL`

func unsealedQuery(r rawDay) string {
	return fmt.Sprintf(lookForUnsealed, qualified(r.name()), r.day, r.day+1)
}

// findUnsealed returns at most limit sessions with numbers above after, in
// order, that need the rows of the partition, attached or not.
func findUnsealed(ctx context.Context, q querier, r rawDay, after int64, limit int) (found []int64, err error) {
	query := unsealedQuery(r)
	for more := true; more && len(found) < limit; {
		rows, err := q.Query(ctx, query, after, sessionsAtOnce, r.table == posesTable)
		if err != nil {
			return nil, err
		}
		looked := 0
		var needed bool
		_, err = pgx.ForEachRow(rows, []any{&after, &needed}, func() error {
			looked++
			if needed && len(found) < limit {
				found = append(found, after)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		more = looked == sessionsAtOnce
	}
	return found, nil
}

func isUndefinedTable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "42P01"
}
