package postgres_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/nexero-vr/nexero/internal/facts"
)

// analyst is a fixture that looks at the views from another time zone than the
// server's and the properties': no day may depend on who asks.
func analyst(t *testing.T) *fixture {
	t.Helper()
	f := setup(t)
	config := f.db.Config()
	config.ConnConfig.RuntimeParams["timezone"] = "Asia/Tokyo"
	db, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f.db = db
	return f
}

// wantView compares the rows of a view, as PostgreSQL writes rows.
func (f *fixture) wantView(view string, want ...string) {
	f.Helper()
	f.want("SELECT v::text FROM analytics."+view+" v ORDER BY v::text", want...)
}

// binned counts lengths as columns of bins do.
func binned(lengths ...int64) []int32 {
	counts := make([]int32, facts.BinCount)
	for _, ms := range lengths {
		counts[facts.BinOf(ms)]++
	}
	return counts
}

// views are all views of schema analytics.
const views = "SELECT relname FROM pg_class WHERE relnamespace = 'analytics'::regnamespace AND relkind = 'v' ORDER BY relname"

// describe makes two tenants. The property of the first has a name and days of
// its own, that of the second is unknown.
func (f *fixture) describe() {
	f.Helper()
	f.exec("INSERT INTO nexero.tenants (name) VALUES ('acme'), ('other')")
	f.exec("INSERT INTO nexero.properties (tenant_id, property_id, name, time_zone) VALUES (1, 'loft', 'The Loft', 'Europe/Berlin')")
}

// rolled stores the sums of two days.
func (f *fixture) rolled() {
	f.Helper()
	f.exec(`INSERT INTO rollup.zones_daily VALUES
	        (1, 1, 'loft', '2026-03-01', 'kitchen', 2, 3, 4650, 1, 1, 1, 2, 0, $1), (2, 1, '', '2026-03-01', 'hall', 1, 1, 1, 0, 0, 0, 0, 0, $2)`,
		binned(750, 1900, 2000), binned(1))
	f.exec("INSERT INTO rollup.gaze_targets_daily VALUES (1, 1, 'loft', '2026-03-01', 'kitchen', 'oven', 3, 7, 12345, 2, 600, 2, 9001, $1)",
		binned(1, 9000))
	f.exec("INSERT INTO rollup.gaze_targets_daily VALUES (1, 1, 'loft', '2026-03-02', '', 'sky', 1, 1, 300, 0, 0, 0, 0, $1)", binned())
	f.exec("INSERT INTO rollup.interactions_daily VALUES (1, 1, 'loft', '2026-03-01', 'kitchen', 'tap', 'open', 2, 5)")
	f.exec("INSERT INTO rollup.floor_heatmap_daily VALUES (1, 1, 'loft', '2026-03-01', -1, -3, 5, 2, 1501)")
	f.exec(`INSERT INTO rollup.events_hourly VALUES (1, 1, 'loft', '2026-03-01 23:00Z', 2, 3, 40), (2, 1, '', '2026-03-01 23:00Z', 99, 1, 2)`)
	f.exec("INSERT INTO rollup.properties_daily VALUES (1, 1, 'loft', '2026-03-01', 3, 780004, 700000, 2, 1, 900, 1, $1), (2, 1, '', '2026-03-01', 1, 5, 5, 0, 0, 2, 0, $2)",
		binned(4, 180_000, 600_000), binned(5))
	f.exec("INSERT INTO rollup.customers_daily VALUES (1, 1, 'loft', '2026-03-01', 2, 1)")
}

