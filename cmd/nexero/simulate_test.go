package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/sim"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func readTruth(t *testing.T, path string) (truth sim.Truth) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &truth); err != nil {
		t.Fatal(err)
	}
	return truth
}

// Without a pipeline, and the same bytes each time.
func TestSimulate_Record(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: []string{"NEXERO_DATA_DIR=" + t.TempDir()}}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	record := func(name string, more ...string) string {
		return sh.ok(append([]string{
			"simulate", "--headsets", "4", "--duration", "3m", "--seed", "7", "--start", "2026-05-04T09:00:00+02:00", "--record", file(name),
		}, more...)...)
	}
	said := record("one.gz", "--truth", file("truth.json"))
	for _, part := range []string{"4 headsets from 2026-05-04T07:00:00Z for 3m0s, seed 7", "longest look at", "recording " + file("one.gz"), "truth in"} {
		if !strings.Contains(said, part) {
			t.Errorf("printed %q, want %q in it", said, part)
		}
	}
	truth := readTruth(t, file("truth.json"))
	requests, err := recording.Count(file("one.gz"))
	if err != nil || requests != truth.Requests || truth.Tours < 4 || truth.Accepted < 1000 {
		t.Errorf("%d requests are recorded (%v), truth %+v", requests, err, truth.Totals)
	}
	record("two.gz")
	one, err1 := os.ReadFile(file("one.gz"))
	two, err2 := os.ReadFile(file("two.gz"))
	if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
		t.Errorf("the second recording has other bytes (%v, %v)", err1, err2)
	}
	record("tame.gz", "--tame")
	if want, err := recording.Expect(file("tame.gz")); err != nil || want.Repeats != 0 || want.Untimed != 0 || want.Events < 1000 {
		t.Errorf("tame headsets: %v, %+v", err, want)
	}
	var summary simulation
	if err := json.Unmarshal([]byte(record("three.gz", "--json")), &summary); err != nil || summary.Totals.Requests != truth.Requests || summary.Answers != nil {
		t.Errorf("JSON: %v, %+v", err, summary)
	}
}

func TestSimulate_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: []string{"NEXERO_DATA_DIR=" + t.TempDir()}}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--headsets", "0"}, "0 headsets"},
		{[]string{"--duration", "1s"}, "too short"},
		{[]string{"--start", "yesterday"}, "start"},
		{[]string{"--start", "9999-01-01T00:00:00Z"}, "in the future"},
		{[]string{"--speed", "-1"}, "speed"},
		{[]string{"now"}, "now"},
	} {
		if _, stderr, code := sh.run(append([]string{"simulate"}, test.args...)...); code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("simulate %v exits %d and says %q, want %d and %q", test.args, code, stderr, exitUsage, test.want)
		}
	}
}

func TestSimulateFlags_NothingInTheFuture(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 9, 0, 0, 7, time.UTC)
	for _, test := range []struct {
		speed  float64
		record string
		post   bool
		begins time.Duration // before now
	}{
		{0, "", false, time.Hour},
		{1, "", false, 0},
		{0.5, "", false, 0},
		{10, "", false, time.Hour},
		{1, "file", false, time.Hour},
		{1, "file", true, 0},
	} {
		flags := simulateFlags{speed: test.speed, record: test.record, post: test.post, options: sim.Options{Duration: time.Hour}}
		if err := flags.complete(now); err != nil {
			t.Fatal(err)
		}
		if want := now.Truncate(time.Second).Add(-test.begins); !flags.options.Start.Equal(want) {
			t.Errorf("%+v begins at %s, want %s", test, flags.options.Start, want)
		}
	}
}

func TestSimulateFlags_LatestStart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		speed  float64
		latest time.Duration // before now
	}{
		{0, time.Hour},
		{1, 0},
		{0.5, 0},
		{4, 45 * time.Minute},
	} {
		flags := simulateFlags{speed: test.speed, options: sim.Options{Duration: time.Hour}}
		flags.start = now.Add(-test.latest).Format(time.RFC3339)
		if err := flags.complete(now); err != nil {
			t.Errorf("speed %v: %v", test.speed, err)
		}
		flags.start = now.Add(time.Second - test.latest).Format(time.RFC3339)
		if err := flags.complete(now); err == nil {
			t.Errorf("speed %v: a second later is accepted", test.speed)
		}
		// A recording may be played whenever it is time.
		flags.record = "file"
		if err := flags.complete(now); err != nil {
			t.Errorf("a recording: %v", err)
		}
	}
}

// Ctrl-C is how a live run ends: what was posted is told nevertheless.
func TestSimulate_StoppedEarly(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// Who is gone is noticed once the body is read.
		_, _ = io.Copy(io.Discard, r.Body)
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close()
	truth := filepath.Join(t.TempDir(), "truth.json")
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"simulate", "--url", server.URL, "--key", "k", "--truth", truth}, nil, strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "stopped early") || !strings.Contains(stdout.String(), "answered") {
		t.Errorf("exit %d, %q, %q", code, stdout.String(), stderr.String())
	}
	if _, err := os.Stat(truth); err != nil {
		t.Errorf("no truth: %v", err)
	}
}

