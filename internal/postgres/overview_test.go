package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func TestOverview(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.describe()
	f.rolled()
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	properties := []string{"hut", "loft", ""} // in the order of their sessions on the 2nd
	for i, property := range properties {
		f.exec("INSERT INTO rollup.properties_daily VALUES (1, 1, $1, '2026-03-02', $2, 0, 0, 0, 0, 7, 0, $3)", property, i+2, binned(90_000))
	}
	f.exec("INSERT INTO rollup.floor_heatmap_daily VALUES (1, 1, 'loft', '2026-03-01', 0, 1, 1, 1, 1500), (1, 1, 'loft', '2026-03-01', -1, -3, 6, 1, 2)")
	want := postgres.Overview{
		Days: []postgres.PropertyDay{
			{Day: day(2), Sessions: 4, DurationP50: 92800 * time.Millisecond, Events: 7},
			{Property: "loft", Name: "The Loft", Day: day(2), Sessions: 3, DurationP50: 92800 * time.Millisecond, Events: 7},
			{Property: "hut", Day: day(2), Sessions: 2, DurationP50: 92800 * time.Millisecond, Events: 7},
			{
				Property: "loft", Name: "The Loft", Day: day(1), Sessions: 3, Customers: 2, RepeatVisitors: 1,
				DurationP50: 185600 * time.Millisecond, Engaged: 2, Events: 900,
			},
		},
	}
	overview := func(since time.Time) postgres.Overview {
		t.Helper()
		got, err := f.store.Overview(t.Context(), "acme", since)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	// Of equal days the later one. Sessions that name no property have no rooms.
	later := want
	later.Busiest = &later.Days[1]
	later.Targets = []postgres.TargetDay{{Target: "sky", Looks: 1, Sessions: 1, Time: 300 * time.Millisecond}}
	if diff := cmp.Diff(later, overview(day(1))); diff != "" {
		t.Errorf("since the 1st (-want +got):\n%s", diff)
	}
	// 23:30 in Berlin is still the 1st there; in UTC, where the hut is, too.
	f.exec("DELETE FROM rollup.properties_daily WHERE property_id = 'loft' AND day = '2026-03-02'")
	want.Days = append(want.Days[:1], want.Days[2:]...)
	want.Busiest = &want.Days[2]
	want.Zones = []postgres.ZoneDay{{
		Zone: "kitchen", Visits: 3, Sessions: 2, DwellP50: 1900 * time.Millisecond, DwellP90: 2100 * time.Millisecond, Entries: 1, Exits: 2,
	}}
	want.Targets = []postgres.TargetDay{{
		Target: "oven", Zone: "kitchen", Looks: 7, Sessions: 3, Time: 12345 * time.Millisecond, FirstLook: 50 * time.Millisecond,
	}}
	want.Objects = []postgres.ObjectDay{{Object: "tap", Kind: "open", Zone: "kitchen", Times: 5, Sessions: 2}}
	want.Level = -1
	want.Cells = []postgres.FloorCell{{X: -3, Y: 5, Time: 1501 * time.Millisecond}, {X: -3, Y: 6, Time: 2 * time.Millisecond}}
	if diff := cmp.Diff(want, overview(time.Date(2026, 3, 1, 22, 30, 0, 0, time.UTC))); diff != "" {
		t.Errorf("since the evening of the 1st (-want +got):\n%s", diff)
	}
	// In Berlin the 2nd has begun.
	if got := overview(time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC)); got.Busiest == nil || got.Busiest.Property != "hut" {
		t.Errorf("since midnight in Berlin the busiest is %+v", got.Busiest)
	}
	if got := overview(day(3)); got.Busiest != nil || len(got.Days) != len(want.Days) {
		t.Errorf("since the 3rd: %+v", got)
	}
}

func TestTallySessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.describe()
	f.sessions()
	keys := []event.UUID{{15: 1}, {15: 2}, {15: 3}, {15: 4}}
	got, err := f.store.TallySessions(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	var zones []string
	if err := f.db.QueryRow(t.Context(), "SELECT visit_zones FROM nexero.session_facts WHERE session_no = 1").Scan(&zones); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[keys[0]].Events != 321 || len(zones) == 0 || !cmp.Equal(got[keys[0]].Zones, zones) || len(got[keys[1]].Zones) != 0 {
		t.Errorf("tallies %+v, want 321 events in %v of the first, no visit of the second, and no other", got, zones)
	}
}
