package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/recording"
)

// aggregateQueries read each table as sums: the key, and all numbers.
func aggregateQueries() map[string]string {
	return map[string]string{
		"zones_daily": `SELECT concat_ws('|', property_id, day, zone),
			ARRAY[refs, visits, dwell_ms, pass_throughs, revisits, entries, exits, bounces] || dwell_bins::bigint[]`,
		"zone_transitions_daily": `SELECT concat_ws('|', property_id, day, zone, object), ARRAY[refs, transitions]`,
		"gaze_targets_daily": `SELECT concat_ws('|', property_id, day, zone, object),
			ARRAY[refs, looks, look_ms, fixations, fixation_ms, first_looks, first_look_ms] || first_look_bins::bigint[]`,
		"interactions_daily":  `SELECT concat_ws('|', property_id, day, zone, object, kind), ARRAY[refs, interactions]`,
		"floor_heatmap_daily": `SELECT concat_ws('|', property_id, day, level, x, y), ARRAY[refs, heat_ms]`,
		"events_hourly": `SELECT concat_ws('|', property_id, to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
			(SELECT name FROM nexero.event_types e WHERE e.event_type = a.event_type)), ARRAY[refs, events]`,
		"properties_daily": `SELECT concat_ws('|', property_id, day),
			ARRAY[refs, duration_ms, active_ms, engaged, high_intent, events, over_limit] || duration_bins::bigint[]`,
		"customers_daily": `SELECT concat_ws('|', property_id, day), ARRAY[refs, repeat_visitors]`,
	}
}

// aggregates reads the whole of every aggregate table.
func aggregates(t *testing.T, db *pgx.Conn) tables {
	t.Helper()
	all := tables{}
	for table, query := range aggregateQueries() {
		for key, numbers := range readSums(t, db, query+` FROM rollup.`+table+` a`) {
			all.add(table, key, numbers...)
		}
	}
	return all
}

// readSums reads keys and their numbers. A key that comes twice is a fault:
// nothing may be hidden by adding up.
func readSums(t *testing.T, db *pgx.Conn, query string) sums {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	read := sums{}
	var key string
	var numbers []int64
	if _, err := pgx.ForEachRow(rows, []any{&key, &numbers}, func() error {
		if read[key] != nil {
			return fmt.Errorf("two rows of %s", key)
		}
		read[key], numbers = numbers, nil
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return read
}

// checkAggregates compares facts and aggregates with what a recording means
// after the given number of copies.
func checkAggregates(t *testing.T, db *pgx.Conn, file string, want recording.Expectation, copies int) {
	t.Helper()
	o, err := consult(file, want.Sessions)
	if err != nil {
		t.Fatal(err)
	}
	differ(t, o.expected(copies), aggregates(t, db))
	o.checkSessionViews(t, db, copies)
	o.checkDailyViews(t, db, want, copies)
}

// differ reports the rows in which tables differ, a few of each table.
func differ(t *testing.T, want, got tables) {
	t.Helper()
	if len(want) == 0 {
		t.Error("nothing is expected: nothing is compared")
	}
	names := maps.Clone(want)
	maps.Copy(names, got)
	for table := range names {
		if diff := cmp.Diff(want[table], got[table]); diff != "" {
			t.Errorf("%s: %d rows, want %d (-expected +stored):\n%s", table, len(got[table]), len(want[table]), diff[:min(len(diff), 4000)])
		}
	}
}

// checkSessionViews compares every session of every copy.
func (o *oracle) checkSessionViews(t *testing.T, db *pgx.Conn, copies int) {
	t.Helper()
	want := map[string]seen{}
	for _, one := range o.tours {
		for number := 1; number <= copies; number++ {
			id := recording.Request{Body: fmt.Sprintf(`{"session_id":%q}`, one.ID)}.ForCopy(number).SessionID()
			want[id] = one.seen()
		}
	}
	if diff := cmp.Diff(want, readSessions(t, db)); diff != "" {
		t.Errorf("analytics.sessions (-recording +stored):\n%s", diff[:min(len(diff), 4000)])
	}
	var visits int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM analytics.zone_visits`).Scan(&visits); err != nil || visits != 0 {
		t.Errorf("%d visits (%v) in a recording without zones", visits, err)
	}
}

// readSessions reads analytics.sessions by the client's own id.
func readSessions(t *testing.T, db *pgx.Conn) map[string]seen {
	t.Helper()
	rows, err := db.Query(t.Context(), `
		SELECT session, coalesce(property, ''), coalesce(customer, ''),
		       (extract(epoch FROM started_at) * 1000)::bigint, (extract(epoch FROM ended_at) * 1000)::bigint,
		       (duration_s * 1000)::bigint, (active_s * 1000)::bigint, events, zones, status
		FROM analytics.sessions`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]seen{}
	var id string
	var s seen
	if _, err := pgx.ForEachRow(rows, []any{
		&id, &s.Property, &s.Customer, &s.StartMS, &s.EndMS, &s.DurationMS, &s.ActiveMS, &s.Events, &s.Zones, &s.Status,
	}, func() error {
		got[id] = s
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// checkDailyViews compares what analysts read of looks, floor, days and quality
// with sums over the whole recording.
func (o *oracle) checkDailyViews(t *testing.T, db *pgx.Conn, want recording.Expectation, copies int) {
	t.Helper()
	looks, days, times := sums{}, sums{}, int64(copies)
	for target, ms := range want.LookTimeMS {
		looks[target] = []int64{0, ms * times}
	}
	all := o.expected(copies)
	for key, row := range all["gaze_targets_daily"] {
		looks[key[strings.LastIndexByte(key, '|')+1:]][0] += row[1]
	}
	for key, row := range all["properties_daily"] {
		came := all["customers_daily"][key]
		if came == nil {
			came = []int64{0, 0}
		}
		days[key] = []int64{row[0], came[0], came[1], row[1], row[2], row[3], row[4], row[5]}
	}
	batches := int64(want.Requests-want.Repeats) * times
	events := int64(want.Events) * times
	for _, view := range []struct {
		name, query string
		want        sums
	}{
		{"gaze_targets_daily", `SELECT target, ARRAY[sum(looks)::bigint, (sum(look_s) * 1000)::bigint]
			FROM analytics.gaze_targets_daily GROUP BY target`, looks},
		{"floor_heatmap_daily", `SELECT concat_ws('|', property, day, level, x, y), ARRAY[sessions, (time_s * 1000)::bigint]
			FROM (SELECT *, (x_m / 0.25)::integer AS x, (y_m / 0.25)::integer AS y FROM analytics.floor_heatmap_daily) a`, all["floor_heatmap_daily"]},
		{"properties_daily", `SELECT concat_ws('|', property, day), ARRAY[sessions, customers, repeat_visitors,
			(duration_s * 1000)::bigint, (active_s * 1000)::bigint, engaged, high_intent, events] FROM analytics.properties_daily`, days},
		{"data_quality_daily", `SELECT 'all', ARRAY[sum(batches)::bigint, sum(received)::bigint, sum(accepted)::bigint, sum(rejected)::bigint]
			FROM analytics.data_quality_daily`, sums{"all": {batches, events, events, 0}}},
	} {
		if diff := cmp.Diff(view.want, readSums(t, db, view.query)); diff != "" {
			t.Errorf("analytics.%s (-recording +stored):\n%s", view.name, diff[:min(len(diff), 4000)])
		}
	}
}