// A script must notice a replay of which nothing was taken.
func TestReplay_AllRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tours.jsonl.gz")
	sh := &shell{t: t}
	sh.ok("simulate", "--headsets", "1", "--duration", "1m", "--record", file)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	stdout, stderr, code := sh.run("replay", "--url", server.URL, "--key", "k", "--speed", "0", file)
	if code != 1 || !strings.Contains(stderr, "every request was refused") || !strings.Contains(stdout, "401") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// pipeline runs `nexero up` without a PostgreSQL of its own until the test ends
// and returns a shell beside it.
func pipeline(t *testing.T, database string) *shell {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		// A short ack wait brings back what a stop interrupts.
		ended <- run(ctx, []string{"up"}, []string{
			"NEXERO_DATA_DIR=" + dir, "NEXERO_DATABASE_URL=" + database, "NEXERO_SERVICES=nats,ingest,worker",
			"NEXERO_LISTEN=127.0.0.1:0", "NEXERO_METRICS_LISTEN=127.0.0.1:0", "NEXERO_QUEUE_ACK_WAIT=5s", "NEXERO_LOAD_TIMEOUT=4s",
			"NEXERO_DATABASE_STATEMENT_TIMEOUT=3s", "NEXERO_DATABASE_LOCK_TIMEOUT=2s", "NEXERO_DATABASE_IDLE_TIMEOUT=4s",
		}, strings.NewReader(""), &out, &errs)
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("up exits %d: %s", code, errs.String())
		}
	})
	return &shell{t: t, env: []string{"NEXERO_DATA_DIR=" + dir, "NEXERO_DATABASE_URL=" + database}}
}

// The whole pipeline holds what the truth says, event by event, and the same
// simulation again adds nothing.
//
// rule 2, rule 5
func TestSimulate_PipelineHoldsTheTruth(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := pipeline(t, database)
	file := filepath.Join(t.TempDir(), "truth.json")
	start := time.Now().Add(-5 * time.Minute).UTC().Format(time.RFC3339)
	simulate := []string{"simulate", "--headsets", "8", "--duration", "5m", "--seed", "3", "--start", start, "--truth", file}
	if said := sh.ok(simulate...); !strings.Contains(said, "as it must be: every answer is what the truth says") {
		t.Errorf("printed %q", said)
	}
	sh.ok("verify")
	truth := readTruth(t, file)
	if truth.Repeats == 0 || truth.RejectedEvents() == 0 {
		t.Errorf("%+v: want repeats and rejected events", truth.Totals)
	}
	db := connectDatabase(t, database)
	checkStored(t, db, &truth)

	before := truth
	var again simulation
	if err := json.Unmarshal([]byte(sh.ok(append(slices.Clone(simulate), "--json")...)), &again); err != nil || again.Surprises != 0 || again.Answers.Answered != truth.Requests {
		t.Errorf("again: %v, %+v", err, again)
	}
	sh.ok("verify")
	truth = readTruth(t, file)
	if diff := cmp.Diff(before, truth); diff != "" {
		t.Errorf("the second truth is another:\n%s", diff)
	}
	checkStored(t, db, &truth)
}

// checkStored compares the raw rows with the truth.
func checkStored(t *testing.T, db *pgx.Conn, truth *sim.Truth) {
	t.Helper()
	want, looksWanted := map[string]int{}, map[string]int{}
	for _, s := range truth.Sessions {
		for kind, n := range s.Events {
			want[s.NormalID+" "+kind] = n
		}
		for _, l := range s.Looks {
			looksWanted[s.NormalID+" "+l.Target] = int(l.MS)
		}
	}
	got := tally(t, db, `SELECT s.client_id, t.name, count(*) FROM nexero.events e JOIN nexero.sessions s USING (session_no)
		JOIN nexero.event_types t USING (event_type) GROUP BY 1, 2`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events by session and type (-truth +stored):\n%s", diff)
	}
	// Looks with a length; those made from samples are the roll-up's business.
	looks := tally(t, db, `SELECT s.client_id, e.target, sum(e.duration_ms) FROM nexero.events e JOIN nexero.sessions s USING (session_no)
		JOIN nexero.event_types t USING (event_type) WHERE t.name = 'gaze' AND e.duration_ms > 0 GROUP BY 1, 2`)
	measured := map[string]bool{} // sessions
	for key := range looks {
		id, _, _ := strings.Cut(key, " ")
		measured[id] = true
	}
	maps.DeleteFunc(looksWanted, func(key string, _ int) bool {
		id, _, _ := strings.Cut(key, " ")
		return !measured[id]
	})
	if diff := cmp.Diff(looksWanted, looks); diff != "" {
		t.Errorf("look time by session and target (-truth +stored):\n%s", diff)
	}
	rejected := map[string]int{}
	for code, n := range truth.Rejected {
		rejected[" "+code] = n
	}
	if diff := cmp.Diff(rejected, tally(t, db, `SELECT '', code, count(*) FROM nexero.rejected_events GROUP BY 2`)); diff != "" {
		t.Errorf("rejected by code (-truth +stored):\n%s", diff)
	}
	var batches int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM nexero.batches`).Scan(&batches); err != nil || batches != truth.Batches+truth.Reports {
		t.Errorf("%d batches are stored (%v), want %d and %d session posts", batches, err, truth.Batches, truth.Reports)
	}
}

// tally reads counts by session and name.
func tally(t *testing.T, db *pgx.Conn, query string) map[string]int {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	var id, name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &name, &n}, func() error {
		normal, _ := event.NormaliseSessionID(id)
		counts[normal+" "+name] = n
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return counts
}
