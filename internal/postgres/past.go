package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// pastKey names a row of nexero.past_contributions within a generation.
type pastKey struct {
	tenant   int32
	property string
	day      int32 // since 1970-01-01
}

func (k pastKey) compare(other pastKey) int {
	return cmp.Or(cmp.Compare(k.tenant, other.tenant), cmp.Compare(k.property, other.property), cmp.Compare(k.day, other.day))
}

func (k pastKey) String() string {
	return fmt.Sprintf("tenant %d property %s day %s", k.tenant, nameText(k.property), day(k.day))
}

// pastKeyOf is the row in which a contribution is kept. Hours are kept by UTC
// day: their property's time zone is not known here, and need not be.
func pastKeyOf(tenant int32, row *facts.Row) pastKey {
	key := pastKey{tenant: tenant, property: row.Property, day: row.Day}
	if slices.Contains(row.Table.Columns().Key, facts.KeyHour) {
		key.day = int32(dayOf(event.Micros(row.Hour * 1_000_000)))
	}
	return key
}

const (
	makePast = `
INSERT INTO nexero.past_contributions (tenant_id, generation, property_id, day, contributions)
SELECT n.tenant_id, $1, n.property_id, date '1970-01-01' + n.day, $5
FROM unnest($2::integer[], $3::text[], $4::integer[]) AS n (tenant_id, property_id, day)
ORDER BY n.tenant_id, n.property_id COLLATE "C", n.day
ON CONFLICT DO NOTHING`
	lockPast = `
SELECT p.tenant_id, p.property_id, p.day - date '1970-01-01', p.contributions
FROM nexero.past_contributions p
JOIN unnest($2::integer[], $3::text[], $4::integer[]) AS n (tenant_id, property_id, day)
  ON n.tenant_id = p.tenant_id AND n.property_id = p.property_id AND p.day = date '1970-01-01' + n.day
WHERE p.generation = $1
ORDER BY p.tenant_id, p.property_id, p.day
FOR UPDATE OF p`
	updatePast = `
UPDATE nexero.past_contributions p SET contributions = n.contributions
FROM unnest($2::integer[], $3::text[], $4::integer[], $5::bytea[]) AS n (tenant_id, property_id, day, contributions)
WHERE p.generation = $1 AND p.tenant_id = n.tenant_id AND p.property_id = n.property_id AND p.day = date '1970-01-01' + n.day`
)

// keepPast adds to past_contributions what has been added to the aggregates by
// those who are being deleted. Rows are locked in the order of their keys, until
// COMMIT: it is the last that a transaction does, after the aggregates.
func keepPast(ctx context.Context, conn *pgx.Conn, generation int16, byTenant map[int32]facts.Contributions) error {
	added := make(map[pastKey]facts.Contributions)
	for tenant, rows := range byTenant {
		for i := range rows {
			key := pastKeyOf(tenant, &rows[i])
			added[key] = append(added[key], rows[i]) // in the order of rows, which is that of keys
		}
	}
	if len(added) == 0 {
		return nil
	}
	if err := mergePast(ctx, conn, generation, added); err != nil {
		return fmt.Errorf("past contributions: %w", err)
	}
	crashpoint.At(crashpoint.PastKept)
	return nil
}

func mergePast(ctx context.Context, conn *pgx.Conn, generation int16, added map[pastKey]facts.Contributions) error {
	var tenants, days []int32
	var properties []string
	arrays := func(keys []pastKey) {
		tenants, properties, days = tenants[:0], properties[:0], days[:0]
		for _, key := range keys {
			tenants, properties, days = append(tenants, key.tenant), append(properties, key.property), append(days, key.day)
		}
	}
	keys := make([]pastKey, 0, len(added))
	for key := range added {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, pastKey.compare)
	arrays(keys)
	if _, err := conn.Exec(ctx, makePast, generation, tenants, properties, days, facts.Contributions(nil).Append(nil)); err != nil {
		return err
	}
	// A statement of its own, which sees rows that others have just made.
	rows, err := conn.Query(ctx, lockPast, generation, tenants, properties, days)
	if err != nil {
		return err
	}
	keys = keys[:0]
	var sums [][]byte
	var key pastKey
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.property, &key.day, &stored}, func() error {
		kept, err := facts.DecodeContributions(stored)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		keys, sums = append(keys, key), append(sums, facts.Add(kept, added[key]).Append(nil))
		return nil
	})
	if err != nil {
		return err
	}
	if len(keys) != len(added) {
		return fmt.Errorf("%d rows to add to, %d wanted", len(keys), len(added))
	}
	arrays(keys)
	_, err = conn.Exec(ctx, updatePast, generation, tenants, properties, days, sums)
	return err
}
