package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nexero-vr/nexero/internal/facts"
)

// HoldPartitionLock takes the lock of partitions and leaves it to the caller's
// connection, as a worker does that freezes there.
func (s *Store) HoldPartitionLock(ctx context.Context) (*pgx.Conn, error) {
	conn, err := s.maintenance(ctx)
	if err != nil {
		return nil, err
	}
	return conn, lockPartitions(ctx, conn)
}

// Pool lets a test see the connections as the server does.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Statements on the path of a load, for their plans.
const (
	InsertEntries  = insertEntries
	LockEntries    = lockEntries
	InsertSessions = insertSessions
	FindSessions   = findSessions
	LockSessions   = lockSessions
	DeleteReplaced = deleteReplaced
)

// QualityCheck is what Verify asks of the data's quality.
const QualityCheck = qualityCheck

// Statements of a roll-up.
const (
	FindTouched      = findTouched
	MakeFacts        = makeFacts
	ClaimSessions    = claimSessions
	TakeTouches      = takeTouches
	ReadNewEvents    = readNewEvents
	ReadWholeSession = readWholeSession
	ReadReports      = readReports
)

// Statements of retention.
const (
	FindForgettableSessions = findForgettableSessions
	LookAgain               = lookAgain
)

// Traced is what makes a step's span.
func Traced(ctx context.Context, name string) (_ context.Context, end func(error)) {
	return traced(ctx, name)
}

// LineOf finds the line in an error of COPY.
func LineOf(where string) int { return lineOf(where) }

// PretendTime makes the Store believe that it is t at the database.
func (s *Store) PretendTime(t time.Time) {
	s.memory.clock.Store(&clockReading{ours: time.Now(), database: t})
}

// OpenTraced opens a Store whose statements a test sees as they are sent.
func OpenTraced(ctx context.Context, config Config, tracer pgx.QueryTracer) (*Store, error) {
	config = config.withDefaults()
	remembered := newMemory()
	pool, err := openPool(ctx, config, remembered)
	if err != nil {
		return nil, err
	}
	traced := pool.Config()
	pool.Close()
	traced.ConnConfig.Tracer = tracer
	if pool, err = pgxpool.NewWithConfig(ctx, traced); err != nil {
		return nil, err
	}
	return &Store{pool: pool, config: config, log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), memory: remembered, mostFolded: facts.MaxEvents, backlogLook: backlogLook}, nil
}

// LookForUnsealed is the statement for one partition.
func LookForUnsealed(partition string) string {
	r, _ := parseRawDay(partition)
	return unsealedQuery(r)
}

// AttachDay makes the partition of a table, events_pose and so on, and a day.
func AttachDay(ctx context.Context, conn *pgx.Conn, table string, t time.Time) error {
	return attachDays(ctx, conn, table, []day{dayOfTime(t)}, map[string]bool{})
}

// LookAtMost lowers the number of touches that a look at the backlog reads.
func (s *Store) LookAtMost(touches int) { s.backlogLook = touches }

// FoldAtMost lowers the number of events of a session that are read.
func (s *Store) FoldAtMost(events int) { s.mostFolded = events }

// VersionTable is where migrations keep the schema's version.
const VersionTable = versionTable