func TestAnalytics_Days(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	f.describe()
	f.rolled()
	f.wantView("zones_daily",
		`(acme,loft,"The Loft",2026-03-01,kitchen,2,3,4.650,1.550,1.900,2.100,1,2,0,1,1)`,
		`(other,"",,2026-03-01,hall,1,1,0.001,0.001,0.050,0.050,0,0,0,0,0)`)
	f.wantView("gaze_targets_daily",
		`(acme,loft,"The Loft",2026-03-01,kitchen,oven,3,7,12.345,2,0.600,2,4.501,0.050,9.200)`,
		`(acme,loft,"The Loft",2026-03-02,"",sky,1,1,0.300,0,0.000,0,,,)`)
	f.wantView("interactions_daily", `(acme,loft,"The Loft",2026-03-01,kitchen,tap,open,2,5)`)
	f.wantView("floor_heatmap_daily", `(acme,loft,"The Loft",2026-03-01,-1,-3,5,-0.75,1.25,2,1.501)`)
	f.wantView("events_hourly",
		`(acme,loft,"The Loft","2026-03-02 08:00:00+09","2026-03-02 00:00:00",gaze,3,40)`,
		`(other,"",,"2026-03-02 08:00:00+09","2026-03-01 23:00:00",,1,2)`)
	f.wantView("properties_daily",
		`(acme,loft,"The Loft",2026-03-01,Europe/Berlin,3,2,1,780.004,260.001,185.600,588.800,700.000,2,1,900,1)`,
		`(other,"",,2026-03-01,UTC,1,0,0,0.005,0.005,0.050,0.050,0.005,0,0,2,0)`)
	f.want("SELECT x_m * 100 / cell_x FROM analytics.floor_heatmap_daily WHERE x_m * 100 <> cell_x * " + strconv.Itoa(facts.CellCM))
}

// rule 4: what has not been moved into the sums is in the view all the same.
func TestAnalytics_DataQuality(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	f.describe()
	f.exec(`INSERT INTO rollup.data_quality_daily (tenant_id, day, measure, code, n) VALUES
	        (1, '2026-03-01', 'batches', '', 10), (1, '2026-03-01', 'received', '', 100), (1, '2026-03-01', 'accepted', '', 95),
	        (1, '2026-03-01', 'rejected', 'invalid_text', 4), (1, '2026-03-01', 'rejected', 'missing_timestamp', 1),
	        (1, '2026-03-01', 'late', '', 7), (1, '2026-03-01', 'corrected', '', 8), (2, '2026-03-01', 'repeats', '', 3),
	        (2, '2026-03-01', 'bodies', 'unreadable_body', 2)`)
	const other = "(other,2026-03-01,0,3,0,0,0,{},2,0,0)"
	f.wantView("data_quality_daily",
		`(acme,2026-03-01,10,0,100,95,5,"{""invalid_text"": 4, ""missing_timestamp"": 1}",0,7,8)`, other)

	// A new batch, a repeat that replaces one rejection, and a day that came to nothing.
	f.exec(`INSERT INTO nexero.quality_changes (tenant_id, day, measure, code, change) VALUES
	        (1, '2026-03-01', 'batches', '', 1), (1, '2026-03-01', 'received', '', 2), (1, '2026-03-01', 'accepted', '', 3),
	        (1, '2026-03-01', 'rejected', 'missing_timestamp', -1), (1, '2026-03-01', 'repeats', '', 1),
	        (1, '2026-03-02', 'received', '', 1), (1, '2026-03-02', 'received', '', -1)`)
	after := []string{`(acme,2026-03-01,11,1,102,98,4,"{""invalid_text"": 4}",0,7,8)`, other}
	f.wantView("data_quality_daily", after...)

	f.exec(`WITH moved AS (DELETE FROM nexero.quality_changes RETURNING *)
	        INSERT INTO rollup.data_quality_daily AS d SELECT tenant_id, day, measure, code, sum(change) FROM moved GROUP BY 1, 2, 3, 4
	        ON CONFLICT (tenant_id, day, measure, code) DO UPDATE SET n = d.n + excluded.n`)
	f.wantView("data_quality_daily", after...)
}

