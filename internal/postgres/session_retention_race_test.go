package postgres_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// oldSessions are sessions that can be forgotten, one of a customer who has
// another one.
func (a *archive) oldSessions(round int) {
	a.Helper()
	for i := range 3 {
		customer := fmt.Sprint("customer-", round, "-", i)
		a.post(visit(fmt.Sprint("old-", round, "-", i), 410).customerOf(customer, "loft"))
		if i == 0 {
			a.post(visit(fmt.Sprint("young-", round), 30).customerOf(customer, "loft"))
		}
	}
	a.retain()
	a.rollAll()
}

// post is visits for days that may have been dropped since the Store saw them:
// it finds out, and the next load makes them again.
func (a *archive) post(b *builder) {
	a.Helper()
	gather := oneBatch(a, b)
	_, err := a.past.Load(a.Context(), gather)
	if err != nil {
		a.wantRetry(err)
		_, err = a.past.Load(a.Context(), gather)
	}
	if err != nil {
		a.Fatal(err)
	}
	a.loaded += len(b.Events)
}

// traced opens a Store that calls do before its statement with a number.
func (a *archive) traced(hook *statements) *postgres.Store {
	a.Helper()
	store, err := postgres.OpenTraced(a.Context(), postgres.Config{URL: a.url}, hook)
	if err != nil {
		a.Fatal(err)
	}
	return store
}

// A deletion that ends before any of its statements is made again as a whole,
// and so is the roll-up of customers that follows it.
//
// rule 4, rule 10
func TestForgetSessions_InterruptedBeforeAnyStatement(t *testing.T) {
	t.Parallel()
	for _, work := range []struct {
		name string
		do   func(ctx context.Context, store *postgres.Store) error
	}{
		{"sessions", func(ctx context.Context, store *postgres.Store) error {
			_, _, err := store.ForgetSessions(ctx)
			return err
		}},
		{"customers", func(ctx context.Context, store *postgres.Store) error {
			_, err := store.RollCustomers(ctx, 100)
			return err
		}},
	} {
		t.Run(work.name, func(t *testing.T) {
			t.Parallel()
			a := setupArchive(t)
			for at := 1; ; at++ {
				a.oldSessions(at)
				before := a.aggregates()
				if work.name == "customers" {
					a.forgetSessions(a.store)
				}
				others := a.lines("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
				hook := &statements{at: at, do: func() {
					a.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nexero-worker' AND pid::text <> ALL($1)", others)
				}}
				store := a.traced(hook)
				err := work.do(t.Context(), store)
				store.Close()
				if (err == nil) != (hook.number < at) {
					t.Fatalf("interrupted before statement %d of %d: %v", at, hook.number, err)
				}
				a.settle()
				a.wantExact()
				a.forgetSessions(a.store)
				a.rollAll()
				a.wantAggregates(before)
				a.wantForgotten()
				a.want("SELECT count(*) FROM nexero.sessions WHERE client_id LIKE 'old-%'", "0")
				if t.Failed() || hook.number < at {
					return
				}
			}
		})
	}
}

// aside starts do and returns when it is done or waits for a lock; end waits for
// the rest.
func (a *archive) aside(do func()) (end func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	for {
		select {
		case <-done:
			return func() {}
		default:
		}
		var waits int
		err := a.db.QueryRow(a.Context(), `SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity
			WHERE datname = current_database() AND application_name = 'nexero-worker' AND wait_event_type = 'Lock'`).Scan(&waits)
		if err != nil || waits > 0 {
			return func() { <-done }
		}
	}
}

// Whatever else commits between two statements of a deletion, or deletes between
// two statements of a load, is neither lost nor counted twice, and no rows are
// left without their session.
//
// rule 2, rule 4
func TestForgetSessions_NothingIsLostBetweenTwoStatements(t *testing.T) {
	t.Parallel()
	late := func(a *archive, store *postgres.Store, round int) {
		for i := range 2 {
			b := visit(fmt.Sprint("old-", round, "-", i), 1).customerOf("eve", "loft")
			if _, err := store.Load(a.Context(), oneBatch(a, b)); err != nil {
				a.Errorf("load: %v", err)
			}
			a.loaded += len(b.Events)
		}
	}
	forget := func(a *archive, store *postgres.Store, _ int) {
		if _, _, err := store.ForgetSessions(a.Context()); err != nil {
			a.Errorf("forget: %v", err)
		}
	}
	customers := func(a *archive, store *postgres.Store, _ int) {
		if _, err := store.RollCustomers(a.Context(), 100); err != nil {
			a.Errorf("roll up customers: %v", err)
		}
	}
	for _, tt := range []struct {
		name            string
		work, meanwhile func(a *archive, store *postgres.Store, round int)
	}{
		{"a load while sessions are deleted", forget, late},
		{"another deletion", forget, forget},
		{"customers while sessions are deleted", forget, customers},
		{"a deletion while a load is in progress", late, forget},
		{"a deletion while customers are rolled up", customers, forget},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := setupArchive(t)
			for at := 1; ; at++ {
				a.oldSessions(at)
				// One is deleted already, so that there are customers to roll up.
				a.exec("UPDATE nexero.session_facts SET facts_version = 999 WHERE session_no <> (SELECT min(session_no) FROM nexero.sessions WHERE client_id LIKE 'old-%')")
				a.forgetSessions(a.store)
				a.exec("UPDATE nexero.session_facts SET facts_version = 1 WHERE facts_version = 999")
				end := func() {}
				hook := &statements{at: at, do: func() { end = a.aside(func() { tt.meanwhile(a, a.store, at) }) }}
				store := a.traced(hook)
				tt.work(a, store, at)
				end()
				store.Close()
				a.wantExact()
				a.rollAll()
				a.forgetSessions(a.store)
				a.rollAll()
				a.wantForgotten()
				if t.Failed() || hook.number < at {
					return
				}
			}
		})
	}
}

