package workerd

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/worker"
)

const (
	// offsetVersion is where a message has its version, and futureVersion one
	// that no build has.
	offsetVersion = 4
	futureVersion = 250
)

// newerSource is the queue as a worker sees it that knows futureVersion, which
// here is the present layout under another number.
type newerSource struct {
	source

	present byte
}

func (s newerSource) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]worker.Message, error) {
	messages, err := s.source.Fetch(ctx, maxMessages, maxBytes, wait)
	for i := range messages {
		messages[i].Data[offsetVersion] = s.present
	}
	return messages, err
}

// newer makes a worker that also reads futureVersion.
func newer(t *testing.T, cfg *config.Worker, present byte) *Worker {
	t.Helper()
	w, err := New(t.Context(), cfg, testkit.Logger(t), prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.worker, err = worker.New(worker.Deps{
		Source: newerSource{source{w.conn}, present}, Store: store{w.store}, Classify: classify,
		OldestMessage: w.conn.OldestMessage, Log: testkit.Logger(t), Registerer: prometheus.NewRegistry(),
	}, worker.Options{Loops: cfg.Loading.Loops, AckWait: cfg.Queue.AckWait, LoadTimeout: cfg.Loading.LoadTimeout, DrainTimeout: cfg.Process.DrainTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// started runs a worker until stop, which is called once.
func started(t *testing.T, w *Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// lines counts what was logged. It is safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 9000 {
		if so() {
			return
		}
		<-tick.C
	}
	t.Fatalf("waited for %s in vain", what)
}

// gauge returns the value of the series of a gauge that has a label's value.
func gauge(t *testing.T, from prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			if family.GetName() == name && series.GetLabel()[0].GetValue() == label {
				return series.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s of %s", name, label)
	return 0
}

// A rolling upgrade in the wrong order: a worker meets a message of a newer
// ingest. It stops fetching, says so in every way, and sets nothing aside; a
// newer worker goes on with other messages and takes that one too.
//
// rule 2, rule 5, rule 10
func TestWorker_LeavesNewerMessagesToNewerWorkers(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	future := sealed(t, 1)
	present := future[offsetVersion]
	future[offsetVersion] = futureVersion
	conn := publish(t, nats, future)
	cfg := settings(t, nats, database)

	registry, logged := prometheus.NewRegistry(), new(lines)
	old, err := New(t.Context(), cfg, slog.New(slog.NewTextHandler(logged, nil)), registry, nil)
	if err != nil {
		t.Fatal(err)
	}
	stopOld := started(t, old)
	eventually(t, "the older worker to be held back", func() bool {
		err := old.worker.Ready()
		return err != nil && strings.Contains(err.Error(), "newer_layout")
	})
	if got := logged.count("fetching stopped"); got != 1 {
		t.Errorf("%d lines say that fetching stopped, want 1", got)
	}
	if got := gauge(t, registry, "nexero_worker_loops_in_trouble", "newer_layout"); got == 0 {
		t.Error("no metric says that loops are held back")
	}

	stopNewer := started(t, newer(t, cfg, present))
	if err := conn.Publish(t.Context(), "ordinary", sealed(t, 2)); err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	count := func() (events, damaged int) {
		t.Helper()
		err := db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM nexero.events), (SELECT count(*) FROM nexero.damaged_messages)`).Scan(&events, &damaged)
		if err != nil {
			t.Fatal(err)
		}
		return events, damaged
	}
	eventually(t, "other messages to be loaded", func() bool { events, _ := count(); return events == 1 })
	stopOld()
	awaitEmpty(t, conn)
	if events, damaged := count(); events != 2 || damaged != 0 {
		t.Errorf("%d events and %d damaged messages are stored, want 2 and 0", events, damaged)
	}
	stopNewer()
}