// sessions stores a session with all that a client can say, one that said
// nothing, and one that was never rolled up.
func (f *fixture) sessions() {
	f.Helper()
	for n, client := range []string{"Tour {1}", "tour-2", "tour-3"} {
		f.exec("INSERT INTO nexero.sessions (session_id, first_received_at, tenant_id, client_id) VALUES ($1, now(), 1, $2)",
			"00000000-0000-0000-0000-00000000000"+strconv.Itoa(n+1), client)
	}
	f.exec(`INSERT INTO nexero.session_facts (session_no, generation, tenant_id, rolled_at, customer_id, property_id, device,
	            started_at, ended_at, duration_ms, active_ms, events, over_limit, zones, entry_zone, exit_zone, seq_received, seq_expected,
	            ended, clock_stepped, sealed, start_declared, end_declared, first_received_at, last_received_at,
	            visit_zones, visit_levels, visit_entered_at, visit_left_at, visit_dwell_ms, visit_closed_by)
	        VALUES (1, 1, 1, '2026-03-02 10:00Z', 'anna', 'loft', 'quest-3',
	            '2026-03-01 22:59:58Z', '2026-03-01 23:10Z', 602000, 601001, 321, 2, 2, 'hall', 'kitchen', 299999, 300000,
	            true, true, true, true, false, '2026-03-02 09:00Z', '2026-03-02 09:10Z',
	            '{hall,kitchen}', '{0,-1}', '{2026-03-01 22:59:58Z,2026-03-01 23:00:00.5Z}', '{2026-03-01 23:00:00.25Z,2026-03-01 23:10Z}',
	            '{2250,500001}', '{exit,session_end}')`)
	f.exec(`INSERT INTO nexero.session_facts (session_no, generation, tenant_id, rolled_at, started_at, ended_at,
	            duration_ms, active_ms, events, over_limit, zones, seq_received, seq_expected, first_received_at, last_received_at,
	            visit_zones, visit_levels, visit_entered_at, visit_left_at, visit_dwell_ms, visit_closed_by)
	        VALUES (2, 1, 1, '2026-03-02 10:00Z', '2026-03-01 23:30Z', '2026-03-01 23:30Z', 0, 0, 1, 0, 0, 0, 0, '2026-03-01 23:31Z', '2026-03-01 23:31Z',
	            '{}', '{}', '{}', '{}', '{}', '{}')`)
	f.exec("INSERT INTO nexero.session_facts (session_no, generation, tenant_id) VALUES (3, 1, 1)")
}

func TestAnalytics_SessionsAndVisits(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	f.describe()
	f.sessions()
	const (
		key1 = "00000000-0000-0000-0000-000000000001"
		key2 = "00000000-0000-0000-0000-000000000002"
	)
	f.wantView("sessions",
		`(acme,"Tour {1}",`+key1+`,loft,"The Loft",anna,quest-3,"2026-03-02 07:59:58+09","2026-03-02 08:10:00+09",2026-03-01,Europe/Berlin,`+
			`602.000,601.001,321,2,hall,kitchen,0.9999,completed,2,t,t,t,f,"2026-03-02 18:00:00+09","2026-03-02 18:10:00+09","2026-03-02 19:00:00+09")`,
		`(acme,tour-2,`+key2+`,,,,,"2026-03-02 08:30:00+09","2026-03-02 08:30:00+09",2026-03-01,UTC,`+
			`0.000,0.000,1,0,,,,dropped,0,f,f,f,f,"2026-03-02 08:31:00+09","2026-03-02 08:31:00+09","2026-03-02 19:00:00+09")`)
	// The second visit begins after midnight in Berlin.
	f.wantView("zone_visits",
		`(acme,"Tour {1}",`+key1+`,"2026-03-02 07:59:58+09",loft,"The Loft",1,hall,0,"2026-03-02 07:59:58+09","2026-03-02 08:00:00.25+09",2026-03-01,2.250,2.250,exit)`,
		`(acme,"Tour {1}",`+key1+`,"2026-03-02 07:59:58+09",loft,"The Loft",2,kitchen,-1,"2026-03-02 08:00:00.5+09","2026-03-02 08:10:00+09",2026-03-02,599.500,500.001,session_end)`)

	for _, c := range []struct {
		received, expected int64
		want               string
	}{
		{0, 0, "unknown"}, // the client does not count
		{3, 3, "1.0000"},
		{9, 3, "1.0000"}, // it began to count anew
		{1, math.MaxInt64, "0.0000"},
	} {
		f.exec("UPDATE nexero.session_facts SET seq_received = $1, seq_expected = $2 WHERE session_no = 1", c.received, c.expected)
		f.want("SELECT coalesce(completeness::text, 'unknown') FROM analytics.sessions WHERE session_key = '"+key1+"'", c.want)
	}
}

