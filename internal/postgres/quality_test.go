package postgres_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/migrations"
)

// qualityDifferences is what Verify would say.
func (f *fixture) qualityDifferences() []string {
	f.Helper()
	return f.lines(postgres.QualityCheck, pgx.NamedArgs{"ledger_kept": time.Time{}})
}

func (f *fixture) wantQuality(want ...string) {
	f.Helper()
	f.want(`SELECT measure || CASE code WHEN '' THEN '' ELSE ' ' || code END, sum(n)::text
		FROM (SELECT measure, code, n FROM rollup.data_quality_daily UNION ALL SELECT measure, code, change FROM nexero.quality_changes) q
		GROUP BY measure, code HAVING sum(n) <> 0 ORDER BY 1`, want...)
	if wrong := f.qualityDifferences(); len(wrong) > 0 {
		f.Errorf("data quality: %v", wrong)
	}
}

// rollQuality moves what waits, and checks that nothing waits then.
func (f *fixture) rollQuality() {
	f.Helper()
	if _, err := f.store.RollCustomers(f.Context(), 10); err != nil {
		f.Fatal(err)
	}
	f.want("SELECT count(*) FROM nexero.quality_changes", "0")
}

// rule 4
func TestQuality_CountsWhatLoadsChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec("ALTER TABLE nexero.events ADD CONSTRAINT no_evil CHECK (zone <> 'EVIL')")
	first := func() *builder {
		return batch("a").poses(0, 1).with(
			event.Event{Index: 2, Type: event.Turn, Zone: "EVIL"},
			event.Event{Index: 3, Type: event.Heartbeat, OccurredAt: event.MicrosOf(received) - lateness, ClockShiftMS: 5},
		)
	}
	f.load(first().rejected(event.TimestampInFuture, 4).rejected(event.InvalidText, 5).seal(t))
	afterOne := []string{
		"accepted 3", "batches 1", "corrected 1", "late 1", "received 6",
		"rejected invalid_text 1", "rejected refused_by_database 1", "rejected timestamp_in_future 1",
	}
	f.wantQuality(afterOne...)
	f.rollQuality()
	f.wantQuality(afterOne...)

	before := f.everything()
	f.load(first().rejected(event.TimestampInFuture, 4).rejected(event.InvalidText, 5).seal(t))
	f.wantSame(before) // a redelivery

	// A repeat moves one event; what is 0 then is deleted.
	again := first().again("r").poses(4).rejected(event.InvalidText, 5)
	f.load(again.seal(t), again.seal(t))
	afterRepeat := []string{
		"accepted 4", "batches 1", "corrected 1", "late 1", "received 6",
		"rejected invalid_text 1", "rejected refused_by_database 1", "repeats 1",
	}
	f.wantQuality(afterRepeat...)
	f.rollQuality()
	f.wantQuality(afterRepeat...)
	f.want("SELECT count(*) FROM rollup.data_quality_daily WHERE n = 0", "0")
}

// rule 5
func TestQuality_CountsBodiesAsNoEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(batch("a").rejected(event.UnreadableBody, -1).seal(t),
		batch("old").at(received.AddDate(0, 0, -100)).report(event.Report{CustomerID: "anna"}).poses(0).seal(t))
	f.wantQuality("batches 2", "bodies received_too_old 1", "bodies unreadable_body 1", "received 1", "rejected received_too_old 1")
	// It could be read after all.
	f.load(batch("a").again("r").poses(0, 1).rejected(event.InvalidText, 2).seal(t))
	f.wantQuality("accepted 2", "batches 2", "bodies received_too_old 1", "received 4",
		"rejected invalid_text 1", "rejected received_too_old 1", "repeats 1")
	f.rollQuality()
	// Each by the day of its own batch.
	f.want("SELECT day, n FROM rollup.data_quality_daily WHERE measure = 'batches' ORDER BY day",
		received.AddDate(0, 0, -100).Truncate(24*time.Hour).String()+" 1", received.Truncate(24*time.Hour).String()+" 1")
}

// rule 4
func TestQuality_MovedOnceByAnyNumberAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const movers, rounds, loads = 4, 12, 20
	f.load(batch("warm").seal(t)) // makes the tenant and the partitions
	var group sync.WaitGroup
	for range movers {
		store := f.open(postgres.Config{})
		group.Go(func() {
			for range rounds {
				if _, err := store.RollCustomers(t.Context(), 10); err != nil {
					t.Errorf("roll up: %v", err)
				}
			}
		})
	}
	group.Go(func() {
		for i := range loads {
			name := strconv.Itoa(i)
			// The same keys go up and down, to 0 and below in between.
			for _, gather := range [][]envelope.Batch{
				{batch(name).rejected(event.TimestampInFuture, 0).seal(t)},
				{batch(name).again("r").poses(0).seal(t)},
			} {
				if _, err := f.store.Load(t.Context(), gather); err != nil {
					t.Errorf("load: %v", err)
				}
			}
		}
	})
	group.Wait()
	f.rollQuality()
	f.wantQuality(fmt.Sprint("accepted ", loads), fmt.Sprint("batches ", loads+1), fmt.Sprint("received ", loads), fmt.Sprint("repeats ", loads))
	f.want("SELECT count(*) FROM rollup.data_quality_daily", "4")
}

// What was loaded before there were sums is counted by the migration that made
// them.
func TestQuality_BeginsWithWhatIsThere(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(gatherOfEverything(t, "a")...)
	f.load(batch("a").rejected(event.UnreadableBody, -1).seal(t), batch("again").poses(0).rejected(event.InvalidText, 1).seal(t),
		batch("again").again("r").poses(0, 1).seal(t))
	want := f.lines(waitingQuality)
	f.exec("DELETE FROM nexero.quality_changes")
	migration, err := migrations.Files.ReadFile("0002_facts_and_aggregates.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, seed, _ := strings.Cut(string(migration), "LOCK TABLE nexero.batches IN SHARE MODE;\n")
	seed, _, _ = strings.Cut(seed, ";")
	f.exec(seed)
	f.want(waitingQuality, want...)
	f.wantQuality(f.lines("SELECT measure || CASE code WHEN '' THEN '' ELSE ' ' || code END, change FROM nexero.quality_changes ORDER BY 1")...)
}

// waitingQuality is what waits to be moved, as sums.
const waitingQuality = `SELECT tenant_id, day::text, measure, code, sum(change)::text FROM nexero.quality_changes
	GROUP BY 1, 2, 3, 4 HAVING sum(change) <> 0 ORDER BY 1, 2, 3, 4`
