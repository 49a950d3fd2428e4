package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// tenantIDs returns the number of every name and makes tenants that are
// missing, in a statement of their own: a tenant is for ever, so a load that
// fails afterwards need not take it back.
func (s *Store) tenantIDs(ctx context.Context, names []string) (map[string]int32, error) {
	ids := make(map[string]int32, 1)
	unknown := map[string]bool{}
	for _, name := range names {
		if id, ok := s.memory.tenants.Get(name); ok {
			ids[name] = id
		} else {
			unknown[name] = true
		}
	}
	if len(unknown) == 0 {
		return ids, nil
	}
	// Looked up first: an INSERT that conflicts uses up a number each time.
	missing := slices.Sorted(maps.Keys(unknown))
	if err := s.findTenants(ctx, missing, ids); err != nil {
		return nil, err
	}
	missing = slices.DeleteFunc(missing, func(name string) bool { _, found := ids[name]; return found })
	if len(missing) > 0 {
		const insert = "INSERT INTO nexero.tenants (name) SELECT name FROM unnest($1::text[]) AS name ORDER BY name ON CONFLICT DO NOTHING"
		if _, err := s.pool.Exec(ctx, insert, missing); err != nil {
			return nil, fmt.Errorf("make tenants: %w", err)
		}
		if err := s.findTenants(ctx, missing, ids); err != nil {
			return nil, err
		}
	}
	for name := range unknown {
		s.memory.tenants.Add(name, ids[name])
	}
	return ids, nil
}

// findTenants adds the tenants that exist to ids.
func (s *Store) findTenants(ctx context.Context, names []string, ids map[string]int32) error {
	rows, err := s.pool.Query(ctx, "SELECT name, tenant_id FROM nexero.tenants WHERE name = ANY($1)", names)
	if err != nil {
		return fmt.Errorf("find tenants: %w", err)
	}
	var name string
	var id int32
	_, err = pgx.ForEachRow(rows, []any{&name, &id}, func() error {
		ids[name] = id
		return nil
	})
	if err != nil {
		return fmt.Errorf("find tenants: %w", err)
	}
	return nil
}
