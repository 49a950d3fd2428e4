package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// KeyRow is an API key in the mirror of the queue's bucket, from which a lost
// bucket is restored. It holds no secret: Hash is SHA-256 of the key.
type KeyRow struct {
	ID, Tenant, Environment, Name string
	Scopes                        []string
	Hash                          []byte
	CreatedAt                     time.Time
	// RevokedAt is nil for a key that was not revoked, ExpiresAt for one that does
	// not end by itself.
	RevokedAt, ExpiresAt *time.Time
	// Publishable is a key that is no secret and may only post.
	Publishable bool
}

// ErrKeyTaken is a key id that belongs to another key.
var ErrKeyTaken = errors.New("postgres: the key id belongs to another key")

// LEAST ignores NULL: the earlier revocation wins, and none is no revocation;
// the same of the end.
const putKey = `
INSERT INTO nexero.api_keys (key_id, tenant_id, environment, hash, scopes, name, created_at, revoked_at, expires_at, publishable)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (key_id) DO UPDATE
SET scopes = excluded.scopes, name = excluded.name, publishable = nexero.api_keys.publishable OR excluded.publishable,
    revoked_at = LEAST(nexero.api_keys.revoked_at, excluded.revoked_at),
    expires_at = LEAST(nexero.api_keys.expires_at, excluded.expires_at)
WHERE nexero.api_keys.hash = excluded.hash AND nexero.api_keys.tenant_id = excluded.tenant_id
  AND nexero.api_keys.environment = excluded.environment`

// PutKey writes or updates a key and makes its tenant when it is new. A revoked
// key stays revoked whatever key says, one that ends never ends later, and a
// publishable one stays that. The error is ErrKeyTaken when the id is
// that of a key with another hash, tenant or environment.
func (s *Store) PutKey(ctx context.Context, key KeyRow) error {
	tenants, err := s.tenantIDs(ctx, []string{key.Tenant})
	if err != nil {
		return fmt.Errorf("postgres: put key %s: %w", key.ID, err)
	}
	tag, err := s.pool.Exec(ctx, putKey, key.ID, tenants[key.Tenant], key.Environment, key.Hash,
		append([]string{}, key.Scopes...), key.Name, key.CreatedAt, key.RevokedAt, key.ExpiresAt, key.Publishable)
	switch {
	case err != nil:
		return fmt.Errorf("postgres: put key %s: %w", key.ID, err)
	case tag.RowsAffected() == 0:
		return fmt.Errorf("%w: %s", ErrKeyTaken, key.ID)
	}
	return nil
}

// ListKeys returns all keys, revoked ones included, in the order of their ids.
func (s *Store) ListKeys(ctx context.Context) ([]KeyRow, error) {
	rows, err := s.pool.Query(ctx, `
SELECT key_id, t.name, environment, k.name, scopes, hash, k.created_at, revoked_at, expires_at, publishable
FROM nexero.api_keys k JOIN nexero.tenants t USING (tenant_id)
ORDER BY key_id`)
	if err != nil {
		return nil, fmt.Errorf("postgres: list keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[KeyRow])
	if err != nil {
		return nil, fmt.Errorf("postgres: list keys: %w", err)
	}
	return keys, nil
}