func TestAnalytics_StatusIsOfReceipt(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	f.describe()
	f.sessions()
	for _, c := range []struct{ ended, last, want string }{
		{"false", "now()", "active"},
		{"false", "now() - interval '29 minutes'", "active"},
		{"false", "now() - interval '30 minutes'", "dropped"},
		{"false", "NULL", "dropped"},
		{"true", "now()", "completed"},
		{"true", "now() - interval '1 year'", "completed"},
	} {
		f.exec("UPDATE nexero.session_facts SET ended = " + c.ended + ", last_received_at = " + c.last + " WHERE session_no = 2")
		f.want("SELECT status FROM analytics.sessions WHERE session = 'tour-2'", c.want)
	}
}

func TestAnalytics_EmptyTablesAreEmptyViews(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	names := f.lines(views)
	if len(names) == 0 {
		t.Fatal("there is no view")
	}
	for _, view := range names {
		f.wantView(view)
	}
}

// A rebuild fills another generation beside the one that is read.
func TestAnalytics_ShowTheLiveGenerationOnly(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	f.describe()
	f.rolled()
	f.sessions()
	rows := func() (rows []string) {
		for _, view := range f.lines(views) {
			rows = append(rows, f.lines("SELECT v::text FROM analytics."+view+" v ORDER BY v::text")...)
		}
		return rows
	}
	before := rows()
	f.exec("INSERT INTO nexero.generations (generation, live) VALUES (2, false)")

	f.exec("UPDATE rollup.customers_daily SET generation = 2")
	f.want("SELECT sessions, customers, repeat_visitors FROM analytics.properties_daily WHERE tenant = 'acme'", "3 0 0")
	for _, table := range f.lines(`SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	        WHERE attname = 'generation' AND relkind = 'r' AND attrelid <> 'nexero.generations'::regclass`) {
		f.exec("UPDATE " + table + " SET generation = 2")
	}
	if got := rows(); len(got) > 0 {
		t.Errorf("views show rows of a generation that is not live: %q", got)
	}
	f.exec("UPDATE nexero.generations SET live = false WHERE generation = 1")
	f.exec("UPDATE nexero.generations SET live = true WHERE generation = 2")
	if diff := cmp.Diff(before, rows()); diff != "" {
		t.Errorf("after the switch (-want +got):\n%s", diff)
	}
}

// rule 8: who may not read a table may not read it through a view.
func TestAnalytics_RunWithTheReadersRights(t *testing.T) {
	t.Parallel()
	f := analyst(t)
	tx, err := f.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	// Roles belong to the cluster; this one is gone with the transaction.
	role := pgx.Identifier{"analyst_of_" + f.db.Config().ConnConfig.Database}.Sanitize()
	if _, err := tx.Exec(t.Context(), "CREATE ROLE "+role+"; GRANT USAGE ON SCHEMA analytics TO "+role+
		"; GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO "+role+"; SET LOCAL ROLE "+role); err != nil {
		t.Fatal(err)
	}
	for _, view := range f.lines(views) {
		nested, err := tx.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = nested.Exec(t.Context(), "SELECT FROM analytics."+view)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
			t.Errorf("%s is read with others' rights: %v", view, err)
		}
		if err := nested.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// An absent list of rights would give functions to everybody.
	f.want(`SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	        WHERE a.grantee = 0 AND p.pronamespace = 'analytics'::regnamespace`)
	f.want(`SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a
	        WHERE a.grantee = 0 AND c.relnamespace IN ('analytics'::regnamespace, 'rollup'::regnamespace)`)
}
