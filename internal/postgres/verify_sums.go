package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/facts"
)

// spillRows is how many rows of contributions are held in memory.
const spillRows = 50_000

// contributionSums adds up what sessions and customers have contributed. There
// can be as many rows as in the aggregates, so they go to temporary tables, to
// be added up by the database. Their layout is that of the aggregates: a new
// table is verified without a change here.
type contributionSums struct {
	conn    *pgx.Conn
	pending map[int32][]facts.Contributions
	rows    int
}

func newContributionSums(conn *pgx.Conn) contributionSums {
	return contributionSums{conn: conn, pending: make(map[int32][]facts.Contributions)}
}

// summedTable and summedBins are the temporary tables of an aggregate table.
func summedTable(table facts.Table) string { return "pg_temp.verify_" + table.String() }
func summedBins(table facts.Table) string  { return "pg_temp.verify_" + table.String() + "_bins" }

// keyDefinitions are the columns of a key as they travel: days and hours as the
// numbers that facts have.
func keyDefinitions(table facts.Table) string {
	columns := []string{"tenant_id integer NOT NULL"}
	for _, column := range table.Columns().Key {
		key := keyColumns[column]
		kind := strings.TrimSuffix(key.array, "[]")
		if kind == "text" {
			kind += ` COLLATE "C"`
		}
		columns = append(columns, fmt.Sprintf("%s %s NOT NULL", key.name, kind))
	}
	return strings.Join(columns, ", ")
}

// definitions are the statements that make the temporary tables.
func (c *contributionSums) definitions() []string {
	var statements []string
	define := func(name, columns string) {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (%s) ON COMMIT DROP", name, columns))
	}
	for _, table := range facts.Tables() {
		columns := []string{keyDefinitions(table)}
		for _, sum := range append([]string{"refs"}, table.Columns().Sums...) {
			columns = append(columns, sum+" bigint NOT NULL")
		}
		define(summedTable(table), strings.Join(columns, ", "))
		if table.Columns().Bins != "" {
			define(summedBins(table), keyDefinitions(table)+", bin smallint NOT NULL, n bigint NOT NULL")
		}
	}
	return statements
}

// add takes what a session or a customer has contributed.
func (c *contributionSums) add(ctx context.Context, tenant int32, rows facts.Contributions) error {
	if len(rows) == 0 {
		return nil
	}
	c.pending[tenant] = append(c.pending[tenant], rows)
	if c.rows += len(rows); c.rows < spillRows {
		return nil
	}
	return c.spill(ctx)
}

// spill writes what is pending. Sessions of the same time are much alike, so
// that a fraction of the rows is left when those of one key are added first.
func (c *contributionSums) spill(ctx context.Context) error {
	byTable := make(map[facts.Table][]tenantRow)
	for tenant, lists := range c.pending {
		for _, row := range addAll(lists) {
			byTable[row.Table] = append(byTable[row.Table], tenantRow{tenant, row})
		}
	}
	clear(c.pending)
	c.rows = 0
	for table, rows := range byTable {
		if err := c.spillTable(ctx, table, rows); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

func (c *contributionSums) spillTable(ctx context.Context, table facts.Table, rows []tenantRow) error {
	arrays := rowArrays(rows, len(table.Columns().Sums))
	if err := c.insert(ctx, summedTable(table), table, rows, arrays); err != nil {
		return err
	}
	var each []tenantRow
	var bins []int16
	var counts []int64
	for i := range rows {
		for _, bin := range rows[i].Bins {
			each, bins, counts = append(each, rows[i]), append(bins, int16(bin.Bin)), append(counts, bin.Count)
		}
	}
	if len(each) == 0 {
		return nil
	}
	return c.insert(ctx, summedBins(table), table, each, []any{bins, counts})
}

// rowArrays are refs and sums, each an array over all rows.
func rowArrays(rows []tenantRow, sums int) []any {
	arrays := make([]any, 0, 1+sums)
	refs := make([]int64, len(rows))
	for i := range rows {
		refs[i] = rows[i].Refs
	}
	arrays = append(arrays, refs)
	for sum := range sums {
		array := make([]int64, len(rows))
		for i := range rows {
			array[i] = rows[i].Sums[sum]
		}
		arrays = append(arrays, array)
	}
	return arrays
}

// insert writes the keys of rows, and numbers as further columns.
func (c *contributionSums) insert(ctx context.Context, into string, table facts.Table, rows []tenantRow, numbers []any) error {
	tenants := make([]int32, len(rows))
	for i := range rows {
		tenants[i] = rows[i].tenant
	}
	arguments, types := []any{tenants}, []string{"$1::integer[]"}
	for _, column := range table.Columns().Key {
		key := keyColumns[column]
		arguments = append(arguments, key.of(rows))
		types = append(types, fmt.Sprintf("$%d::%s", len(arguments), key.array))
	}
	for _, array := range numbers {
		kind := "bigint[]"
		if _, small := array.([]int16); small {
			kind = "smallint[]"
		}
		arguments = append(arguments, array)
		types = append(types, fmt.Sprintf("$%d::%s", len(arguments), kind))
	}
	_, err := c.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT * FROM unnest(%s)", into, strings.Join(types, ", ")), arguments...)
	return err
}
