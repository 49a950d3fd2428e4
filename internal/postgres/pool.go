package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/facts"
)

// Config says how to reach the database and how long to wait for it. Zero
// values stand for the defaults named at each field.
type Config struct {
	// URL is a PostgreSQL connection string. It may hold a password and appears
	// in no log line and no error. A pooler between us and the server must pool
	// sessions: settings and advisory locks are per session.
	URL string
	// MaxConns bounds the pool; default 4.
	MaxConns int
	// RequireSyncStandby makes CheckDurable demand a synchronous standby.
	RequireSyncStandby bool
	// StatementTimeout ends one statement; default 20 s. A load as a whole gets
	// 5 s more. Both must stay below the queue's AckWait, or a message is given
	// to a second worker while the first still holds its ledger rows.
	StatementTimeout time.Duration
	// LockTimeout ends one wait for a lock; default 10 s.
	LockTimeout time.Duration
	// IdleTimeout ends a transaction whose client went silent; default 15 s.
	IdleTimeout time.Duration
	// PoseRetention is the shortest retention of raw events; default 30 days. A
	// batch received on an earlier day has no partition and gets none.
	PoseRetention time.Duration
	// EventRetention is how long other raw events are kept; default 396 days,
	// which is 13 months. It is no shorter than PoseRetention.
	EventRetention time.Duration
	// SessionRetention is how long sessions are kept after the last of them was
	// received; default 396 days, or EventRetention if that is longer. It is no
	// shorter than EventRetention, and a week at least.
	SessionRetention time.Duration
}

// connectTimeout bounds one attempt to connect, so that a worker notices within
// seconds that a server which swallowed its packets is back.
const connectTimeout = 3 * time.Second

// loadGrace is what a load may take beyond its longest statement.
const loadGrace = 5 * time.Second

func (c Config) withDefaults() Config {
	orDefault := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	if c.MaxConns == 0 {
		c.MaxConns = 4
	}
	orDefault(&c.StatementTimeout, 20*time.Second)
	orDefault(&c.LockTimeout, 10*time.Second)
	orDefault(&c.IdleTimeout, 15*time.Second)
	orDefault(&c.PoseRetention, 30*24*time.Hour)
	orDefault(&c.EventRetention, 396*24*time.Hour)
	orDefault(&c.SessionRetention, max(396*24*time.Hour, c.EventRetention))
	return c
}

func (c Config) validate() error {
	switch {
	case c.URL == "":
		return errors.New("postgres: no database URL")
	case c.MaxConns < 1:
		return fmt.Errorf("postgres: %d connections are too few", c.MaxConns)
	case c.StatementTimeout < time.Second, c.LockTimeout < time.Millisecond, c.IdleTimeout < time.Millisecond:
		return errors.New("postgres: a timeout is too short to get anything done")
	case c.LockTimeout > c.StatementTimeout:
		return errors.New("postgres: the lock timeout is longer than the statement timeout and would never act")
	case c.PoseRetention < 24*time.Hour:
		return errors.New("postgres: events must be kept for a day at least")
	case c.EventRetention < c.PoseRetention:
		return errors.New("postgres: poses cannot be kept longer than other events")
	case c.SessionRetention < c.EventRetention:
		return errors.New("postgres: events cannot be kept longer than their sessions")
	case c.SessionRetention < shortestSessions:
		return errors.New("postgres: sessions must be kept for a week at least")
	}
	return nil
}

// Store is the database as a worker uses it. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	config  Config
	log     *slog.Logger
	metrics *Metrics
	memory  *memory
	// locations are time zones by name.
	locations sync.Map
	// mostFolded is how many events of a session are read to be folded.
	mostFolded int
	// backlogLook is how many touches a look at the backlog reads.
	backlogLook int
	sealing     sealCursor
	forgotten   forgetCursor
}

// Open makes the pool. It does not connect: a database that is down shows in
// the first call that needs it. The caller closes the Store.
func Open(ctx context.Context, config Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	remembered := newMemory()
	pool, err := openPool(ctx, config, remembered)
	if err != nil {
		return nil, err
	}
	return &Store{
		pool: pool, config: config, log: log, metrics: newMetrics(reg), memory: remembered,
		mostFolded: facts.MaxEvents, backlogLook: backlogLook,
	}, nil
}

// Close waits for connections in use and closes the pool.
func (s *Store) Close() { s.pool.Close() }

// errBadURL stands for the parser's own error, which quotes what it could not
// read and with it, sometimes, the password.
var errBadURL = errors.New("postgres: the database URL cannot be read; want postgres://user:password@host:port/name?sslmode=verify-full")

func openPool(ctx context.Context, config Config, remembered *memory) (*pgxpool.Pool, error) {
	pc, err := poolConfig(config)
	if err != nil {
		return nil, err
	}
	pc.AfterConnect = remembered.meet
	pc.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) { return remembered.current(conn), nil }
	pc.BeforeClose = remembered.part
	return newPool(ctx, pc)
}

// poolConfig is what every pool of ours has: its bounds, and how it notices a
// server that is gone.
func poolConfig(config Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return nil, errBadURL
	}
	pc.MaxConns = int32(min(config.MaxConns, 1<<16))
	pc.PingTimeout = config.StatementTimeout
	pc.ConnConfig.ConnectTimeout = min(connectTimeout, config.StatementTimeout)
	dialer := &net.Dialer{
		Timeout: config.StatementTimeout,
		// A server behind a dead link is noticed while we wait for its answer.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3},
	}
	pc.ConnConfig.DialFunc = dialer.DialContext
	maps.Copy(pc.ConnConfig.RuntimeParams, sessionSettings(config))
	return pc, nil
}

func newPool(ctx context.Context, pc *pgxpool.Config) (*pgxpool.Pool, error) {
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: make the pool: %w", err)
	}
	return pool, nil
}

// sessionSettings are what every connection asks the server for. A worker that
// is frozen or cut off keeps its ledger rows locked until the server gives up on
// it: the idle timeout ends one that is silent between two statements, the
// keepalives a connection that is gone. None of them ends a COPY whose client is
// silent: see endStalled.
func sessionSettings(config Config) map[string]string {
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{
		"application_name":                    workerName,
		"client_encoding":                     "UTF8",
		"timezone":                            "UTC",
		"statement_timeout":                   milliseconds(config.StatementTimeout),
		"lock_timeout":                        milliseconds(config.LockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(config.IdleTimeout),
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "3",
		"tcp_keepalives_count":                "3",
		"tcp_user_timeout":                    milliseconds(config.StatementTimeout),
	}
}

// clockReading is the database's time at one moment of ours.
type clockReading struct {
	ours     time.Time // with its monotonic part: a step of our clock does not matter
	database time.Time
}

// now returns the database's time, as far as our clock can tell: it stands
// still while the machine sleeps, so nothing is refused by it alone. A worker's own clock never decides what is
// too old to be stored: a wrong one would put everything aside.
func (s *Store) now(ctx context.Context) (time.Time, error) {
	if reading := s.memory.clock.Load(); reading != nil {
		return reading.database.Add(time.Since(reading.ours)), nil
	}
	return s.readClock(ctx)
}

func (s *Store) readClock(ctx context.Context) (time.Time, error) {
	var reading clockReading
	if err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&reading.database); err != nil {
		return time.Time{}, fmt.Errorf("postgres: read the clock: %w", err)
	}
	reading.ours = time.Now()
	s.memory.clock.Store(&reading)
	return reading.database, nil
}
