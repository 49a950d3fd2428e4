package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// other is a transaction that takes the locks that a store takes, in the order
// that everybody keeps.
type other struct {
	*fixture
	conn *pgx.Conn
}

// another begins a transaction. Its end gives its locks back.
func (f *fixture) another() (o *other, end func()) {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.url)
	if err != nil {
		f.Fatal(err)
	}
	o = &other{f, conn}
	f.Cleanup(func() { _ = conn.Close(context.WithoutCancel(f.Context())) })
	o.do("BEGIN")
	return o, func() { o.do("ROLLBACK") }
}

// do fails the test when the server had to break a deadlock, among others.
func (o *other) do(sql string, arguments ...any) {
	o.Helper()
	if _, err := o.conn.Exec(o.Context(), sql, arguments...); err != nil {
		o.Errorf("%s: %v", sql, err)
	}
}

// waiting returns when a store waits for o.
func (o *other) waiting() {
	o.Helper()
	o.poll(fmt.Sprintf(`SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity
		WHERE application_name = 'nexero-worker' AND %d = ANY(pg_blocking_pids(pid))`, o.conn.PgConn().PID()),
		func(n int) bool { return n > 0 })
}

// Two transactions that want the same rows take them in one order, so that one
// waits for the other and never both for each other: another transaction holds
// the first row, a store waits for it, and then the last row is still free.
//
// rule 2, rule 4
func TestLocks_AreTakenInOrder(t *testing.T) {
	t.Parallel()
	t.Run("ledger", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		gather := descending(t, func(b *envelope.Batch) []byte { return b.ID[:] })
		f.load(batch("tenant").seal(t))
		const insert = `INSERT INTO nexero.batches (batch_id, receipt_id, digest, received_at, tenant_id, accepted, late, corrected)
			SELECT $1, $1, digest, received_at, tenant_id, 0, 0, 0 FROM nexero.batches LIMIT 1`
		f.wantNoDeadlock(gather, insert, gather[len(gather)-1].ID, gather[0].ID)
	})
	t.Run("sessions", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		gather := descending(t, func(b *envelope.Batch) []byte { return b.Sessions[0].Key[:] })
		f.load(batch("tenant").poses(0).seal(t))
		const insert = `INSERT INTO nexero.sessions (session_id, tenant_id, client_id, first_received_at)
			SELECT $1, tenant_id, 'x', first_received_at FROM nexero.sessions LIMIT 1`
		f.wantNoDeadlock(gather, insert, gather[len(gather)-1].Sessions[0].Key, gather[0].Sessions[0].Key)
	})
	t.Run("aggregates", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		const tenants = 40
		visits := func(round int) (gather []envelope.Batch) {
			for i := range tenants {
				gather = append(gather, tour(t, fmt.Sprint(round, "-", i), 100*round, 2).with(stay(100*round, "kitchen")...).of(fmt.Sprint("tenant-", i)).seal(t))
			}
			return gather
		}
		f.load(visits(0)...)
		f.roll(f.store)
		// More than once: in any order the first row comes first now and then.
		for round := range 3 {
			f.load(visits(1 + round)...)
			o, end := f.another()
			o.do("SELECT FROM rollup.zones_daily WHERE tenant_id = (SELECT min(tenant_id) FROM rollup.zones_daily) FOR UPDATE")
			done := f.rollAside(f.store)
			o.waiting()
			o.do("SELECT FROM rollup.zones_daily ORDER BY tenant_id FOR UPDATE")
			end()
			if err := <-done; err != nil {
				t.Errorf("roll-up: %v", err)
			}
		}
		f.wantRolled()
	})
	t.Run("past contributions", func(t *testing.T) {
		t.Parallel()
		a := setupArchive(t)
		const properties = 40
		for round, days := range []int{411, 410} {
			for i := range properties {
				a.post(visit(fmt.Sprint(round, "-", i), days).customerOf("anna", fmt.Sprint("property-", i)))
			}
			a.retain()
			a.rollAll()
			if round == 0 {
				a.forgetSessions(a.store)
				a.rollAll()
			}
		}
		o, end := a.another()
		o.do("SELECT FROM nexero.past_contributions WHERE property_id = (SELECT min(property_id) FROM nexero.past_contributions) FOR UPDATE")
		done := make(chan error, 1)
		go func() {
			_, _, err := a.store.ForgetSessions(t.Context())
			done <- err
		}()
		o.waiting()
		o.do("SELECT FROM nexero.past_contributions ORDER BY property_id FOR UPDATE")
		end()
		if err := <-done; err != nil {
			t.Errorf("forget: %v", err)
		}
		a.rollAll()
		a.wantForgotten()
	})
}

// descending returns small batches, the one with the greatest key first.
func descending(t *testing.T, key func(*envelope.Batch) []byte) []envelope.Batch {
	t.Helper()
	var gather []envelope.Batch
	for i := range 8 {
		gather = append(gather, batch(fmt.Sprint("ordered-", i)).poses(0).seal(t))
	}
	slices.SortFunc(gather, func(a, b envelope.Batch) int { return bytes.Compare(key(&b), key(&a)) })
	return gather
}

// wantNoDeadlock loads while another transaction inserts the first key and then
// the last one.
func (f *fixture) wantNoDeadlock(gather []envelope.Batch, insert string, first, last [16]byte) {
	f.Helper()
	o, end := f.another()
	o.do(insert, first)
	done := f.loadAside(f.Context(), f.store, gather)
	o.waiting()
	o.do(insert, last)
	end()
	if err := <-done; err != nil {
		f.Errorf("load: %v", err)
	}
	f.wantExact()
}

// rollAside starts a roll-up and returns what it comes to.
func (f *fixture) rollAside(store *postgres.Store) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := store.RollSessions(f.Context(), 0, 64, fold)
		done <- err
	}()
	return done
}