// oldLocked calls do before each statement that locks old sessions.
type oldLocked struct {
	number int
	do     func(number int)
}

func (o *oldLocked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "FOR KEY SHARE") {
		o.number++
		o.do(o.number)
	}
	return ctx
}

func (*oldLocked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A load begins anew for each of its sessions that is deleted under it.
func TestForgetSessions_UnderEachAttemptOfALoad(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	names := []string{"a", "b", "c"}
	late := visit("a", 1)
	for _, name := range names {
		a.visits(visit(name, 410))
		if name != "a" {
			late.Sessions = append(late.Sessions, visit(name, 1).Sessions...)
		}
	}
	a.retain()
	a.rollAll()
	hook := &oldLocked{do: func(number int) {
		if number > len(names) {
			return
		}
		// One of them, as if the others had been looked at later.
		a.exec("UPDATE nexero.session_facts SET facts_version = 999 WHERE session_no IN (SELECT session_no FROM nexero.sessions WHERE client_id <> $1)", names[number-1])
		if n := a.forgetSessions(a.store); n != 1 {
			t.Errorf("%d sessions forgotten, want 1", n)
		}
		a.exec("UPDATE nexero.session_facts SET facts_version = $1", facts.Version)
	}}
	store, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: a.url}, hook)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Load(t.Context(), oneBatch(a, late)); err != nil || hook.number != len(names) {
		t.Errorf("%d attempts: %v", hook.number, err)
	}
	a.loaded += len(late.Events)
	a.rollAll()
	a.want(namesKept, names...)
	a.wantForgotten()
}

// Random sessions, receipts, customers and time zones, retention in between:
// what is deleted changes no aggregate, verify finds nothing at any moment, and
// what is old is gone.
//
// rule 2, rule 4
func TestForgetSessions_Property(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		batches := 0
		for range rapid.IntRange(1, 9).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"post", "post", "post", "roll up", "customers", "retain", "forget", "zone"}).Draw(rt, "step") {
			case "post":
				batches++
				days := rapid.SampledFrom([]int{430, 412, 411, 399, 200, 33, 1}).Draw(rt, "days")
				b := visit(fmt.Sprint(round, "-", rapid.IntRange(0, 3).Draw(rt, "session")), days).renamed(fmt.Sprint(round, "-", batches))
				// Who is received first has not begun first; all begin within facts.MaxSpan.
				b.begins(rapid.SampledFrom([]int{0, 1, 20, 60, 200, 800, 1400}).Draw(rt, "begins"))
				if rapid.Bool().Draw(rt, "reported") {
					b.customerOf(strconv.Itoa(rapid.IntRange(0, 2).Draw(rt, "customer")), fmt.Sprint("p", rapid.IntRange(0, 1).Draw(rt, "property")))
				}
				a.post(b)
			case "roll up":
				a.rollSealed()
			case "customers":
				if _, err := a.store.RollCustomers(t.Context(), 2); err != nil {
					rt.Fatal(err)
				}
			case "retain":
				a.retain()
			case "forget":
				a.forgetSessions(a.store)
				a.wantExact() // with customers who have not heard of it
			case "zone":
				zone := rapid.SampledFrom([]string{"UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"}).Draw(rt, "zone")
				if _, err := a.store.SetProperty(t.Context(), "acme", postgres.Property{ID: "p0", TimeZone: zone}); err != nil && batches > 0 {
					rt.Fatal(err)
				}
			}
		}
		a.wantExact()
		a.retain()
		a.rollAll()
		before := a.aggregates()
		a.forgetSessions(a.store)
		a.wantAggregates(before)
		a.rollAll()
		a.exec("INSERT INTO nexero.customer_touches SELECT tenant_id, customer_id FROM nexero.customer_facts")
		a.rollAll()
		a.wantAggregates(before)
		if a.loaded > 0 {
			a.wantForgotten()
		}
		a.want("SELECT count(*) FROM rollup.customers_daily WHERE repeat_visitors > refs", "0")
		a.want("SELECT count(*) FROM nexero.session_facts WHERE last_received_at < now() - interval '398 days'", "0")
		if t.Failed() {
			rt.FailNow()
		}
	})
}
