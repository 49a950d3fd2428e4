package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/recording"
)

// TestOracle keeps the oracle honest: where the recording's own expectation says
// the same, both agree, and the parts of each table add up to the whole.
func TestOracle(t *testing.T) {
	t.Parallel()
	file, want := input(t)
	o, err := consult(file, want.Sessions)
	if err != nil {
		t.Fatal(err)
	}
	once, twice := o.expected(1), o.expected(2)
	if diff := cmp.Diff(want.LookTimeMS, once.lookTime()); diff != "" {
		t.Errorf("look time (-recording +oracle):\n%s", diff)
	}
	var lookMS, events, poseMS, heatMS int64
	for _, ms := range once.lookTime() {
		lookMS += ms
	}
	for _, row := range once["events_hourly"] {
		events += row[1]
	}
	for _, row := range once["floor_heatmap_daily"] {
		heatMS += row[1]
	}
	for _, one := range o.tours {
		start, end := one.period()
		poseMS += end - start
	}
	if events != int64(want.Events) {
		t.Errorf("%d events in all hours, the recording has %d", events, want.Events)
	}
	if heatMS > poseMS+int64(len(o.tours))*2000 || heatMS < poseMS*9/10 {
		t.Errorf("%d ms on the floor in sessions of %d ms together", heatMS, poseMS)
	}
	for table, rows := range once {
		if len(twice[table]) != len(rows) {
			t.Errorf("%s: a second copy makes %d rows of %d", table, len(twice[table]), len(rows))
		}
	}
	for key := range once["properties_daily"] {
		if one, two := once["properties_daily"][key], twice["properties_daily"][key]; two[1] != 2*one[1] {
			t.Errorf("%s: two copies last %d ms, one %d", key, two[1], one[1])
		}
	}
	t.Logf("%d ms looked at %d targets, %d ms in %d cells", lookMS, len(want.LookTimeMS), heatMS, len(once["floor_heatmap_daily"]))
}

// TestOracleDefinitions checks the oracle on a session that can be worked out by
// hand.
func TestOracleDefinitions(t *testing.T) {
	t.Parallel()
	const midnight = 1_738_368_000_000 // 2025-02-01
	pose := func(at int64, x, y float32) said {
		return said{atMicros: (midnight + at) * 1000, kind: "pose", x: x, y: y}
	}
	look := func(at, length int64, target string) said {
		return said{atMicros: (midnight + at) * 1000, kind: "gaze", target: target, lookMS: length}
	}
	visit := func(id string, events ...said) *tour {
		return &tour{Session: recording.Session{ID: id, Customer: "C", Property: "P"}, events: events}
	}
	o := &oracle{tours: []*tour{
		visit("first", pose(-500, -0.5, 24.9), look(-400, 250, "oven"), pose(-100, 25, 24.9), look(50, 300, "oven"),
			pose(90_000, 25, 24.9), pose(90_400, 25, 25)),
		visit("later", pose(31*60_000+30_400, 0, 0), pose(31*60_000+30_500, 0, 0)),
	}}
	hour := func(ms int64) string { return moment(midnight + ms).Format(time.RFC3339) }
	zero := make([]int64, bins)
	with := func(bin int) []int64 {
		counts := slices.Clone(zero)
		counts[bin] = 1
		return counts
	}
	row := func(numbers []int64, counts []int64) []int64 { return append(numbers, counts...) }
	want := tables{
		"gaze_targets_daily": {
			"P|2025-01-31||oven": row([]int64{1, 1, 250, 0, 0, 1, 100}, with(1)),
			"P|2025-02-01||oven": row([]int64{1, 1, 300, 0, 0, 0, 0}, zero),
		},
		"floor_heatmap_daily": {
			"P|2025-01-31|0|-1|0": {1, 400},
			"P|2025-01-31|0|1|0":  {1, 1000},
			"P|2025-02-01|0|1|0":  {1, 400},
			"P|2025-02-01|0|0|0":  {1, 100},
		},
		"events_hourly": {
			"P|" + hour(-3_600_000) + "|pose": {1, 2}, "P|" + hour(-3_600_000) + "|gaze": {1, 1},
			"P|" + hour(0) + "|pose": {2, 4}, "P|" + hour(0) + "|gaze": {1, 1},
		},
		"properties_daily": {
			"P|2025-01-31": row([]int64{1, 90_900, 90_900 - (90_000 - 350), 0, 0, 6, 0}, with(62)), // from 89.6 s
			"P|2025-02-01": row([]int64{1, 100, 100, 0, 0, 2, 0}, with(1)),
		},
		"customers_daily": {"P|2025-01-31": {1, 0}, "P|2025-02-01": {1, 1}},
	}
	if diff := cmp.Diff(want, o.expected(1)); diff != "" {
		t.Errorf("(-by hand +oracle):\n%s", diff)
	}
}
