package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/facts"
)

// aggregateChunk is how many rows one statement adds to: arrays of some hundred
// kilobytes.
const aggregateChunk = 2000

// tenantRow is a difference to one aggregate row.
type tenantRow struct {
	tenant int32
	facts.Row
}

// tenantLists are lists of contributions to be added up.
type tenantLists map[int32][]facts.Contributions

func (l tenantLists) add(tenant int32, rows facts.Contributions) {
	if len(rows) > 0 {
		l[tenant] = append(l[tenant], rows)
	}
}

func (l tenantLists) sums() map[int32]facts.Contributions {
	sums := make(map[int32]facts.Contributions, len(l))
	for tenant, lists := range l {
		sums[tenant] = addAll(lists)
	}
	return sums
}

// applyDifferences adds what is different to the aggregates and deletes rows
// that nobody is in any more. It takes locks in the order of the tables, and
// within each of tenant and key, that everybody keeps; they are held until
// COMMIT, so this is the last that a transaction does.
func applyDifferences(ctx context.Context, conn *pgx.Conn, generation int16, byTenant map[int32]facts.Contributions) error {
	byTable := make(map[facts.Table][]tenantRow)
	for tenant, rows := range byTenant {
		for _, row := range rows {
			byTable[row.Table] = append(byTable[row.Table], tenantRow{tenant, row})
		}
	}
	for _, table := range facts.Tables() {
		rows := byTable[table]
		slices.SortFunc(rows, func(a, b tenantRow) int {
			return cmp.Or(cmp.Compare(a.tenant, b.tenant), a.Compare(&b.Key))
		})
		for chunk := range slices.Chunk(rows, aggregateChunk) {
			if err := addRows(ctx, conn, generation, table, chunk); err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
			crashpoint.At(crashpoint.AggregatesPortion)
		}
	}
	return nil
}

// addRows adds rows, sorted, to a table.
func addRows(ctx context.Context, conn *pgx.Conn, generation int16, table facts.Table, rows []tenantRow) error {
	layout := newAggregateLayout(table)
	var batch pgx.Batch
	batch.Queue(layout.upsert, layout.arguments(generation, rows)...)
	left := slices.DeleteFunc(slices.Clone(rows), func(r tenantRow) bool { return r.Refs >= 0 })
	if len(left) > 0 {
		batch.Queue(layout.deleteEmpty, layout.keyArguments(generation, left)...)
	}
	return conn.SendBatch(ctx, &batch).Close()
}

// aggregateLayout is an aggregate table as SQL.
type aggregateLayout struct {
	columns             facts.Columns
	upsert, deleteEmpty string
}

// sqlKey says how a column of a key is named, what array it travels in and how
// an element becomes the column's value.
type sqlKey struct {
	name, array, value string
	of                 func(rows []tenantRow) any
}

// arrayOf is one column of rows.
func arrayOf[T any](of func(k *facts.Key) T) func([]tenantRow) any {
	return func(rows []tenantRow) any {
		array := make([]T, len(rows))
		for i := range rows {
			array[i] = of(&rows[i].Key)
		}
		return array
	}
}

// keyColumns are in the order of facts.KeyColumn; the first one is not used.
//
//nolint:gochecknoglobals // a table that never changes
var keyColumns = [...]sqlKey{
	{},
	facts.KeyProperty: {"property_id", "text[]", "%s", arrayOf(func(k *facts.Key) string { return k.Property })},
	facts.KeyDay:      {"day", "integer[]", "date '1970-01-01' + %s", arrayOf(func(k *facts.Key) int32 { return k.Day })},
	facts.KeyHour:     {"hour", "bigint[]", "to_timestamp(%s)", arrayOf(func(k *facts.Key) int64 { return k.Hour })},
	facts.KeyZone:     {"zone", "text[]", "%s", arrayOf(func(k *facts.Key) string { return k.Zone })},
	facts.KeyObject:   {"object", "text[]", "%s", arrayOf(func(k *facts.Key) string { return k.Object })},
	facts.KeyKind:     {"kind", "text[]", "%s", arrayOf(func(k *facts.Key) string { return k.Kind })},
	facts.KeyLevel:    {"level", "smallint[]", "%s", arrayOf(func(k *facts.Key) int16 { return k.Level })},
	facts.KeyX:        {"x", "integer[]", "%s", arrayOf(func(k *facts.Key) int32 { return k.X })},
	facts.KeyY:        {"y", "integer[]", "%s", arrayOf(func(k *facts.Key) int32 { return k.Y })},
	facts.KeyType:     {"event_type", "smallint[]", "%s", arrayOf(func(k *facts.Key) int16 { return int16(k.Type) })},
}

