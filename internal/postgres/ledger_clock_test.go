package postgres_test

import (
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// The procedure of docs/operations.md for clocks that were ahead by weeks: the
// ledger forgot all it knew, and its horizon lies in the future. What is known
// again from a backup is counted once, what is new is stored, and so is what was
// set aside meanwhile when an operator asks for it.
//
// rule 2, rule 5
func TestLedgerHorizon_PutBackAfterAClockWasAhead(t *testing.T) {
	t.Parallel()
	f := setupLedger(t)
	known := batch("known").at(ago(1)).poses(0, 1)
	f.loaded(known)
	// To the ledger it is the same whether the clock goes ahead or its rows go back.
	f.exec("CREATE TABLE nexero.batches_copy AS SELECT * FROM nexero.batches")
	f.exec("UPDATE nexero.batches SET written_at = written_at - interval '40 days', received_at = received_at - interval '40 days'")
	f.forget(f.store, time.Time{})
	f.exec("UPDATE nexero.ledger_horizon SET written_before = written_before + interval '40 days', received_before = received_before + interval '40 days'")
	f.want(ledgerNames)

	aside := batch("aside").poses(0)
	f.wantLoad(postgres.LoadResult{Batches: 1, Quarantined: 1, Aside: 1}, aside.seal(t))
	f.want("SELECT received_before > now() - interval '5 days' + interval '1 hour' FROM nexero.ledger_horizon", "true")

	// The words of the procedure; the moment when the clocks were right again is a
	// moment before what was set aside.
	f.exec("INSERT INTO nexero.batches SELECT * FROM nexero.batches_copy ON CONFLICT DO NOTHING")
	f.exec("DROP TABLE nexero.batches_copy")
	f.exec("UPDATE nexero.ledger_horizon SET received_before = $1 WHERE received_before > $1", received.Add(-time.Minute))

	f.wantLoad(postgres.LoadResult{Redelivered: 1}, known.seal(t))
	f.wantLoad(postgres.LoadResult{Repeats: 1}, batch("known").again("today").poses(0, 1).seal(t))
	f.wantLoad(postgres.LoadResult{Batches: 1, Rows: 1}, batch("new").poses(0).seal(t))
	// What came before that moment and is not in the backup stays aside.
	f.wantLoad(postgres.LoadResult{Batches: 1, Quarantined: 1, Aside: 1}, batch("between").at(received.Add(-time.Hour)).poses(0).seal(t))
	f.replay(postgres.ReplayRequest{Batch: aside.ID, Code: event.TooOldToCheck}, accepting(),
		postgres.ReplayOutcome{Index: 0, Was: event.TooOldToCheck})
	f.want("SELECT count(*) FROM nexero.events", "4")
	f.wantExact()

	// With the right time nothing of it is forgotten, and the horizon stays.
	f.forget(f.store, time.Time{})
	f.want(ledgerNames, "session-aside", "session-known", "session-new") // and "between", which has no rows
	f.wantExact()
}
