package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/local"
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
	split := newParts(t, base, stores.run())

	type outcome struct {
		summary summary
		err     error
	}
	played := make(chan outcome, 1)
	go func() {
		s, err := tryReplay(t, split.ingestDir(), file, killCopies)
		played <- outcome{s, err}
	}()

	db := connect(t, stores.run().DatabaseURL)
	for kill := range kills {
		// Kills are spread over the load by what has arrived, not by time.
		awaitBatches(t, db, (kill+1)*killCopies*want.Requests/(kills+2))
		split.kill(kill)
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
	checkAggregates(t, db, file, want, killCopies)
	split.stop()
}

// parts are an ingest and a worker in processes of their own beside the stores
// that they share, to be killed.
type parts struct {
	t              *testing.T
	base, address  string
	stores         local.RunFile
	ingest, worker *process
}

func newParts(t *testing.T, base string, stores local.RunFile) *parts {
	t.Helper()
	p := &parts{t: t, base: base, address: freeAddress(t), stores: stores}
	p.ingest, p.worker = p.startIngest(), p.startWorker()
	return p
}

// ingestDir is the data directory in which clients find the way in.
func (p *parts) ingestDir() string { return filepath.Join(p.base, "ingest") }

func (p *parts) startIngest() *process {
	return up(p.t, p.ingestDir(), []string{"NEXERO_NATS_URL=" + p.stores.NATSURL}, "--services", "ingest", "--listen", p.address)
}

func (p *parts) startWorker() *process {
	// A short ack wait brings the killed worker's messages back soon.
	return up(p.t, filepath.Join(p.base, "worker"),
		[]string{"NEXERO_NATS_URL=" + p.stores.NATSURL, "NEXERO_DATABASE_URL=" + p.stores.DatabaseURL},
		"--services", "worker", "--queue-ack-wait", "5s", "--load-timeout", "4s", "--database-statement-timeout", "3s", "--database-idle-timeout", "4s",
		"--database-lock-timeout", "2s")
}

// kill kills one of the two, in turns, and starts it again.
func (p *parts) kill(turn int) {
	p.t.Helper()
	if turn%2 == 0 {
		p.worker.kill()
		p.worker = p.startWorker()
	} else {
		p.ingest.kill()
		p.ingest = p.startIngest()
	}
}

func (p *parts) stop() {
	p.t.Helper()
	p.ingest.stop()
	p.worker.stop()
}

// awaitBatches waits until the ledger has n batches.
func awaitBatches(t *testing.T, db *pgx.Conn, n int) {
	t.Helper()
	await(t, db, fmt.Sprintf("%d batches are stored", n), `SELECT count(*) >= $1 FROM nexero.batches`, n)
}

// await waits until a query says that something is so.
func await(t *testing.T, db *pgx.Conn, what, query string, arguments ...any) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var done bool
		if err := db.QueryRow(t.Context(), query, arguments...).Scan(&done); err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s in vain", what)
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
