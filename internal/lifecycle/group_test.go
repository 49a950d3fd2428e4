package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diary records what services do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// service is one that runs until its context ends and writes down its steps.
func (d *diary) service(name string) Service {
	return Service{
		Name: name,
		Run: func(ctx context.Context) error {
			<-ctx.Done()
			d.add("%s ran", name)
			return ctx.Err()
		},
		Stop: func(context.Context) error {
			d.add("%s stop", name)
			return nil
		},
	}
}

// rule 10
func TestRun_StopsInReverseOrderAndOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(slog.New(slog.DiscardHandler))
		g.Add(Service{Name: "database", Stop: func(context.Context) error { d.add("database stop"); return nil }})
		g.Add(d.service("worker"))
		last := d.service("ingest")
		last.Stop = func(context.Context) error {
			d.add("ingest stop")
			time.Sleep(3 * time.Second) //nolint:forbidigo // fake clock: a drain that takes its time
			d.add("ingest drained")
			return nil
		}
		g.Add(last)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		want := []string{"ingest stop", "ingest drained", "ingest ran", "worker stop", "worker ran", "database stop"}
		if diff := cmp.Diff(want, d.read()); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

func TestRun_OneReturnStopsAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, test := range []struct {
		name string
		err  error
	}{{"with an error", broken}, {"without an error", nil}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d diary
				g := NewGroup(slog.New(slog.DiscardHandler))
				g.Add(d.service("first"))
				g.Add(Service{Name: "second", Run: func(context.Context) error { return test.err }})
				g.Add(d.service("third"))
				if err := g.Run(t.Context()); !errors.Is(err, test.err) {
					t.Errorf("Run = %v, want %v", err, test.err)
				}
				want := []string{"third stop", "third ran", "first stop", "first ran"}
				if diff := cmp.Diff(want, d.read()); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRun_JoinsErrorsAndNamesTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drain, run := errors.New("12 requests left"), errors.New("listener died")
		g := NewGroup(slog.New(slog.DiscardHandler))
		g.Add(Service{Name: "ingest", Run: waitFor, Stop: func(context.Context) error { return drain }})
		g.Add(Service{Name: "metrics", Run: func(context.Context) error { return run }})
		err := g.Run(t.Context())
		if !errors.Is(err, drain) || !errors.Is(err, run) {
			t.Fatalf("Run = %v, want both errors", err)
		}
		for _, part := range []string{"ingest: stop: 12 requests left", "metrics: listener died"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Run = %q, want %q in it", err, part)
			}
		}
	})
}

// rule 10
func TestRun_DeadlineLeavesAHangingServiceBehind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		service func(release <-chan struct{}) Service
	}{
		{"stop hangs", func(release <-chan struct{}) Service {
			return Service{Run: waitFor, Stop: func(context.Context) error { <-release; return nil }}
		}},
		{"run hangs", func(release <-chan struct{}) Service {
			return Service{Run: func(context.Context) error { <-release; return nil }}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d diary
				release := make(chan struct{})
				g := NewGroup(slog.New(slog.DiscardHandler))
				g.Add(d.service("database"))
				hanging := test.service(release)
				hanging.Name, hanging.Deadline = "stuck", 5*time.Second
				g.Add(hanging)
				ctx, cancel := context.WithCancel(t.Context())
				cancelled := time.AfterFunc(time.Second, cancel)
				defer cancelled.Stop()
				began := time.Now()
				err := g.Run(ctx)
				if !errors.Is(err, ErrOverdue) || !strings.Contains(err.Error(), "left behind: stuck") {
					t.Errorf("Run = %v, want ErrOverdue and the service's name", err)
				}
				if took, want := time.Since(began), time.Second+5*time.Second+lastGrace; took != want {
					t.Errorf("took %s, want %s", took, want)
				}
				if want := []string{"database stop", "database ran"}; !slices.Equal(d.read(), want) {
					t.Errorf("the others' steps: %q, want %q", d.read(), want)
				}
				close(release) // or the bubble would find the goroutine left behind
			})
		})
	}
}

// A group in a group tells of its own parts: the one around it got all of its
// services back.
func TestRun_NamesWhoIsLeftBehindOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		outer := NewGroup(slog.New(slog.DiscardHandler))
		outer.Add(Service{Name: "worker", Deadline: time.Minute, Run: func(ctx context.Context) error {
			inner := NewGroup(slog.New(slog.DiscardHandler))
			inner.Add(Service{Name: "pool", Run: func(context.Context) error { <-release; return nil }})
			return inner.Run(ctx)
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := outer.Run(ctx)
		if !errors.Is(err, ErrOverdue) || !strings.Contains(err.Error(), "left behind: pool") || strings.Contains(err.Error(), "left behind: worker") {
			t.Errorf("Run = %v, want the pool alone left behind", err)
		}
		close(release)
	})
}

func TestRun_ContextEndedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(slog.New(slog.DiscardHandler))
		g.Add(d.service("worker"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		// Never started, but what its constructor opened is closed.
		if want := []string{"worker stop"}; !slices.Equal(d.read(), want) {
			t.Errorf("steps %q, want %q", d.read(), want)
		}
		if err := g.Run(t.Context()); err == nil {
			t.Error("a second Run went through")
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	var d diary
	g := NewGroup(slog.New(slog.DiscardHandler))
	g.Add(d.service("nats"))
	g.Add(d.service("postgres"))
	for range 2 {
		if err := g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if want := []string{"postgres stop", "nats stop"}; !slices.Equal(d.read(), want) {
		t.Errorf("steps %q, want %q", d.read(), want)
	}
}

func TestRun_CancelledIsReportedOnlyWhenNobodyAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		g.Add(Service{Name: "worker", Run: func(context.Context) error { return context.Canceled }})
		if err := g.Run(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want the service's own error", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		g.Add(Service{Name: "worker", Run: func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("3 messages left: %w", ctx.Err())
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Run(ctx); err == nil || !strings.Contains(err.Error(), "3 messages left") {
			t.Errorf("Run = %v, want what was left", err)
		}
	})
}

func TestRun_LogsEachStepWithItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := NewGroup(slog.New(slog.NewJSONHandler(&out, nil)))
		g.Add(Service{Name: "ingest", Run: waitFor})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, part := range []string{`"msg":"service stopped"`, `"name":"ingest"`, `"took":`} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("log lacks %s:\n%s", part, out.String())
			}
		}
	})
}

func waitFor(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
