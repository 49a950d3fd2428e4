package postgres_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// example is a heading of docs/analytics.md with the query below it.
var example = regexp.MustCompile("(?s)\n### ([^\n]+)\n\n```sql\n(.*?)```\n")

// wholeTable finds a plan that reads a table which grows. What operators write
// is small, and changes of quality are moved on within seconds.
var wholeTable = regexp.MustCompile(`Seq Scan on (\w*_daily|\w*_hourly|session\w*)\b`)

// TestPlans_AnalystsExamples runs what docs/analytics.md tells analysts to ask
// for, and keeps it from reading tables as a whole.
func TestPlans_AnalystsExamples(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/analytics.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := example.FindAllStringSubmatch(string(doc), -1)
	if blocks := strings.Count(string(doc), "```sql"); len(examples) < 8 || len(examples) != blocks {
		t.Fatalf("%d examples and %d blocks of SQL", len(examples), blocks)
	}
	f := analyst(t)
	f.season()
	for _, example := range examples {
		name, sql := example[1], example[2]
		plan := strings.Join(f.lines("EXPLAIN (COSTS OFF) "+sql), "\n")
		t.Logf("%s\n%s", name, plan)
		if found := wholeTable.FindString(plan); found != "" {
			t.Errorf("%s %s", name, found)
		}
		if rows := f.lines(sql); len(rows) == 0 {
			t.Errorf("%s finds nothing", name)
		}
	}
}

// season fills four months of 20 properties, the first of which is the one in
// the examples.
func (f *fixture) season() {
	f.Helper()
	f.exec("INSERT INTO nexero.tenants (name) VALUES ('acme'), ('other'), ('third')")
	f.exec("INSERT INTO nexero.properties (tenant_id, property_id, name, time_zone) VALUES (1, 'loft', 'The Loft', 'Europe/Berlin')")
	f.exec(`CREATE VIEW public.days AS SELECT p % 3 + 1 AS tenant, CASE p WHEN 0 THEN 'loft' ELSE 'house ' || p END AS property, current_date - d AS day
	        FROM generate_series(0, 19) p, generate_series(0, 119) d`)
	f.exec("INSERT INTO rollup.properties_daily SELECT tenant, 1, property, day, 2, 400000, 300000, 1, 0, 500, 0, $1 FROM public.days", binned(1, 399_999))
	f.exec("INSERT INTO rollup.customers_daily SELECT tenant, 1, property, day, 2, 1 FROM public.days")
	f.exec(`INSERT INTO rollup.zones_daily SELECT tenant, 1, property, day, zone, 2, 3, 6000, 0, 1, 1, 1, 0, $1
	        FROM public.days, unnest('{hall,kitchen,bath,terrace}'::text[]) zone`, binned(1000, 2000, 3000))
	f.exec(`INSERT INTO rollup.gaze_targets_daily SELECT tenant, 1, property, day, 'kitchen', object, 2, 3, 6000, 1, 500, 2, 900, $1
	        FROM public.days, unnest('{oven,sink,window}'::text[]) object`, binned(400, 500))
	f.exec("INSERT INTO rollup.interactions_daily SELECT tenant, 1, property, day, 'kitchen', object, 'open', 1, 2 FROM public.days, unnest('{tap,oven,door}'::text[]) object")
	f.exec("INSERT INTO rollup.floor_heatmap_daily SELECT tenant, 1, property, day, 0, x, y, 1, 900 FROM public.days, generate_series(-2, 2) x, generate_series(0, 3) y")
	f.exec("INSERT INTO rollup.events_hourly SELECT tenant, 1, property, day + h * interval '1 hour', 1, 1, 900 FROM public.days, generate_series(8, 18) h")
	f.exec("INSERT INTO rollup.data_quality_daily SELECT DISTINCT tenant, day, measure, '', 9 FROM public.days, unnest('{batches,received,accepted}'::text[]) measure")
	f.exec("INSERT INTO rollup.data_quality_daily SELECT DISTINCT tenant, day, 'rejected', 'invalid_text', 1 FROM public.days")
	f.exec(`INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id)
	        SELECT gen_random_uuid(), day, tenant, property || n FROM public.days, generate_series(1, 4) n ORDER BY day`)
	f.exec(`INSERT INTO nexero.session_facts (session_no, generation, tenant_id, rolled_at, customer_id, property_id, device, started_at, ended_at,
	            duration_ms, active_ms, events, over_limit, seq_received, seq_expected, ended, first_received_at, last_received_at,
	            visit_zones, visit_levels, visit_entered_at, visit_left_at, visit_dwell_ms, visit_closed_by)
	        SELECT session_no, 1, tenant_id, now(), CASE session_no % 500 WHEN 1 THEN 'anna' END, rtrim(client_id, '1234'), 'quest', first_received_at,
	            first_received_at, 60000, 50000, 100, 0, 99, 100, session_no % 3 = 0, first_received_at, first_received_at,
	            '{hall,kitchen}', '{0,0}', ARRAY[first_received_at, first_received_at], ARRAY[first_received_at, first_received_at], '{900,1800}', '{exit,exit}'
	        FROM nexero.sessions`)
	f.exec("ANALYZE")
}
