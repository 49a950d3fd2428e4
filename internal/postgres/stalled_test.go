package postgres_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// freezing is another address of a database. A client behind it freezes when it
// is about to send what it must not: nothing of it arrives any more, and its
// connection stays open, as with a process that was stopped or a machine that
// was suspended.
type freezing struct {
	url     string
	ctx     context.Context
	server  string
	at      []byte
	deliver bool // the beginning of what it sends still arrives, up to at

	melted chan struct{} // the clients go on, and find their connections closed
}

func freezeAt(t testing.TB, address string, at []byte, deliver bool) *freezing {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	f := &freezing{ctx: t.Context(), server: u.Host, at: at, deliver: deliver, melted: make(chan struct{})}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { f.carry(client) })
		}
	})
	u.Host = listener.Addr().String()
	f.url = u.String()
	return f
}

// carry connects a client with the server until it freezes.
func (f *freezing) carry(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(f.ctx, "tcp", f.server)
	if err != nil {
		return
	}
	defer server.Close()
	stop := context.AfterFunc(f.ctx, func() { _, _ = client.Close(), server.Close() })
	defer stop()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		// When the server ends the session, the frozen client does not see it.
		_, _ = io.Copy(client, server)
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		begin := bytes.Index(buffer[:n], f.at)
		frozen := begin >= 0
		if frozen && !f.deliver {
			n = 0
		} else if frozen {
			n = begin + len(f.at)
		}
		if err == nil {
			_, err = server.Write(buffer[:n])
		}
		if err != nil {
			_ = server.Close()
			return
		}
		if frozen {
			select {
			case <-f.melted:
			case <-f.ctx.Done():
			}
			_, _ = client.Close(), server.Close()
			return
		}
	}
}

// A worker that freezes in the middle of a load holds its ledger row, which the
// worker waits for that the queue gives the message to then. It is ended from
// outside, however it froze, and what it began is undone; when it wakes it finds
// that its message is loaded.
//
// rule 2, rule 10
func TestLoad_FrozenWorkerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		at      string
		deliver bool
		config  postgres.Config
		state   string // of the frozen worker's session
	}{
		// The server waits for the rest of the rows. Its own timeouts do not act.
		{"in the middle of COPY", "PGCOPY", true, postgres.Config{}, "active"},
		// The server waits for the next statement.
		{"before COPY", "SAVEPOINT rows", false, postgres.Config{IdleTimeout: 200 * time.Millisecond}, "idle in transaction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.load(batch("warm").poses(0).seal(t))
			gather := []envelope.Batch{batch("a").poses(0, 1).seal(t)}
			proxy := freezeAt(t, f.url, []byte(tt.at), tt.deliver)
			tt.config.URL = proxy.url
			frozen := f.open(tt.config)
			first := f.loadAside(t.Context(), frozen, gather)
			f.poll(`SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity WHERE datname = current_database()
				AND application_name = 'nexero-worker' AND wait_event = 'ClientRead' AND state = '`+tt.state+`'`,
				func(n int) bool { return n == 1 })

			// The other worker's own time-outs are short, so that it looks soon.
			second := f.open(postgres.Config{StatementTimeout: time.Second, LockTimeout: 900 * time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			f.loadUntilDone(ctx, second, gather)
			f.want("SELECT count(*) FROM nexero.events", "3")

			close(proxy.melted)
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
