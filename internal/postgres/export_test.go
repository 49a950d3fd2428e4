package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pool lets a test see the connections as the server does.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Statements on the path of a load, for their plans.
const (
	InsertEntries  = insertEntries
	LockEntries    = lockEntries
	InsertSessions = insertSessions
	FindSessions   = findSessions
	DeleteReplaced = deleteReplaced
)

// LineOf finds the line in an error of COPY.
func LineOf(where string) int { return lineOf(where) }

// PretendTime makes the Store believe that it is t at the database.
func (s *Store) PretendTime(t time.Time) {
	s.memory.clock.Store(&clockReading{ours: time.Now(), database: t})
}
