package rollup

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// bench is a Roller on a model, inside a bubble of fake time.
type bench struct {
	*testing.T

	store    *modelStore
	roller   *Roller
	registry *prometheus.Registry
	log      *lines
	// batches counts what was loaded, tours by session.
	batches int64
	tours   map[int64][]modelBatch

	mu     sync.Mutex // guards behind
	behind bool

	cancel context.CancelFunc
	ended  chan error
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// count returns the number of lines that contain text.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.out.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// inBubble runs test with a fresh model.
func inBubble(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, store: newModelStore(time.Now), registry: prometheus.NewRegistry(), log: &lines{}, tours: map[int64][]modelBatch{}}
		r, err := New(Deps{
			Store: b.store, Archive: b.store, Forget: b.store.forget, ForgetSessions: b.store.forgetSessions, Behind: b.isBehind, Classify: classify,
			Log: slog.New(slog.NewTextHandler(b.log, nil)), Registerer: b.registry,
		}, opts)
		if err != nil {
			t.Fatal(err)
		}
		b.roller = r
		test(b)
		for _, violation := range b.store.violations {
			t.Error(violation)
		}
	})
}

func (b *bench) isBehind(context.Context) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.behind
}

func (b *bench) setBehind(behind bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind = behind
}

// start runs the Roller until stop.
func (b *bench) start() {
	ctx, cancel := context.WithCancel(b.Context())
	b.cancel, b.ended = cancel, make(chan error, 1)
	go func() { b.ended <- b.roller.Run(ctx) }()
}

// stop ends Run's context and returns what Run returned.
func (b *bench) stop() error {
	b.cancel()
	return <-b.ended
}

// pass lets time pass, which in a bubble takes none.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // moves the bubble's clock
	synctest.Wait()
}

// load loads a batch of one pose into each of the sessions.
func (b *bench) load(sessions ...int64) {
	now := event.MicrosOf(time.Now())
	for _, session := range sessions {
		b.batches++
		e := facts.Event{OccurredAt: now, ReceivedAt: now, BatchNo: b.batches, Type: event.Pose, Has: event.FieldX | event.FieldY}
		batch := modelBatch{receivedAt: time.Now(), events: []facts.Event{e}}
		b.tours[session] = append(b.tours[session], batch)
		b.store.load(session, b.batches, batch)
	}
}

// wantExact checks that everything is rolled up and right.
func (b *bench) wantExact() {
	b.Helper()
	if n := b.store.touched(); n > 0 {
		b.Fatalf("%d touches left", n)
	}
	var sum facts.Contributions
	for _, tour := range b.tours {
		var events []facts.Event
		for _, batch := range tour {
			events = append(events, batch.events...)
		}
		sum = facts.Add(sum, facts.Of(events, nil).Facts().Contributions(facts.Property{}))
	}
	if !bytes.Equal(sum.Append(nil), b.store.aggregates.Append(nil)) {
		b.Error("the aggregates are not the sum of the sessions")
	}
}

func (b *bench) wantReady(text string) {
	b.Helper()
	switch err := b.roller.Ready(); {
	case err == nil && text != "":
		b.Errorf("ready, want %q", text)
	case err != nil && (text == "" || !strings.Contains(err.Error(), text)):
		b.Errorf("not ready: %v, want %q", err, text)
	}
}

func (b *bench) wantCount(what string, c prometheus.Collector, want float64) {
	b.Helper()
	if got := testutil.ToFloat64(c); got != want {
		b.Errorf("%s: %v, want %v", what, got, want)
	}
}

// numbers are the session numbers from 1 to n.
func numbers(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i + 1)
	}
	return all
}
