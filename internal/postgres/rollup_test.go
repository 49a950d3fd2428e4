package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// fold decides as plainly as can be: whatever is due is folded, at once.
func fold(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
	for _, c := range claims {
		state := c.State
		if state == nil {
			state = facts.New()
			if !c.New {
				if err := whole([]*facts.Claim{c}); err != nil {
					return err
				}
			}
		}
		if err := state.Extend(c.Events, c.Reports); err != nil {
			if err := whole([]*facts.Claim{c}); err != nil {
				return err
			}
			state = facts.Of(c.Events, c.Reports)
		}
		f := state.Facts()
		c.Result = facts.Result{Due: c.Now, State: state, Facts: f, Contributed: f.Contributions(c.Properties[f.PropertyID]), RecomputeAt: c.Now}
	}
	return nil
}

// roll rolls up until nothing is left.
func (f *fixture) roll(store *postgres.Store) {
	f.Helper()
	for range 100 {
		rolled, err := store.RollSessions(f.Context(), 0, 64, fold)
		if err != nil {
			f.Fatalf("roll up: %v", err)
		}
		if rolled.Claimed == 0 {
			return
		}
	}
	f.Fatal("there is always something to roll up")
}

// wantRolled compares what was rolled up with what is stored of the raw side.
func (f *fixture) wantRolled() {
	f.Helper()
	f.want("SELECT count(*) FROM nexero.session_touches", "0")
	stored := f.lines("SELECT event_type, count(*) FROM nexero.events GROUP BY 1 ORDER BY 1")
	f.want("SELECT event_type, sum(events)::bigint FROM rollup.events_hourly GROUP BY 1 ORDER BY 1", stored...)
	f.want("SELECT count(*) FROM nexero.session_facts f JOIN nexero.sessions s USING (session_no) WHERE f.events <> (SELECT count(*) FROM nexero.events e WHERE e.session_no = f.session_no)", "0")
	sessions := f.lines("SELECT count(*) FROM nexero.sessions")
	f.want("SELECT sum(refs)::bigint FROM rollup.properties_daily", sessions...)
}

// tour is one more batch of the session "tour": n poses of a second each, from
// the given second on, and a gaze.
func tour(t testing.TB, name string, second, n int) *builder {
	t.Helper()
	b := batch(name)
	b.Sessions = []event.Session{{Key: event.SessionKey("acme", "tour"), ClientID: "tour"}}
	at := event.MicrosOf(received.Add(-time.Hour)) + event.Micros(second)*1_000_000
	for i := range n {
		b.with(event.Event{
			Index: i, Type: event.Pose, OccurredAt: at + event.Micros(i)*1_000_000,
			Has: event.FieldX | event.FieldY, X: float32(25 * (second + i)), Y: 0,
		})
	}
	return b.with(event.Event{
		Index: n, Type: event.Gaze, OccurredAt: at, Has: event.FieldDuration, DurationMS: 500, Target: "oven", Zone: "kitchen",
	})
}

// statements calls do before the statement with a number, counted from 1.
type statements struct {
	number, at int
	do         func()
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.next()
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	s.next()
	return ctx
}

func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (s *statements) next() {
	if s.number++; s.number == s.at {
		s.do()
	}
}

// A load, or another roll-up, that commits between any two statements of a
// roll-up neither waits for it nor is lost or counted twice, whether the new
// rows extend the session or belong before what was folded.
//
// rule 2, rule 4
func TestRollSessions_NothingIsLostBetweenTwoStatements(t *testing.T) {
	t.Parallel()
	for _, meanwhile := range []struct {
		name string
		do   func(f *fixture, aside *postgres.Store)
	}{
		{"a load extends", func(f *fixture, aside *postgres.Store) {
			f.loadWith(aside, tour(f, "later", 100, 5))
		}},
		{"a load comes before", func(f *fixture, aside *postgres.Store) {
			f.loadWith(aside, tour(f, "earlier", 5, 5))
		}},
		// Looks fold in any order, so nothing shows that one was folded before.
		{"a load of looks", func(f *fixture, aside *postgres.Store) {
			f.loadWith(aside, tour(f, "looks", 5, 0))
		}},
		{"another roll-up", func(f *fixture, aside *postgres.Store) { f.rollOnce(aside) }},
		{"a load and another roll-up", func(f *fixture, aside *postgres.Store) {
			f.loadWith(aside, tour(f, "earlier", 5, 5))
			f.rollOnce(aside)
		}},
	} {
		t.Run(meanwhile.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			for at := 1; ; at++ {
				f.begin(fmt.Sprint("before statement ", at))
				f.forgetFacts()
				f.load(tour(t, "first", 20, 10).seal(t))
				f.roll(f.store)
				f.load(tour(t, "second", 40, 10).seal(t), tour(t, "early", 0, 3).seal(t))
				hook := &statements{at: at, do: func() { meanwhile.do(f, f.store) }}
				traced, err := postgres.OpenTraced(t.Context(), postgres.Config{URL: f.url}, hook)
				if err != nil {
					t.Fatal(err)
				}
				f.rollOnce(traced)
				traced.Close()
				f.roll(f.store)
				f.wantRolled()
				if t.Failed() || hook.number < at {
					return
				}
			}
		})
	}
}

// rollOnce is one roll-up, which may find nothing.
func (f *fixture) rollOnce(store *postgres.Store) {
	f.Helper()
	if _, err := store.RollSessions(f.Context(), 0, 64, fold); err != nil {
		f.Errorf("roll up: %v", err)
	}
}

func (f *fixture) loadWith(store *postgres.Store, b *builder) {
	f.Helper()
	// Longer than any lock is waited for: one that is in the way says so itself.
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	if _, err := store.Load(ctx, oneBatch(f, b)); err != nil {
		f.Errorf("load while a roll-up is in progress: %v", err)
	}
}

// forgetFacts empties what roll-ups write.
func (f *fixture) forgetFacts() {
	f.Helper()
	f.exec("DELETE FROM nexero.session_facts")
	f.exec("DELETE FROM nexero.customer_facts")
	f.exec("DELETE FROM nexero.customer_touches")
	for _, table := range facts.Tables() {
		f.exec("DELETE FROM rollup." + table.String())
	}
}

func oneBatch(t testing.TB, b *builder) []envelope.Batch {
	t.Helper()
	return []envelope.Batch{b.seal(t)}
}
