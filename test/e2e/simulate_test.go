package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
)

const (
	simulatedHeadsets = 16
	simulatedMinutes  = 3
	simulatedKills    = 4
)

// Seeds of runs in which every habit shows: somebody's clock is ahead, another's
// has lost its date, one headset crashes. The tests fail if that should change.
const (
	simulatedSeed = 7
	killedSeed    = 13
)

// TestSimulate lets headsets with all bad habits tour twice, the same people on
// two days, and expects the database to hold the truth of it to the last event.
//
// rule 2, rule 5
func TestSimulate(t *testing.T) {
	t.Parallel()
	dataDir := filepath.Join(dataRoot(t), "data")
	p := up(t, dataDir, nil, "--listen", "127.0.0.1:0")
	db := connect(t, p.run().DatabaseURL)
	// Uploads end a quarter of an hour after the tours, and nothing may lie in
	// the future. What is older than a day is late.
	today := time.Now().Add(-30 * time.Minute)
	var sessions []sim.Session
	repeats := 0
	for _, start := range []time.Time{today, today.Add(-26 * time.Hour)} {
		truth, err := simulate(t, dataDir, simulatedSeed, start)
		if err != nil {
			t.Fatal(err)
		}
		checkHabits(t, &truth)
		verify(t, dataDir)
		sessions = append(sessions, truth.Sessions...)
		repeats += truth.Repeats
		checkTruth(t, db, sessions)
	}
	var stored, shown int
	if err := db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM nexero.batch_repeats), (SELECT sum(repeats) FROM analytics.data_quality_daily)`).
		Scan(&stored, &shown); err != nil || stored != repeats || shown != repeats {
		t.Errorf("%d repeats are stored and %d shown (%v), want %d", stored, shown, err, repeats)
	}
}

// TestSimulateKill does the same once while ingest and worker are killed again
// and again. Only repeats may be more: what was not answered is sent again.
//
// rule 1, rule 2, rule 3
func TestSimulateKill(t *testing.T) {
	t.Parallel()
	base := dataRoot(t)
	stores := up(t, filepath.Join(base, "stores"), nil, "--services", "nats,postgres")
	split := newParts(t, base, stores.run())
	db := connect(t, stores.run().DatabaseURL)

	type outcome struct {
		truth sim.Truth
		err   error
	}
	toured := make(chan outcome, 1)
	go func() {
		truth, err := simulate(t, split.ingestDir(), killedSeed, time.Now().Add(-30*time.Minute))
		toured <- outcome{truth, err}
	}()
	for kill := range simulatedKills {
		// Each headset posts more than once in 5 s, so these come for certain.
		awaitBatches(t, db, (kill+1)*simulatedHeadsets*simulatedMinutes*60/5/2/simulatedKills)
		split.kill(kill)
	}
	result := <-toured
	if result.err != nil {
		t.Fatal(result.err)
	}
	// Exact, and then more than that: as the headsets know it.
	verify(t, filepath.Join(base, "stores"))
	checkTruth(t, db, result.truth.Sessions)
	split.stop()
}

// simulate runs `nexero simulate`, expects every answer to be what the truth
// says, and returns the truth.
func simulate(t *testing.T, dataDir string, seed int, start time.Time) (truth sim.Truth, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "truth.json")
	if _, err := nexero(t, "simulate", "--data-dir", dataDir, "--seed", strconv.Itoa(seed),
		"--headsets", strconv.Itoa(simulatedHeadsets), "--duration", strconv.Itoa(simulatedMinutes)+"m",
		"--start", start.Format(time.RFC3339), "--truth", file, "--json"); err != nil {
		return truth, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return truth, err
	}
	return truth, json.Unmarshal(text, &truth)
}

// checkHabits fails for a run that is too tame to prove anything.
func checkHabits(t *testing.T, truth *sim.Truth) {
	t.Helper()
	const day = 24 * 60 * 60 * 1000
	ahead := slices.ContainsFunc(truth.Sessions, func(s sim.Session) bool { return s.ClockAheadMS > 0 })
	dead := slices.ContainsFunc(truth.Sessions, func(s sim.Session) bool { return s.ClockAheadMS < -day })
	idle := truth.Events["idle_start"] > 0
	if !ahead || !dead || !idle || truth.Repeats == 0 || truth.RejectedEvents() == 0 || truth.Crashed == 0 || truth.Nameless == 0 {
		t.Errorf("clock ahead %t, dead clock %t, idle %t, %+v: all of it should be there", ahead, dead, idle, truth.Totals)
	}
}

// checkTruth compares the database with all that is true of the sessions.
func checkTruth(t *testing.T, db *pgx.Conn, sessions []sim.Session) {
	t.Helper()
	stored := readStored(t, db)
	want := tables{}
	batches := 0
	for i := range sessions {
		s := &sessions[i]
		batches += s.Batches + s.Reports
		got := stored[s.NormalID]
		if got == nil {
			t.Fatalf("session %s is not stored", s.NormalID)
		}
		got.check(t, s)
		got.contribute(want, s)
		for code, n := range s.Rejected {
			want.add("rejected", code, int64(n))
		}
	}
	if len(stored) != len(sessions) {
		t.Errorf("%d sessions are stored, want %d", len(stored), len(sessions))
	}
	var all []seen
	for _, got := range stored {
		all = append(all, got.seen)
		got.count(want)
	}
	countCustomers(want, all)
	want["floor_heatmap_daily"] = readSums(t, db, heatQuery)
	want["events_hourly"] = readSums(t, db, hoursQuery)

	got := aggregates(t, db)
	got["gaze_targets_daily"] = readSums(t, db, `SELECT concat_ws('|', property_id, object), ARRAY[sum(looks)::bigint, sum(look_ms)::bigint]
		FROM rollup.gaze_targets_daily GROUP BY property_id, object`)
	got["interactions_daily"] = readSums(t, db, `SELECT concat_ws('|', property_id, object, kind), ARRAY[sum(interactions)::bigint]
		FROM rollup.interactions_daily GROUP BY property_id, object, kind`)
	got["rejected"] = readSums(t, db, `SELECT code, ARRAY[count(*)] FROM nexero.rejected_events GROUP BY code`)
	differ(t, want, got)

	shown := readSums(t, db, `SELECT 'batches', ARRAY[sum(batches)::bigint] FROM analytics.data_quality_daily
		UNION ALL SELECT key, ARRAY[sum(value::bigint)::bigint] FROM analytics.data_quality_daily, jsonb_each_text(rejected_by_code) GROUP BY key`)
	quality := sums{"batches": {int64(batches)}}
	maps.Copy(quality, want["rejected"])
	if diff := cmp.Diff(quality, shown); diff != "" {
		t.Errorf("analytics.data_quality_daily (-truth +stored):\n%s", diff)
	}
}

// heatQuery and hoursQuery work out two tables from the raw events anew: what
// the truth does not say, since it depends on when posts arrived.
const (
	heatQuery = `
