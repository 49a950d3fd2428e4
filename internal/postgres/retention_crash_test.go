package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// before calls do before each statement, with its text.
type before func(sql string)

func (b before) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	b(data.SQL)
	return ctx
}

func (b before) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// dropWatched drops a partition with another Store whose statements are seen.
func (a *archive) dropWatched(ctx context.Context, expired facts.Expired, watch before) error {
	a.Helper()
	store, err := postgres.OpenTraced(a.Context(), postgres.Config{URL: a.url}, watch)
	if err != nil {
		a.Fatal(err)
	}
	defer store.Close()
	return store.Drop(ctx, expired)
}

// A drop that ends before any of its statements is finished by the next one.
//
// rule 10
func TestDrop_InterruptedBeforeAnyStatement(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"terminate", "cancel"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			a := setupArchive(t)
			for days, at := 32, 1; ; days, at = days+1, at+1 {
				a.visits(visit("long", days), visit("short", days))
				a.seal(poseDay(days))
				number := 0
				others := a.lines("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
				ctx, cancel := context.WithCancel(t.Context())
				err := a.dropWatched(ctx, poseDay(days), func(string) {
					if number++; number != at {
						return
					}
					if end == "cancel" {
						cancel()
					} else {
						a.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nexero-worker' AND pid::text <> ALL($1)", others)
					}
				})
				cancel()
				if (err == nil) != (number < at) {
					t.Fatalf("interrupted before statement %d of %d: %v", at, number, err)
				}
				// The server may still be at work for whoever hung up.
				a.settle()
				a.retain()
				a.wantGone(poseDay(days))
				a.wantCounted()
				if number < at {
					return
				}
			}
		})
	}
}

// While a reader keeps the detach waiting, loads and roll-ups go on; whatever
// then ends the drop, the next one finishes it, a worker in between or not.
//
// rule 10
func TestDrop_InterruptedDuringTheDetach(t *testing.T) {
	t.Parallel()
	const killDetach = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER TABLE % CONCURRENTLY'"
	for name, interrupt := range map[string]func(a *archive, cancel func()){
		"not at all":               func(*archive, func()) {},
		"terminated":               func(a *archive, _ func()) { a.exec(killDetach) },
		"cancelled":                func(_ *archive, cancel func()) { cancel() },
		"finalized by a worker":    func(a *archive, _ func()) { a.exec(killDetach) },
		"cancelled while it waits": func(_ *archive, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := setupArchive(t)
			a.ensure(time.Time{})
			a.visits(visit("long", 40), visit("long", 39), visit("new", 1))
			a.seal(poseDay(40))
			a.seal(poseDay(39))
			_, release := a.block("SELECT count(*) FROM nexero.events_pose")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			dropped := make(chan error, 1)
			go func() { dropped <- a.store.Drop(ctx, poseDay(40)) }()
			a.poll("SELECT count(*) FROM pg_sleep(0.002), pg_inherits WHERE inhdetachpending", func(n int) bool { return n == 1 })
			a.goOn("during")
			interrupt(a, cancel)
			if name == "not at all" {
				release()
			}
			if err := <-dropped; (err == nil) != (name == "not at all") {
				t.Fatalf("the drop: %v", err)
			}
			a.goOn("after")
			if name == "cancelled while it waits" {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				a.wantRetry(a.store.Drop(ctx, poseDay(40)))
				cancel()
			}
			release()
			a.settle()
			if name == "finalized by a worker" {
				a.ensure(time.Time{})
				a.want("SELECT to_regclass('nexero."+poseDay(40).Partition+"') IS NOT NULL, count(*) FROM pg_inherits WHERE inhdetachpending", "true 0")
			}
			a.retain()
			a.wantGone(poseDay(40))
			a.wantGone(poseDay(39))
			a.goOn("at last")
			a.wantCounted()
		})
	}
}

// goOn loads and rolls up, and lets a worker look after its partitions.
func (a *archive) goOn(name string) {
	a.Helper()
	// Longer than any lock is waited for: one that is in the way says so itself.
	ctx, cancel := context.WithTimeout(a.Context(), time.Minute)
	defer cancel()
	for _, session := range []string{"long", "new"} {
		b := visit(session, 1).renamed(session + name)
		if _, err := a.store.Load(ctx, oneBatch(a, b)); err != nil {
			a.Fatalf("load: %v", err)
		}
		a.loaded += len(b.Events)
	}
	if err := a.store.EnsurePartitions(ctx, time.Time{}); err != nil {
		a.Fatalf("ensure partitions: %v", err)
	}
	a.rollSealed()
}

// A worker whose clock stood still writes to the day between the first look and
// the detach, and somebody rolls that up at any later moment: the rows are not
// lost, but for those that a roll-up came too late to see.
//
// rule 2
func TestDrop_LooksAgainAfterTheDetach(t *testing.T) {
	t.Parallel()
	a := setupArchive(t)
	isDetach := func(sql string) bool { return strings.HasSuffix(sql, " CONCURRENTLY") }
	for days, at := 32, 0; ; days, at = days+1, at+1 {
		a.visits(visit("sealed", days))
		a.seal(poseDay(days))
		late, number := -1, 0
		err := a.dropWatched(t.Context(), poseDay(days), func(sql string) {
			if isDetach(sql) {
				a.visits(visit("new", days), visit("sealed", days).renamed(sql))
				late = 0
			}
			if late >= 0 {
				if late == at && at > 0 {
					// Only the new session: the sealed one's touch is still to be seen.
					a.exec("UPDATE nexero.session_facts SET due_at = 'infinity' WHERE sealed")
					a.rollSealed()
					a.exec("UPDATE nexero.session_facts SET due_at = now() WHERE sealed")
				}
				late++
			}
			number++
		})
		if err == nil || !strings.Contains(err.Error(), "are not sealed") {
			t.Fatalf("dropped a day with rows that nobody has folded: %v", err)
		}
		a.retain()
		a.wantGone(poseDay(days))
		a.rollSealed()
		a.wantCounted()
		if t.Failed() || at > late {
			return
		}
	}
}
