package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// TenantRow is a tenant and what refers to it.
type TenantRow struct {
	Name      string
	CreatedAt time.Time
	// Keys are those that were neither revoked nor have ended; Properties those
	// that an operator described.
	Keys, Properties int
}

// Tenants returns all tenants in the order of their names. Keys are counted in
// the mirror of the queue's bucket.
func (s *Store) Tenants(ctx context.Context) ([]TenantRow, error) {
	rows, err := s.pool.Query(ctx, `
SELECT t.name, t.created_at,
       (SELECT count(*) FROM nexero.api_keys k
        WHERE k.tenant_id = t.tenant_id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())),
       (SELECT count(*) FROM nexero.properties p WHERE p.tenant_id = t.tenant_id)
FROM nexero.tenants t
ORDER BY t.name`)
	if err != nil {
		return nil, fmt.Errorf("postgres: list tenants: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TenantRow])
	if err != nil {
		return nil, fmt.Errorf("postgres: list tenants: %w", err)
	}
	return tenants, nil
}

// CreateTenant makes a tenant, for good. made is false when there was one of
// that name, which is then left as it is.
func (s *Store) CreateTenant(ctx context.Context, name string) (made bool, err error) {
	// Looked up first: an INSERT that conflicts uses up a number.
	const insert = `
INSERT INTO nexero.tenants (name) SELECT $1 WHERE NOT EXISTS (SELECT FROM nexero.tenants WHERE name = $1)
ON CONFLICT DO NOTHING`
	tag, err := s.pool.Exec(ctx, insert, name)
	if err != nil {
		return false, fmt.Errorf("postgres: make tenant: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}
