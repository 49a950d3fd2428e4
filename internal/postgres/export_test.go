package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pool lets a test see the connections as the server does.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }
