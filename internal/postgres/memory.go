package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/event"
)

// memory is what a Store knows of the database without asking: numbers of
// committed tenants and sessions, partitions, the time.
//
// A database that was restored, or a standby that was promoted, can have lost
// commits and give their numbers to others: events stored under a remembered
// number would then be somebody else's. So all of it is forgotten when a
// connection breaks and when a new one finds another server or database.
// Sessions are deleted while the server runs, but old ones only: the memory of
// those is not trusted.
type memory struct {
	tenants  *lru.Cache[string, int32]
	sessions *lru.Cache[event.UUID, knownSession]
	days     attachedDays
	clock    atomic.Pointer[clockReading]

	// generation counts how often everything was forgotten.
	generation atomic.Int64

	mu     sync.Mutex
	server string // what connections must find; empty before the first
}

// Sizes of the caches: a session costs about 150 bytes, so that is 15 MB.
const (
	tenantCacheSize  = 10_000
	sessionCacheSize = 100_000
)

func newMemory() *memory {
	m := &memory{}
	// The constructors fail for sizes below 1 only.
	m.tenants, _ = lru.New[string, int32](tenantCacheSize)
	m.sessions, _ = lru.New[event.UUID, knownSession](sessionCacheSize)
	return m
}

// forget drops everything. The generation moves first, so that a load that
// reads what is left in between notices.
func (m *memory) forget() {
	m.generation.Add(1)
	m.tenants.Purge()
	m.sessions.Purge()
	m.days.forget()
	m.clock.Store(nil)
}

// errForgotten is a load whose look into the memory is no longer worth anything.
var errForgotten = errors.New("the database's connections were replaced meanwhile")

// serverQuery names the database as long as nothing can take back what it has
// committed: a crash, a restore and a promotion change the start or the
// timeline, a database made anew has another oid. All of it is readable by any
// role.
const serverQuery = `
SELECT concat_ws(' ', pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database()),
                 CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END)`

// serverKey is where a connection carries the answer.
const serverKey = "nexero.server"

// meet looks whom a new connection leads to.
func (m *memory) meet(ctx context.Context, conn *pgx.Conn) error {
	var server string
	if err := conn.QueryRow(ctx, serverQuery, pgx.QueryExecModeSimpleProtocol).Scan(&server); err != nil {
		return fmt.Errorf("which server it is: %w", err)
	}
	conn.PgConn().CustomData()[serverKey] = server
	m.mu.Lock()
	before := m.server
	m.server = server
	m.mu.Unlock()
	if before != "" && before != server {
		m.forget()
	}
	return nil
}

// current reports whether conn leads where the newest connection does.
func (m *memory) current(conn *pgx.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return conn.PgConn().CustomData()[serverKey] == m.server
}

// part takes leave of a connection.
func (m *memory) part(conn *pgx.Conn) {
	if conn.IsClosed() {
		m.forget()
	}
}

// doubt looks at why a load failed. After a plain answer the server is the one
// that it was, and so it is when somebody deleted what the load had looked up.
func (m *memory) doubt(err error) {
	if beginsAnew(err) {
		return
	}
	pgErr, answered := errors.AsType[*pgconn.PgError](err)
	if !answered || endsSession(pgErr) {
		m.forget()
	}
}
