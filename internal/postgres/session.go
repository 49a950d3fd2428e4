package postgres

import (
	"context"
	"errors"
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
	numbers    map[event.UUID]knownSession
}

// knownSession is a session whose row has been seen committed.
type knownSession struct {
	number int64
	// first is when it was first received.
	first event.Micros
}

// trusted reports whether nobody can have deleted the session since it was seen.
// now is the time at the database when the load began.
func (k knownSession) trusted(now event.Micros) bool {
	return k.first > now-event.Micros(sessionTrust.Microseconds())
}

// errSessionGone is a session that was deleted between two statements: the load
// that looked for it begins anew and makes it again.
var errSessionGone = errors.New("a session was deleted while it was looked up")

// want asks for the sessions of d. It may be called again for the same d.
func (f *freshSessions) want(d *delivery) {
	if d.sessions == nil {
		d.sessions = make([]int64, len(d.batch.Sessions))
		d.touched = make([]bool, len(d.batch.Sessions))
		f.deliveries = append(f.deliveries, d)
	}
}

func (f *freshSessions) remember(cache *lru.Cache[event.UUID, knownSession]) {
	for key, known := range f.numbers {
		cache.Add(key, known)
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
const findSessions = `SELECT session_id, session_no, first_received_at FROM nexero.sessions WHERE session_id = ANY($1)`

// lockSessions keeps old sessions from being deleted before our COMMIT, by
// which they are not old any more.
const lockSessions = `SELECT session_no FROM nexero.sessions WHERE session_no = ANY($1) ORDER BY session_id FOR KEY SHARE`

// settleSessions gives every session of the wanted deliveries its number. What
// is not in the cache is inserted and then looked up: the look is a statement
// of its own, so it sees what others committed while the INSERT waited for them.
// An INSERT that conflicts uses up a number, which costs nothing.
func (l *load) settleSessions(ctx context.Context) error {
	crashpoint.At(crashpoint.LoadLedger)
	l.fresh.numbers = make(map[event.UUID]knownSession)
	unknown := make(map[event.UUID]newSession)
	for _, d := range l.fresh.deliveries {
		for i := range d.batch.Sessions {
			session := &d.batch.Sessions[i]
			if known, ok := l.store.memory.sessions.Get(session.Key); ok && known.trusted(l.now) {
				d.sessions[i] = known.number
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
	if err := l.lockOld(ctx); err != nil {
		return err
	}
	for _, d := range l.fresh.deliveries {
		for i := range d.batch.Sessions {
			if d.sessions[i] != 0 {
				continue
			}
			known, ok := l.fresh.numbers[d.batch.Sessions[i].Key]
			if !ok {
				return fmt.Errorf("session %s: %w", d.batch.Sessions[i].Key, errSessionGone)
			}
			d.sessions[i] = known.number
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
		var first time.Time
		_, err := pgx.ForEachRow(rows, []any{&key, &number, &first}, func() error {
			l.fresh.numbers[key] = knownSession{number, event.MicrosOf(first)}
			return nil
		})
		return err
	})
	return l.conn.SendBatch(ctx, &batch).Close()
}

// lockOld locks those of the sessions that were looked up which somebody may
// want to delete.
func (l *load) lockOld(ctx context.Context) error {
	var old []int64
	for _, known := range l.fresh.numbers {
		if !known.trusted(l.now) {
			old = append(old, known.number)
		}
	}
	if len(old) == 0 {
		return nil
	}
	tag, err := l.conn.Exec(ctx, lockSessions, old)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != int64(len(old)) {
		return errSessionGone
	}
	return nil
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
