package postgres

import "github.com/jackc/pgx/v5/pgxpool"

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
