package e2e

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	killCopies = 50
	kills      = 8
)

// TestKill kills ingest and worker again and again while headsets post, and
// starts them again. The headsets repeat what was not answered; nothing that
// was answered is lost and nothing is counted twice.
//
// rule 1, rule 2, rule 3, rule 10
func TestKill(t *testing.T) {
	t.Parallel()
	file, want := input(t)
	base := dataRoot(t)
	stores := up(t, filepath.Join(base, "stores"), nil, "--services", "nats,postgres")
	run := stores.run()
	address := freeAddress(t)
	ingestDir := filepath.Join(base, "ingest")
	startIngest := func() *process {
		return up(t, ingestDir, []string{"NEXERO_NATS_URL=" + run.NATSURL}, "--services", "ingest", "--listen", address)
	}
	startWorker := func() *process {
		// A short ack wait brings the killed worker's messages back soon.
		return up(t, filepath.Join(base, "worker"),
			[]string{"NEXERO_NATS_URL=" + run.NATSURL, "NEXERO_DATABASE_URL=" + run.DatabaseURL},
			"--services", "worker", "--queue-ack-wait", "5s", "--load-timeout", "4s", "--database-statement-timeout", "3s", "--database-idle-timeout", "4s",
			"--database-lock-timeout", "2s")
	}
	ingest, worker := startIngest(), startWorker()

	type outcome struct {
		summary summary
		err     error
	}
	played := make(chan outcome, 1)
	go func() {
		s, err := tryReplay(t, ingestDir, file, killCopies)
		played <- outcome{s, err}
	}()

	db := connect(t, run.DatabaseURL)
	for kill := range kills {
		// Kills are spread over the load by what has arrived, not by time.
		awaitBatches(t, db, (kill+1)*killCopies*want.Requests/(kills+2))
		if kill%2 == 0 {
			worker.kill()
			worker = startWorker()
		} else {
			ingest.kill()
			ingest = startIngest()
		}
	}
	result := <-played
	if result.err != nil {
		t.Fatal(result.err)
	}
	if result.summary.Answered != killCopies*want.Requests || result.summary.Refused != 0 {
		t.Errorf("replay: %+v, want %d requests answered", result.summary, killCopies*want.Requests)
	}
	t.Logf("%d kills, %+v", kills, result.summary)
	verify(t, filepath.Join(base, "stores"))
	checkTotals(t, db, want, killCopies)
	ingest.stop()
	worker.stop()
}

// awaitBatches waits until the ledger has n batches.
func awaitBatches(t *testing.T, db *pgx.Conn, n int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var batches int
		if err := db.QueryRow(t.Context(), `SELECT count(*) FROM nexero.batches`).Scan(&batches); err != nil {
			t.Fatal(err)
		}
		if batches >= n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d batches are stored, %d were expected by now", batches, n)
		}
	}
}

// freeAddress returns a loopback address that a process can be started on, and
// started on again.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