// newAggregateLayout writes the statements for a table. The arrays of a key
// come first, then refs, the sums and the bins, which travel as text: unnest
// would take an array of arrays apart.
func newAggregateLayout(table facts.Table) aggregateLayout {
	l := aggregateLayout{columns: table.Columns()}
	name := "rollup." + l.columns.Table
	// $1 is the generation.
	arrays, names := []string{"$2::integer[]"}, []string{"tenant_id"}
	values := []string{"n.tenant_id"}
	parameter := 2
	take := func(array, column, value string) {
		parameter++
		arrays = append(arrays, "$"+strconv.Itoa(parameter)+"::"+array)
		names = append(names, column)
		values = append(values, value)
	}
	var keys, matches []string
	for _, column := range l.columns.Key {
		key := keyColumns[column]
		take(key.array, key.name, fmt.Sprintf(key.value, "n."+key.name))
		keys = append(keys, key.name)
		matches = append(matches, "t."+key.name+" = "+values[len(values)-1])
	}
	l.deleteEmpty = fmt.Sprintf(
		"DELETE FROM %s t USING unnest(%s) AS n (%s)\nWHERE t.tenant_id = n.tenant_id AND t.generation = $1 AND %s AND t.refs = 0",
		name, strings.Join(arrays, ", "), strings.Join(names, ", "), strings.Join(matches, " AND "))

	var sets []string
	for _, sum := range append([]string{"refs"}, l.columns.Sums...) {
		take("bigint[]", sum, "n."+sum)
		sets = append(sets, fmt.Sprintf("%s = t.%s + excluded.%s", sum, sum, sum))
	}
	if bins := l.columns.Bins; bins != "" {
		take("text[]", bins, "n."+bins+"::integer[]")
		sets = append(sets, fmt.Sprintf("%s = rollup.add_bins(t.%s, excluded.%s)", bins, bins, bins))
	}
	// unnest gives rows in the order of the arrays, and so they are locked.
	l.upsert = fmt.Sprintf("INSERT INTO %s AS t (generation, %s)\nSELECT $1, %s\nFROM unnest(%s) AS n (%s)\nON CONFLICT (tenant_id, generation, %s) DO UPDATE SET %s",
		name, strings.Join(names, ", "), strings.Join(values, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "),
		strings.Join(keys, ", "), strings.Join(sets, ", "))
	return l
}

// keyArguments are the parameters of deleteEmpty.
func (l *aggregateLayout) keyArguments(generation int16, rows []tenantRow) []any {
	tenants := make([]int32, len(rows))
	for i := range rows {
		tenants[i] = rows[i].tenant
	}
	arguments := []any{generation, tenants}
	for _, column := range l.columns.Key {
		arguments = append(arguments, keyColumns[column].of(rows))
	}
	return arguments
}

// arguments are the parameters of upsert.
func (l *aggregateLayout) arguments(generation int16, rows []tenantRow) []any {
	arguments := l.keyArguments(generation, rows)
	refs := make([]int64, len(rows))
	for i := range rows {
		refs[i] = rows[i].Refs
	}
	arguments = append(arguments, refs)
	for sum := range l.columns.Sums {
		array := make([]int64, len(rows))
		for i := range rows {
			array[i] = rows[i].Sums[sum]
		}
		arguments = append(arguments, array)
	}
	if l.columns.Bins != "" {
		bins := make([]string, len(rows))
		for i := range rows {
			bins[i] = arrayText(rows[i].Counts())
		}
		arguments = append(arguments, bins)
	}
	return arguments
}

// arrayText is an array as PostgreSQL reads it.
func arrayText(numbers []int64) string {
	text := make([]byte, 0, 2+2*len(numbers))
	for i, n := range numbers {
		text = append(text, "{,"[min(i, 1)])
		text = strconv.AppendInt(text, n, 10)
	}
	return string(append(text, '}'))
}
