package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// errDamagedPast is a row of past contributions that cannot be read, by this
// version at least: nothing can be added to it.
var errDamagedPast = errors.New("past contributions cannot be read")

const (
	makePast = `
INSERT INTO nexero.past_contributions (tenant_id, generation, property_id, day, contributions)
SELECT n.tenant_id, $1, n.property_id, date '1970-01-01' + n.day, $5
FROM unnest($2::integer[], $3::text[], $4::integer[]) AS n (tenant_id, property_id, day)
ORDER BY n.tenant_id, n.property_id COLLATE "C", n.day
ON CONFLICT DO NOTHING`
	readPast = `
SELECT p.tenant_id, p.property_id, p.day - date '1970-01-01', p.contributions
FROM nexero.past_contributions p
JOIN unnest($2::integer[], $3::text[], $4::integer[]) AS n (tenant_id, property_id, day)
  ON n.tenant_id = p.tenant_id AND n.property_id = p.property_id AND p.day = date '1970-01-01' + n.day
WHERE p.generation = $1
ORDER BY p.tenant_id, p.property_id, p.day`
	lockPast = readPast + `
FOR UPDATE OF p`
	updatePast = `
UPDATE nexero.past_contributions p SET contributions = n.contributions
FROM unnest($2::integer[], $3::text[], $4::integer[], $5::bytea[]) AS n (tenant_id, property_id, day, contributions)
WHERE p.generation = $1 AND p.tenant_id = n.tenant_id AND p.property_id = n.property_id AND p.day = date '1970-01-01' + n.day`
)

// byPast lists rows by the row of past contributions that they are kept in.
func byPast(byTenant map[int32]facts.Contributions) map[pastKey]facts.Contributions {
	lists := make(map[pastKey]facts.Contributions)
	for tenant, rows := range byTenant {
		for i := range rows {
			key := pastKeyOf(tenant, &rows[i])
			lists[key] = append(lists[key], rows[i]) // in the order of rows, which is that of keys
		}
	}
	return lists
}

// keepPast adds to past_contributions what has been added to the aggregates by
// those who are being deleted. Rows are locked in the order of their keys, until
// COMMIT: it is the last that a transaction does, after the aggregates.
func keepPast(ctx context.Context, conn *pgx.Conn, generation int16, byTenant map[int32]facts.Contributions) error {
	added := byPast(byTenant)
	if len(added) == 0 {
		return nil
	}
	if err := mergePast(ctx, conn, generation, added); err != nil {
		return fmt.Errorf("past contributions: %w", err)
	}
	crashpoint.At(crashpoint.PastKept)
	return nil
}

// pastArrays are keys as three parameters.
func pastArrays(keys []pastKey) (tenants []int32, properties []string, days []int32) {
	for _, key := range keys {
		tenants, properties, days = append(tenants, key.tenant), append(properties, key.property), append(days, key.day)
	}
	return tenants, properties, days
}

// findDamagedPast returns those of the rows that cannot be read, and why. It locks
// none: one that is damaged after this look is an error of mergePast.
func findDamagedPast(ctx context.Context, conn *pgx.Conn, generation int16, keys []pastKey) (map[pastKey]error, error) {
	tenants, properties, days := pastArrays(keys)
	rows, err := conn.Query(ctx, readPast, generation, tenants, properties, days)
	if err != nil {
		return nil, err
	}
	damaged := make(map[pastKey]error)
	var key pastKey
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.property, &key.day, &stored}, func() error {
		if _, err := facts.DecodeContributions(stored); err != nil {
			damaged[key] = err
		}
		return nil
	})
	return damaged, err
}

func mergePast(ctx context.Context, conn *pgx.Conn, generation int16, added map[pastKey]facts.Contributions) error {
	keys := slices.SortedFunc(maps.Keys(added), pastKey.compare)
	tenants, properties, days := pastArrays(keys)
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
			return fmt.Errorf("%w: %s: %w", errDamagedPast, key, err)
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
	tenants, properties, days = pastArrays(keys)
	_, err = conn.Exec(ctx, updatePast, generation, tenants, properties, days, sums)
	return err
}
