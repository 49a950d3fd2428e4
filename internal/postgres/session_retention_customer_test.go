package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// begins moves b's events to a minute from 10 o'clock UTC of one old day on,
// whenever they are received.
func (b *builder) begins(minute int) *builder {
	begin := received.AddDate(0, 0, -600).Truncate(24 * time.Hour).Add(time.Duration(600+minute) * time.Minute)
	for i := range b.Events {
		b.Events[i].OccurredAt = event.MicrosOf(begin.Add(time.Duration(i) * time.Second))
	}
	return b
}

const customersDaily = "SELECT property_id, refs, repeat_visitors FROM rollup.customers_daily ORDER BY property_id, day"

// repeatGone is a customer with one session that is kept, on a day on which only
// a deleted one was a repeat visit.
func repeatGone(t *testing.T) *archive {
	t.Helper()
	a := setupArchive(t)
	a.visits(
		visit("gone", 410).begins(120).customerOf("anna", "loft"), // began second
		visit("kept", 300).begins(0).customerOf("anna", "loft"),   // began first, came late
	)
	a.retain()
	a.rollAll()
	before := a.aggregates()
	if n := a.forgetSessions(a.store); n != 1 {
		t.Fatalf("%d sessions forgotten", n)
	}
	a.wantExact()
	a.rollAll()
	a.wantAggregates(before)
	a.want(customersDaily, "loft 1 1")
	a.wantExact()
	return a
}

// A repeat visit of a deleted session stays on its day, whatever becomes of the
// sessions that share it.
//
// rule 4
func TestForgetSessions_RepeatVisitOfASharedDay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		then func(a *archive)
		want []string
	}{
		{"the other one was somebody else's", func(a *archive) {
			told := batch("told-later").at(received.AddDate(0, 0, -2)).customerOf("dora", "loft")
			told.Sessions = visit("kept", 0).Sessions
			a.loadWith(a.store, told)
		}, []string{"loft 2 1"}},
		{"the other one was on another day", func(a *archive) {
			a.setProperty(1, postgres.Property{ID: "loft", TimeZone: "Pacific/Kiritimati"})
		}, []string{"loft 1 1", "loft 1 0"}},
		{"one more on that day", func(a *archive) { a.visits(visit("more", 1).begins(300).customerOf("anna", "loft")) }, []string{"loft 1 1"}},
		{"one more elsewhere", func(a *archive) { a.visits(visit("more", 1).begins(300).customerOf("anna", "villa")) }, []string{"loft 1 1", "villa 1 1"}},
		{"everything again", func(a *archive) {
			a.exec("INSERT INTO nexero.customer_touches SELECT tenant_id, customer_id FROM nexero.customer_facts")
		}, []string{"loft 1 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := repeatGone(t)
			tt.then(a)
			a.rollAll()
			a.want(customersDaily, tt.want...)
			a.wantForgotten()
		})
	}
}

// A customer whose sessions of a day have all been deleted is not remembered
// there: one that arrives late for that day counts once more. The sum is exact.
//
// rule 4
func TestForgetSessions_ADayThatIsPast(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("gone", 410).begins(0).customerOf("anna", "loft"), visit("kept", 300).begins(3*24*60).customerOf("anna", "loft"))
	a.retain()
	a.rollAll()
	a.forgetSessions(a.store)
	a.rollAll()
	a.visits(visit("late", 1).begins(120).customerOf("anna", "loft"))
	a.rollAll()
	a.want(customersDaily, "loft 2 1", "loft 1 1")
	a.wantForgotten()
}

// Departures whose touch somebody took who knows of none, as a worker of an
// older version: they ask for themselves.
//
// rule 4
func TestForgetSessions_DeparturesWithoutTouch(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(
		visit("p", 410).begins(0).customerOf("anna", "loft"), visit("k", 300).begins(0).customerOf("anna", "villa"),
		visit("q", 410).begins(0).customerOf("bert", "loft"), visit("r", 410).begins(0).customerOf("carl", "loft"),
	)
	a.retain()
	a.rollAll()
	before := a.aggregates()
	a.forgetSessions(a.store)
	a.exec("DELETE FROM nexero.customer_touches WHERE customer_id <> 'bert'")
	a.rollAll()
	a.wantAggregates(before)
	a.wantForgotten()
}

// A row of past contributions that cannot be read stops neither the customers
// nor the sessions whose sums are in others.
func TestForgetSessions_DamagedPast(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	a.visits(visit("p", 410).begins(0).customerOf("anna", "loft"))
	a.retain()
	a.rollAll()
	a.forgetSessions(a.store)
	a.exec("CREATE TABLE public.saved AS SELECT * FROM nexero.past_contributions")
	a.exec(`UPDATE nexero.past_contributions SET contributions = '\xff'`)
	for i := range 9 {
		a.post(visit(fmt.Sprint("busy-", i), 410).begins(0).customerOf("", "loft"))
	}
	a.post(visit("z", 409).begins(0).customerOf("", "villa"))
	a.post(visit("x", 1).begins(0).customerOf("zoe", "villa"))
	a.retain()
	a.rollSealed()
	if n := a.forgetSessions(a.store); n != 1 {
		t.Errorf("%d sessions forgotten, want the one of another row", n)
	}
	for range 4 {
		// As callers do: one after an error.
		if _, err := a.store.RollCustomers(t.Context(), 1); err != nil {
			t.Log(err)
		}
	}
	a.want("SELECT customer_id FROM nexero.customer_facts WHERE rolled_at IS NOT NULL AND due_at IS NULL AND customer_id = 'zoe'", "zoe")
	a.want("SELECT customer_id FROM nexero.customer_facts WHERE due_at > now()", "anna")
	a.exec("UPDATE nexero.past_contributions p SET contributions = s.contributions FROM public.saved s WHERE p.property_id = s.property_id AND p.day = s.day")
	a.exec("UPDATE nexero.customer_facts SET due_at = NULL")
	if n := a.forgetSessions(a.store); n != 9 {
		t.Errorf("%d sessions forgotten, want the other 9", n)
	}
	a.rollAll()
	a.wantForgotten()
}

// What a customer shares with deleted sessions is checked as all facts are.
//
// rule 4
func TestVerify_SharedDays(t *testing.T) {
	t.Parallel()
	a := repeatGone(t)
	elsewhere := facts.Contributions{{Key: facts.Key{Table: facts.CustomersDaily, Property: "villa", Day: 1}, Refs: 1, Sums: []int64{0}}}
	for _, tt := range []struct {
		name, found string
		shared      []byte
	}{
		{"unreadable", "cannot be read", []byte{0xff}},
		{"of a day without a session", "no session has it", elsewhere.Append(nil)},
		{"lost", "repeat_visitors", nil},
	} {
		a.exec("UPDATE nexero.customer_facts SET shared = $1", tt.shared)
		v, err := a.store.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Named, func(d postgres.Difference) bool {
			return d.Check == "customers are what their sessions say" && strings.Contains(d.Found, tt.found)
		}) {
			t.Errorf("%s: want %q, got %v", tt.name, tt.found, v.Named)
		}
	}
}
