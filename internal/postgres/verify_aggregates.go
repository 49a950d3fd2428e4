package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexero-vr/nexero/internal/facts"
)

// checkAggregates compares each aggregate row with the sum of what sessions and
// customers have contributed to it, which was added up before.
func (v *verifier) checkAggregates(ctx context.Context) error {
	if err := v.sums.spill(ctx); err != nil {
		return err
	}
	tables := facts.Tables()
	for i, table := range tables {
		v.progress(Progress{"aggregates", int64(i), int64(len(tables))})
		// Nobody else ever analyses a temporary table, and the planner takes one
		// that nobody has for small.
		for _, summed := range []string{summedTable(table), summedBins(table)} {
			if summed == summedBins(table) && table.Columns().Bins == "" {
				continue
			}
			if _, err := v.conn.Exec(ctx, "ANALYZE "+summed); err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
		}
		if err := v.check(ctx, sumCheck(table)); err != nil {
			return err
		}
		total := AggregateTotal{Table: table.String()}
		count := fmt.Sprintf("SELECT count(*) FROM rollup.%s WHERE generation = $1", table)
		if err := v.conn.QueryRow(ctx, count, v.generation).Scan(&total.Rows); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		v.found.Aggregates = append(v.found.Aggregates, total)
	}
	return nil
}

// sumCheck compares a table with its sums, in both directions. The refs s.refs
// and m.refs are never NULL in a row, so they tell on which side it is missing.
func sumCheck(table facts.Table) check {
	columns := table.Columns()
	numbers := append([]string{"refs"}, columns.Sums...)
	keys, made := keyNames(table)
	// What a missing row says, what a wrong one says, and when one is right.
	var sums, whole, wrong, right []string
	for _, n := range numbers {
		sums = append(sums, fmt.Sprintf("sum(%[1]s)::bigint AS %[1]s", n))
		whole = append(whole, fmt.Sprintf("'%[1]s ' || coalesce(m.%[1]s, s.%[1]s)", n))
		wrong = append(wrong, fmt.Sprintf("CASE WHEN s.%[1]s <> m.%[1]s THEN '%[1]s is ' || s.%[1]s || ', must be ' || m.%[1]s END", n))
		right = append(right, fmt.Sprintf("s.%[1]s = m.%[1]s", n))
	}
	bins := ""
	if columns.Bins != "" {
		bins = "\nLEFT JOIN (" + binsQuery(table, keys, made) + ") b USING (" + keys + ")"
		wrong = append(wrong, "b.found")
		right = append(right, "b.found IS NULL")
	}
	return check{"aggregates are the sums of facts", fmt.Sprintf(`
SELECT %[1]s,
       CASE WHEN s.refs IS NULL THEN 'is not there, must be: ' || concat_ws(', ', %[2]s)
            WHEN m.refs IS NULL THEN 'is there, must not be: ' || concat_ws(', ', %[2]s)
            ELSE concat_ws('; ', %[3]s) END
FROM (SELECT %[4]s, %[5]s FROM rollup.%[6]s WHERE generation = @generation) s
FULL JOIN (SELECT %[7]s, %[8]s FROM %[9]s GROUP BY %[4]s) m USING (%[4]s)%[10]s
WHERE (%[11]s) IS NOT TRUE`,
		rowName(table), strings.Join(whole, ", "), strings.Join(wrong, ", "),
		keys, strings.Join(numbers, ", "), table,
		made, strings.Join(sums, ", "), summedTable(table), bins, strings.Join(right, " AND "))}
}

// keyNames are the columns of a table's key with the tenant, as they are named
// and as they are made from those of its temporary tables.
func keyNames(table facts.Table) (names, made string) {
	all, values := []string{"tenant_id"}, []string{"tenant_id"}
	for _, column := range table.Columns().Key {
		key := keyColumns[column]
		all = append(all, key.name)
		values = append(values, fmt.Sprintf(key.value, key.name)+" AS "+key.name)
	}
	return strings.Join(all, ", "), strings.Join(values, ", ")
}

// binsQuery finds rows whose bins are not what they must be: their number, or
// what is in one of them.
func binsQuery(table facts.Table, keys, made string) string {
	return fmt.Sprintf(`
SELECT %[1]s, string_agg(CASE WHEN bin IS NULL THEN '%[2]s has ' || is_there || ' bins from ' || must || ' on'
                           ELSE 'bin ' || bin || ' of %[2]s is ' || coalesce(is_there, 0) || ', must be ' || coalesce(must, 0) END,
                      '; ' ORDER BY bin NULLS FIRST) AS found
FROM (SELECT %[1]s, bin, s.n AS is_there, m.n AS must
      FROM (SELECT %[1]s, (u.bin - 1)::smallint AS bin, u.n
            FROM rollup.%[3]s, unnest(%[2]s) WITH ORDINALITY AS u (n, bin)
            WHERE generation = @generation AND u.n <> 0) s
      FULL JOIN (SELECT %[4]s, bin, sum(n)::bigint AS n FROM %[5]s GROUP BY %[1]s, bin HAVING sum(n) <> 0) m USING (%[1]s, bin)
      WHERE s.n IS DISTINCT FROM m.n
      UNION ALL
      SELECT %[1]s, NULL, cardinality(%[2]s), coalesce(array_lower(%[2]s, 1), 1)
      FROM rollup.%[3]s
      WHERE generation = @generation AND (cardinality(%[2]s) <> %[6]d OR array_lower(%[2]s, 1) <> 1)) d
GROUP BY %[1]s`,
		keys, table.Columns().Bins, table, made, summedBins(table), facts.BinCount)
}

// rowName is an expression for the name of a row.
func rowName(table facts.Table) string {
	parts := []string{"'" + table.String() + " tenant'", "tenant_id"}
	for _, column := range table.Columns().Key {
		switch name := keyColumns[column].name; column {
		case facts.KeyLevel, facts.KeyX, facts.KeyY, facts.KeyType:
			parts = append(parts, fmt.Sprintf("'%s ' || %s", strings.ReplaceAll(name, "_", " "), name))
		case facts.KeyDay, facts.KeyHour:
			parts = append(parts, name)
		default: // names that people gave
			parts = append(parts, fmt.Sprintf("coalesce(nullif(%s, ''), '''''')", name))
		}
	}
	return "concat_ws(' ', " + strings.Join(parts, ", ") + ")"
}
