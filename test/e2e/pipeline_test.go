package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// programs is the directory of the built programs, set once by TestMain.
var programs string

var recordingFile = flag.String("recording", "", "recording to check instead of a generated one")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nexero-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir)
	programs = dir
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return m.Run()
}

// input returns the recording to play and what it must come to.
func input(t *testing.T) (file string, want recording.Expectation) {
	t.Helper()
	file = *recordingFile
	if file == "" {
		file = filepath.Join(t.TempDir(), "generated.jsonl.gz")
		if err := testkit.WriteRecording(file, testkit.RecordingOptions{Seed: 1, Sessions: 6}); err != nil {
			t.Fatal(err)
		}
	}
	want, err := recording.Expect(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, want
}

// TestPipeline plays a recording from nothing, again, and many times over.
//
// rule 1, rule 2, rule 10
func TestPipeline(t *testing.T) {
	t.Parallel()
	file, want := input(t)
	dataDir := filepath.Join(dataRoot(t), "data")
	p := up(t, dataDir, nil, "--listen", "127.0.0.1:0")

	first := replay(t, dataDir, file, 1)
	if first.Answered != want.Requests || first.Refused != 0 || first.Accepted != want.Events {
		t.Errorf("first replay: %+v, want %d requests and %d events accepted", first, want.Requests, want.Events)
	}
	verify(t, dataDir)
	db := connect(t, p.run().DatabaseURL)
	checkTotals(t, db, want, 1)
	checkSessions(t, db, want)
	checkAggregates(t, db, file, want, 1)

	if again := replay(t, dataDir, file, 1); again.Answered != want.Requests {
		t.Errorf("second replay: %+v, want %d requests answered", again, want.Requests)
	}
	verify(t, dataDir)
	checkTotals(t, db, want, 1)
	checkSessions(t, db, want)
	checkAggregates(t, db, file, want, 1)

	if many := replay(t, dataDir, file, 20); many.Answered != 20*want.Requests {
		t.Errorf("20 copies: %+v, want %d requests answered", many, 20*want.Requests)
	}
	verify(t, dataDir)
	checkTotals(t, db, want, 20)
	checkAggregates(t, db, file, want, 20)

	// A stop and a start keep everything, and find the same way in.
	key := p.run().APIKey
	closeDatabase(t, db)
	p.stop()
	p = up(t, dataDir, nil, "--listen", "127.0.0.1:0")
	if got := p.run().APIKey; got != key {
		t.Errorf("a restart made another key")
	}
	verify(t, dataDir)
	db = connect(t, p.run().DatabaseURL)
	checkTotals(t, db, want, 20)
	checkAggregates(t, db, file, want, 20)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	// Checks group millions of events by their names. A hash that does not fit is
	// split by PostgreSQL 15 into parts so small that it takes minutes.
	config.RuntimeParams["work_mem"] = "512MB"
	db, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDatabase(t, db) })
	return db
}

func closeDatabase(t *testing.T, db *pgx.Conn) {
	t.Helper()
	if db.IsClosed() {
		return
	}
	// The test's context has ended by the time of a cleanup.
	if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Logf("close the database: %v", err)
	}
}

// checkTotals compares the rows of the raw side with the recording, played in
// the given number of copies.
func checkTotals(t *testing.T, db *pgx.Conn, want recording.Expectation, copies int) {
	t.Helper()
	var events, distinct, sessions, batches, rejected int
	err := db.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM nexero.events),
		       (SELECT coalesce(sum(names), 0)
		        FROM (SELECT count(DISTINCT event_index) AS names FROM nexero.events GROUP BY batch_no) AS each),
		       (SELECT count(*) FROM nexero.sessions),
		       (SELECT count(*) FROM nexero.batches),
		       (SELECT count(*) FROM nexero.rejected_events)`).
		Scan(&events, &distinct, &sessions, &batches, &rejected)
	if err != nil {
		t.Fatal(err)
	}
	if events != copies*want.Events || distinct != events || sessions != copies*len(want.Sessions) ||
		batches != copies*want.Requests || rejected != 0 {
		t.Errorf("%d events (%d distinct), %d sessions, %d batches, %d rejected; want %d, %d, %d, 0",
			events, distinct, sessions, batches, rejected,
			copies*want.Events, copies*len(want.Sessions), copies*want.Requests)
	}
}

// checkSessions compares what is stored of each session of copy 1 with what the
// recording reports.
func checkSessions(t *testing.T, db *pgx.Conn, want recording.Expectation) {
	t.Helper()
	for _, session := range want.Sessions {
		var got recording.Session
		err := db.QueryRow(t.Context(), `
			SELECT extract(epoch FROM r.started_at)::bigint, extract(epoch FROM r.ended_at)::bigint,
			       r.customer_id, r.property_id,
			       (SELECT count(*) FROM nexero.events e WHERE e.session_no = s.session_no)
			FROM nexero.sessions s JOIN nexero.session_reports r USING (session_no)
			WHERE s.client_id = $1`, session.ID).
			Scan(&got.Start, &got.End, &got.Customer, &got.Property, &got.Events)
		if err != nil {
			t.Fatalf("session %s: %v", session.ID, err)
		}
		got.ID = session.ID
		if diff := cmp.Diff(session, got); diff != "" {
			t.Errorf("session %s (-recorded +stored):\n%s", session.ID, diff)
		}
	}
}
