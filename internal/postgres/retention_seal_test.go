package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// A day has millions of rows, and this is asked once for every few sessions.
func TestSealSessions_StepsThroughTheIndex(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.ensure(time.Time{})
	f.exec(`INSERT INTO nexero.events (batch_no, session_no, received_at, occurred_at, event_index, event_type, class)
	        SELECT n / 50, n / 50 % 200, now(), now(), n % 50, 1, 0 FROM generate_series(1, 20000) n`)
	f.exec("INSERT INTO nexero.session_touches (session_no, batch_no, received_at) SELECT n / 10, n, now() FROM generate_series(1, 20000) n")
	f.exec("INSERT INTO nexero.session_facts (session_no, generation, tenant_id) SELECT n, 1, 1 FROM generate_series(1, 5000) n")
	f.exec("ANALYZE nexero.events, nexero.session_touches, nexero.session_facts")
	plan := strings.Join(f.lines("EXPLAIN (COSTS OFF) "+postgres.LookForUnsealed("events_pose_"+dayName(0)), int64(0), 10_000, true), "\n")
	t.Log(plan)
	if strings.Contains(strings.ReplaceAll(plan, "Seq Scan on generations", ""), "Seq Scan") || strings.Contains(plan, "Sort") {
		t.Error("it reads a table as a whole")
	}
}

// A session that another roll-up holds is waited for, for so long.
func TestSealSessions_WaitsForOtherRollUps(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("a", 40))
	a.roll(a.store)
	_, release := a.block("SELECT FROM nexero.session_facts FOR UPDATE")
	impatient := a.open(postgres.Config{LockTimeout: 20 * time.Millisecond})
	if _, err := impatient.SealSessions(t.Context(), poseDay(40), 2, sealingFold); err == nil || !strings.Contains(err.Error(), "1 sessions or more") {
		t.Errorf("got %v, want the number of sessions that are left", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.store.SealSessions(ctx, poseDay(40), 2, sealingFold); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	done := make(chan facts.Rolled, 1)
	go func() {
		rolled, err := a.store.SealSessions(t.Context(), poseDay(40), 2, sealingFold)
		if err != nil {
			t.Error(err)
		}
		done <- rolled
	}()
	release()
	if rolled := <-done; rolled.Claimed != 1 {
		t.Errorf("claimed %d", rolled.Claimed)
	}
}

// A session that cannot be sealed is an error, not an endless loop, and keeps
// nobody else from being sealed.
func TestSealSessions_SealsAllThatItCan(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	for i := range 7 {
		a.visits(visit(fmt.Sprint("session-", i), 40))
	}
	a.roll(a.store)
	a.exec("UPDATE nexero.session_facts SET contributions = '\\xff' WHERE session_no = (SELECT min(session_no) FROM nexero.session_facts)")
	impatient := a.open(postgres.Config{LockTimeout: 20 * time.Millisecond})
	var err error
	for calls := 0; err == nil; calls++ {
		if _, err = impatient.SealSessions(t.Context(), poseDay(40), 2, sealingFold); calls > 10 {
			t.Fatal("there is always something to seal")
		}
	}
	a.want("SELECT count(*) FILTER (WHERE sealed), count(*) FROM nexero.session_facts", "6 7")
	a.wantRefused(poseDay(40), "1 sessions")
}

// A session that has more to catch up with than one roll-up reads is sealed by
// the roll-up that reads the last of it.
//
// rule 4, rule 9
func TestSealSessions_WithMoreThanOneRollUpReads(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	for i := range 3 {
		a.visits(visit(fmt.Sprint("session-", i), 40))
	}
	// Batches that are not there bring no rows.
	a.exec(`INSERT INTO nexero.session_touches
	        SELECT session_no, 1000000 + n, received_at FROM nexero.session_touches, generate_series(1, 1200) n`)
	for calls := 0; ; calls++ {
		rolled, err := a.store.SealSessions(t.Context(), poseDay(40), 10, sealingFold)
		if err != nil {
			t.Fatal(err)
		}
		if rolled.Claimed == 0 {
			break
		}
		if len(rolled.Ages) > 1000 || calls > 10 {
			t.Fatalf("%d batches read by roll-up no. %d", len(rolled.Ages), calls)
		}
		a.want("SELECT count(*) FROM nexero.session_facts f WHERE sealed AND EXISTS (SELECT FROM nexero.session_touches t WHERE t.session_no = f.session_no)", "0")
	}
	a.want("SELECT count(*) FILTER (WHERE sealed), count(*) FROM nexero.session_facts", "3 3")
	a.want("SELECT count(*) FROM nexero.session_touches", "0")
	a.wantExact()
}
