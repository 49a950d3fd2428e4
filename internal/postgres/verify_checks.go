package postgres

import (
	"fmt"
	"strings"

	"github.com/nexero-vr/nexero/internal/facts"
)

// factsChecks are rules of what roll-ups read and write that a single query can
// check.
func factsChecks() []check {
	return []check{
		{"one generation is live", `
SELECT 'nexero.generations', 'none of ' || count(*) || ' is live, so no facts count'
FROM nexero.generations
HAVING count(*) FILTER (WHERE live) = 0`},

		{"generations are there", generationsQuery()},

		{"touches have their batch and session", `
SELECT 'touch of session no. ' || t.session_no || ' by batch no. ' || t.batch_no,
       CASE WHEN s.session_no IS NULL THEN 'there is no such session' ELSE 'there is no such batch' END
FROM nexero.session_touches t
LEFT JOIN nexero.sessions s USING (session_no)
WHERE s.session_no IS NULL
   OR (t.batch_no <> 0 AND t.received_at >= @ledger_kept AND NOT EXISTS (SELECT FROM nexero.batches b WHERE b.batch_no = t.batch_no))`},

		{"facts have their session", `
SELECT 'facts of session no. ' || f.session_no || ' in generation ' || f.generation,
       CASE WHEN s.session_no IS NULL THEN 'there is no such session'
            ELSE 'of tenant ' || f.tenant_id || ', the session is of tenant ' || s.tenant_id END
FROM nexero.session_facts f
LEFT JOIN nexero.sessions s USING (session_no)
WHERE s.tenant_id IS DISTINCT FROM f.tenant_id`},

		{"departed sessions are counted by their customers", `
SELECT 'tenant ' || d.tenant_id || ' customer ' || d.customer_id, count(*) || ' deleted sessions are still to be counted, and no touch asks for it'
FROM nexero.customer_departures d
WHERE NOT EXISTS (SELECT FROM nexero.customer_touches t WHERE t.tenant_id = d.tenant_id AND t.customer_id = d.customer_id)
GROUP BY d.tenant_id, d.customer_id`},

		{"data quality is what the ledger says", qualityCheck},
	}
}

// generationsQuery finds rows that were left of a generation which was given up.
func generationsQuery() string {
	tables := []string{"nexero.session_facts", "nexero.customer_facts", "nexero.past_contributions", "nexero.customer_departures"}
	for _, table := range facts.Tables() {
		tables = append(tables, "rollup."+table.String())
	}
	queries := make([]string, len(tables))
	for i, table := range tables {
		queries[i] = fmt.Sprintf(`
SELECT '%s', count(*) || ' rows of generation ' || generation || ', which is not there'
FROM %s WHERE generation NOT IN (SELECT generation FROM nexero.generations) GROUP BY generation`, table, table)
	}
	return strings.Join(queries, "\nUNION ALL")
}
