package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
)

// freshSessions are the deliveries whose sessions a load needs, and the numbers
// it found out. They go into the Store's cache after COMMIT only: a number that
// was rolled back must never be used again.
type freshSessions struct {
	deliveries []*delivery
	numbers    map[event.UUID]int64
}

// want asks for the sessions of d. It may be called again for the same d.
func (f *freshSessions) want(d *delivery) {
	if d.sessions == nil {
		d.sessions = make([]int64, len(d.batch.Sessions))
		d.touched = make([]bool, len(d.batch.Sessions))
		f.deliveries = append(f.deliveries, d)
	}
}

func (f *freshSessions) remember(cache *lru.Cache[event.UUID, int64]) {
	for key, number := range f.numbers {
		cache.Add(key, number)
	}
}

// insertSessions takes its locks in the order of the keys, after the ledger's.
const insertSessions = `
INSERT INTO nexero.sessions (session_id, tenant_id, client_id, first_received_at)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::timestamptz[]) AS new (session_id, tenant_id, client_id, received_at)
ORDER BY session_id
ON CONFLICT DO NOTHING`

// findSessions is also the proof that a session exists: the cache holds what it
// returned in transactions that committed.
const findSessions = `SELECT session_id, session_no FROM nexero.sessions WHERE session_id = ANY($1)`

// settleSessions gives every session of the wanted deliveries its number. What
// is not in the cache is inserted and then looked up: the look is a statement
// of its own, so it sees what others committed while the INSERT waited for them.
// An INSERT that conflicts uses up a number, which costs nothing.
func (l *load) settleSessions(ctx context.Context) error {
	crashpoint.At(crashpoint.LoadLedger)
	l.fresh.numbers = make(map[event.UUID]int64)
	unknown := make(map[event.UUID]newSession)
	for _, d := range l.fresh.deliveries {
		for i := range d.batch.Sessions {
			session := &d.batch.Sessions[i]
			if number, ok := l.store.memory.sessions.Get(session.Key); ok {
				d.sessions[i] = number
			} else if _, ok := unknown[session.Key]; !ok {
				unknown[session.Key] = newSession{session, d}
			}
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	if err := l.insertSessions(ctx, unknown); err != nil {
		return err
	}
	for _, d := range l.fresh.deliveries {
		for i := range d.batch.Sessions {
			if d.sessions[i] != 0 {
				continue
			}
			number, ok := l.fresh.numbers[d.batch.Sessions[i].Key]
			if !ok {
				return fmt.Errorf("session %s is gone", d.batch.Sessions[i].Key)
			}
			d.sessions[i] = number
		}
	}
	return nil
}

// newSession is a session that is not in the cache and the delivery that spoke
// of it first.
type newSession struct {
	session *event.Session
	from    *delivery
}

func (l *load) insertSessions(ctx context.Context, unknown map[event.UUID]newSession) error {
	sorted := make([]newSession, 0, len(unknown))
	for _, session := range unknown {
		sorted = append(sorted, session)
	}
	slices.SortFunc(sorted, func(a, b newSession) int { return compareIDs(a.session.Key, b.session.Key) })
	n := len(sorted)
	keys, tenants, texts, times := make([][16]byte, n), make([]int32, n), make([]string, n), make([]time.Time, n)
	for i, s := range sorted {
		keys[i], tenants[i] = s.session.Key, s.from.tenant
		texts[i], times[i] = storable(s.session.ClientID), storableTime(s.from.batch.ReceivedAt)
	}
	var batch pgx.Batch
	batch.Queue(insertSessions, keys, tenants, texts, times)
	batch.Queue(findSessions, keys).Query(func(rows pgx.Rows) error {
		var key [16]byte
		var number int64
		_, err := pgx.ForEachRow(rows, []any{&key, &number}, func() error {
			l.fresh.numbers[key] = number
			return nil
		})
		return err
	})
	return l.conn.SendBatch(ctx, &batch).Close()
}

const insertTouches = `
INSERT INTO nexero.session_touches (session_no, batch_no, received_at)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS new (session_no, batch_no, received_at)`

// queueTouches tells the roll-up which sessions got something. It appends: the
// roll-up may hold locks on everything else that it knows of a session.
func (l *load) queueTouches(batch *pgx.Batch) {
	var sessionNos, batchNos []int64
	var times []time.Time
	for _, d := range l.fresh.deliveries {
		for i, touched := range d.touched {
			if touched {
				sessionNos, batchNos = append(sessionNos, d.sessions[i]), append(batchNos, d.entry.batchNo)
				times = append(times, storableTime(d.batch.ReceivedAt))
			}
		}
	}
	if len(times) > 0 {
		batch.Queue(insertTouches, sessionNos, batchNos, times).Exec(wantRows(len(times)))
	}
}
