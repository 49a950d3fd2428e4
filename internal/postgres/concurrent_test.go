package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// rule 2
func TestLoad_WorkersWithTheSameBatchesCountOnceAndNeverDeadlock(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const workers, batches = 4, 16
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all []envelope.Batch
	for i := range batches {
		name := strconv.Itoa(i)
		all = append(all, batch(name).poses(0, 1).rejected(event.TimestampInFuture, 2).seal(t),
			batch(name).again("r").poses(0, 1, 2).seal(t),
			batch(name).other().again("other").poses(0).seal(t))
	}
	var group sync.WaitGroup
	for w := range workers {
		store := f.open(postgres.Config{})
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		mine := append([]envelope.Batch(nil), all...)
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		group.Go(func() {
			for len(mine) > 0 {
				n := min(1+random.IntN(16), len(mine))
				if _, err := store.Load(t.Context(), mine[:n]); err != nil {
					t.Errorf("load: %v", err)
				}
				mine = mine[n:]
			}
		})
	}
	group.Wait()
	// Whichever content of an id came first keeps it, the other is put aside.
	f.want("SELECT count(*), sum(accepted + coalesce(cardinality(rejected_indexes), 0)) FROM nexero.batches", fmt.Sprint(2*batches, " ", 4*batches))
	f.want("SELECT count(*) > 0, bool_and(c = 1) FROM (SELECT count(*) AS c FROM nexero.events GROUP BY batch_no, event_index) c", "true true")
	f.want("SELECT count(*) FROM nexero.sessions", strconv.Itoa(batches))
	f.wantExact()
}

func TestLoad_GivesUpOnALock(t *testing.T) {
	t.Parallel()
	f := setupWith(t, postgres.Config{LockTimeout: 20 * time.Millisecond})
	f.load(batch("warm").poses(0).seal(t))
	before := f.everything()
	_, release := f.block("LOCK TABLE nexero.sessions IN ACCESS EXCLUSIVE MODE")
	f.wantRetry(<-f.loadAside(t.Context(), f.store, sealed(t)))
	release()
	f.wantSame(before)
}

func TestLoad_WaitsForAnotherWorkerAndSeesWhatItDid(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"commits", "dies"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.load(batch("warm").poses(0).seal(t))
			gather := []envelope.Batch{batch("a").poses(0, 1).seal(t)}
			waiting, release := f.block("LOCK TABLE nexero.session_touches IN ACCESS EXCLUSIVE MODE")
			first := f.loadAside(t.Context(), f.store, gather)
			pid := waiting()
			second := f.loadAside(t.Context(), f.open(postgres.Config{}), gather)
			f.poll("SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
				func(n int) bool { return n == 2 })
			if end == "dies" {
				f.exec("SELECT pg_terminate_backend($1)", pid)
				f.wantRetry(<-first)
				release()
			} else {
				release()
				if err := <-first; err != nil {
					t.Error(err)
				}
			}
			if err := <-second; err != nil {
				t.Error(err)
			}
			f.want("SELECT count(*) FROM nexero.events", "3")
			f.wantExact()
		})
	}
}
