package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// measured returns what a registry holds: counters and gauges as they are,
// histograms by their number of observations. Zeros are left out.
func measured(t testing.TB, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			if labels := metric.GetLabel(); len(labels) > 0 {
				name += " " + labels[0].GetValue()
			}
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			if value != 0 {
				values[name] = value
			}
		}
	}
	return values
}

// rule 5: nothing is dropped or put aside without a counter.
func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := &fixture{TB: t, url: testkit.Database(t)}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: f.url}, testkit.Logger(t), registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	f.store = store
	f.exec1("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL')")

	f.load(batch("a").poses(0, 1).with(event.Event{Index: 2, Type: event.Turn, Zone: "EVIL"}).rejected(event.InvalidText, 3, 4).seal(t))
	f.load(batch("a").poses(0).seal(t), batch("a").again("r").poses(0).seal(t), batch("a").other().poses(0).report(event.Report{}).seal(t))
	f.load(batch("old").at(time.Unix(0, 0)).poses(0, 1).seal(t), batch("report").report(event.Report{}).seal(t))
	want := map[string]float64{
		"nexero_postgres_batches_total stored":      2,
		"nexero_postgres_batches_total repeat":      1,
		"nexero_postgres_batches_total redelivered": 1,
		"nexero_postgres_batches_total reused":      1,
		"nexero_postgres_batches_total quarantined": 1,
		"nexero_postgres_rows_total stored":         3,
		"nexero_postgres_rows_total rejected":       2,
		"nexero_postgres_rows_total refused":        1,
		"nexero_postgres_rows_total aside":          4,
		"nexero_postgres_copy_retries_total":        1,
		"nexero_postgres_load_duration_seconds":     3,
		"nexero_postgres_commit_duration_seconds":   3,
	}
	// A load makes the partitions that it needs and no more.
	if diff := cmp.Diff(want, measured(t, registry)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.ensure(time.Time{})
	if got := measured(t, registry)["nexero_postgres_partition_horizon_seconds"]; got != (7 * 24 * time.Hour).Seconds() {
		t.Errorf("partitions reach %v seconds ahead, want a week", got)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
