package postgres_test

import (
	"context"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// A worker that freezes in the middle of a load holds its ledger row, which the
// worker waits for that the queue gives the message to then. It is ended from
// outside, however it froze, and what it began is undone; when it wakes it finds
// that its message is loaded.
//
// rule 2, rule 10
func TestLoad_FrozenWorkerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		at     string // what the worker is saying when it freezes
		config postgres.Config
		state  string // of the frozen worker's session
	}{
		// The server waits for the rest of the rows. Its own timeouts do not act.
		{"in the middle of COPY", "PGCOPY", postgres.Config{}, "active"},
		// The server waits for the next statement.
		{"before COPY", "SAVEPOINT rows", postgres.Config{IdleTimeout: 200 * time.Millisecond}, "idle in transaction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.load(batch("warm").poses(0).seal(t))
			gather := []envelope.Batch{batch("a").poses(0, 1).seal(t)}
			// Nothing is heard of the worker any more and its connection stays open, as
			// with a process that was stopped or a machine that was suspended.
			line, through := link.Before(t, f.url)
			line.HoldOn(link.Said{Direction: link.ToServer, Pattern: tt.at})
			tt.config.URL = through
			frozen := f.open(tt.config)
			first := f.loadAside(t.Context(), frozen, gather)
			f.poll(`SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity WHERE datname = current_database()
				AND application_name = 'nexero-worker' AND wait_event = 'ClientRead' AND state = '`+tt.state+`'`,
				func(n int) bool { return n == 1 })

			// The other worker's own time-outs are short, so that it takes the silent load
			// for stalled soon, and longer than a second, so that each attempt looks.
			second := f.open(postgres.Config{StatementTimeout: 2 * time.Second, LockTimeout: 1800 * time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			f.loadUntilDone(ctx, second, gather)
			f.want("SELECT count(*) FROM nexero.events", "3")

			line.Pass()
			f.wantRetry(<-first)
			f.wantLoad(postgres.LoadResult{Redelivered: 1}, gather...)
			f.wantExact()
		})
	}
}

// What keeps a worker from seeing one that is frozen is told.
func TestStalledUnseen(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, tt := range []struct{ url, want string }{
		{f.url, ""},
		{withOption(t, f.url, "track_activities", "off"), "track_activities is off"},
	} {
		if got, err := f.open(postgres.Config{URL: tt.url}).StalledUnseen(t.Context()); err != nil || !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("got %q, %v, want %q", got, err, tt.want)
		}
	}

	u, err := url.Parse(withOption(t, f.url, "application_name", "nexero-worker"))
	if err != nil {
		t.Fatal(err)
	}
	role := "another_" + strings.ReplaceAll(path.Base(u.Path), "-", "_")
	f.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'secret'")
	t.Cleanup(func() {
		if _, err := f.db.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role); err != nil {
			t.Errorf("drop the user: %v", err)
		}
	})
	u.User = url.UserPassword(role, "secret")
	another, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.store.StalledUnseen(t.Context()); err != nil || !strings.Contains(got, "different users") {
		t.Errorf("with a worker of another user: %q, %v", got, err)
	}
	if err := another.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// loadUntilDone loads as a worker does: what can help is tried again.
func (f *fixture) loadUntilDone(ctx context.Context, store *postgres.Store, gather []envelope.Batch) {
	f.Helper()
	for {
		_, err := store.Load(ctx, gather)
		if err == nil {
			return
		}
		f.Logf("the other worker waits: %v", err)
		if f.wantRetry(err); ctx.Err() != nil || f.Failed() {
			f.Fatal("the other worker waits for ever")
		}
	}
}

// A roll-up that freezes holds its sessions, and nobody waits for it: others are
// rolled up meanwhile. When it is ended, its sessions' touches are there again.
//
// rule 4, rule 10
func TestRollSessions_FrozenRollUpHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.load(tour(t, "first", 0, 3).seal(t))
	frozen := f.open(postgres.Config{IdleTimeout: time.Second})
	holds, wake := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := frozen.RollSessions(t.Context(), 0, 64, func(claims []*facts.Claim, whole func([]*facts.Claim) error) error {
			close(holds)
			<-wake
			return fold(claims, whole)
		})
		first <- err
	}()
	<-holds
	// Rows of the same session, and of another, are loaded and rolled up.
	f.load(tour(t, "second", 10, 3).seal(t), batch("other").poses(0, 1).seal(t))
	f.rollOnce(f.store)
	f.want("SELECT s.client_id, f.events FROM nexero.session_facts f JOIN nexero.sessions s USING (session_no) WHERE f.rolled_at IS NOT NULL", "session-other 2")

	// The server ends the silent session; the touches of its claims come back.
	f.poll("SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
		func(n int) bool { return n == 0 })
	f.roll(f.store)
	f.wantRolled()
	close(wake)
	f.wantRetry(<-first)
	f.wantRolled()
	f.wantExact()
}
