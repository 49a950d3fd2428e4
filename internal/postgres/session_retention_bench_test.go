package postgres_test

import (
	"testing"
	"time"
)

// BenchmarkForgetSessions deletes tours of 10 minutes at 10 Hz, copied from 64
// that were rolled up, and says what one costs, what is kept of one before and
// what is kept of all together afterwards, for each aggregate row.
func BenchmarkForgetSessions(b *testing.B) {
	const sessions, rounds, copies = 64, 120, 30
	f := setup(b)
	for round := range rounds {
		f.load(posts(b, 0, round, sessions)...)
	}
	f.roll(f.store)
	for _, sql := range []string{
		"TRUNCATE nexero.events, nexero.session_touches, nexero.customer_touches",
		"UPDATE nexero.sessions SET first_received_at = first_received_at - interval '410 days'",
		"UPDATE nexero.session_facts SET sealed = true, first_received_at = first_received_at - interval '410 days', last_received_at = last_received_at - interval '410 days'",
	} {
		f.exec(sql)
	}
	for range copies - 1 {
		f.exec(`WITH made AS (
		            INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id)
		            SELECT gen_random_uuid(), first_received_at, tenant_id, 'copy of ' || session_no FROM nexero.sessions WHERE client_id LIKE 'walk-%'
		            RETURNING session_no, client_id)
		        INSERT INTO nexero.session_facts
		        SELECT (jsonb_populate_record(f, jsonb_build_object('session_no', made.session_no))).*
		        FROM nexero.session_facts f JOIN made ON made.client_id = 'copy of ' || f.session_no`)
	}
	f.exec("ANALYZE")
	kept := f.lines("SELECT (pg_total_relation_size('nexero.session_facts') + pg_total_relation_size('nexero.sessions')) / count(*) FROM nexero.sessions")
	b.ResetTimer()
	began := time.Now()
	n := f.forgetSessions(f.store)
	took := time.Since(began)
	b.Logf("%s bytes a session kept; past contributions: %s", kept, f.lines(`
		SELECT pg_size_pretty(sum(pg_column_size(contributions))), count(*), (SELECT count(*) FROM rollup.floor_heatmap_daily) FROM nexero.past_contributions`))
	b.ReportMetric(float64(took.Microseconds())/float64(max(n, 1))/1000, "ms/session")
	b.ReportMetric(float64(n), "sessions")
	b.ReportMetric(0, "ns/op")
}