WITH poses AS (
    SELECT e.session_no, e.occurred_at, e.x, e.y, coalesce(e.level, 0) AS level,
           lead(c.at) OVER (PARTITION BY e.session_no
                            ORDER BY c.exactly, e.client_seq NULLS FIRST, e.received_at, e.batch_no, e.event_index) - c.at AS ms
    FROM nexero.events e,
         LATERAL (SELECT e.occurred_at - coalesce(e.clock_shift_ms, 0) * interval '1 ms') AS l (exactly),
         LATERAL (SELECT l.exactly, floor(extract(epoch FROM l.exactly) * 1000)::bigint) AS c (exactly, at)
    WHERE e.event_type = 1
), cells AS (
    SELECT session_no, (occurred_at AT TIME ZONE 'UTC')::date AS day, level, floor(x::float8 / 25) AS x, floor(y::float8 / 25) AS y,
           sum(least(ms, 1000)) AS ms
    FROM poses WHERE x IS NOT NULL AND y IS NOT NULL AND ms IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
)
SELECT concat_ws('|', coalesce(f.property_id, ''), day, level, x, y), ARRAY[count(*), sum(ms)::bigint]
FROM cells JOIN nexero.session_facts f USING (session_no)
WHERE ms > 0
GROUP BY coalesce(f.property_id, ''), day, level, x, y`

	hoursQuery = `
SELECT concat_ws('|', coalesce(f.property_id, ''),
                 to_char(date_trunc('hour', e.occurred_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), t.name),
       ARRAY[count(DISTINCT e.session_no), count(*)]
FROM nexero.events e JOIN nexero.event_types t USING (event_type) JOIN nexero.session_facts f USING (session_no)
GROUP BY 1`
)

// normalID is what all spellings of a session's id have in common.
func normalID(clientID string) string {
	id, _ := event.NormaliseSessionID(clientID)
	return id
}
