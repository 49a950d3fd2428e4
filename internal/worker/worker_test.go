package worker

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// rule 3
func TestRun_LoadsThenAcknowledges(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.wantReady("not started")
		for range 3 {
			data, ids := b.message(2, 3)
			b.queue.publish(data, ids...)
		}
		data, ids := b.message(2, 3)
		b.queue.publish(data, ids...)
		b.queue.publish(data, ids...) // the same batches again
		b.start()
		b.pass(time.Second)
		b.wantReady("")
		b.wantLoads(10)
		b.wantEmpty()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		b.wantReady("stopping")
		want := `
# HELP nexero_worker_batches_total Batches of the loads that committed, by what the ledger said.
# TYPE nexero_worker_batches_total counter
nexero_worker_batches_total{result="id_reused"} 0
nexero_worker_batches_total{result="new"} 8
nexero_worker_batches_total{result="redelivered"} 2
nexero_worker_batches_total{result="repeat"} 0
# HELP nexero_worker_messages_total Messages taken out of or given back to the queue, by what became of them.
# TYPE nexero_worker_messages_total counter
nexero_worker_messages_total{outcome="loaded"} 5
# HELP nexero_worker_rows_loaded_total Events stored.
# TYPE nexero_worker_rows_loaded_total counter
nexero_worker_rows_loaded_total 20
`
		if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want),
			"nexero_worker_batches_total", "nexero_worker_messages_total", "nexero_worker_rows_loaded_total"); err != nil {
			b.Error(err)
		}
	})
}

func TestRun_OnlyOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		b.start()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if err := b.worker.Run(b.Context()); err == nil {
			b.Error("a second Run went through")
		}
	})
}

// Whatever ended workers that held a message may be in the message: it is
// written after the others and alone.
func TestWrite_OftenDeliveredIsAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		messages := b.publish(5)
		messages[1].deliveries = aloneAfter // this one is its sixth
		messages[3].deliveries = aloneAfter - 1
		b.start()
		b.pass(time.Second)
		b.wantLoads(4, 1)
		b.wantEmpty()
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		if got := testutil.ToFloat64(b.worker.metrics.redeliveries); got != 2 {
			b.Errorf("%v redeliveries counted, want 2", got)
		}
	})
}

// Two loops: one gathers while the other writes.
func TestRun_OneGathersWhileAnotherWrites(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Loops: 2, MaxMessages: 1}, func(b *bench) {
		b.store.fault = func(operation string) *fault {
			if operation != "load" {
				return nil
			}
			return &fault{done: true, takes: time.Second}
		}
		b.publish(4)
		b.start()
		b.pass(2*time.Second + time.Millisecond)
		b.wantLoads(1, 1, 1, 1) // in half the time that one loop takes
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	store := newModelStore()
	queue := newModelQueue(store)
	whole := Deps{
		Source: queue, Store: store, Classify: classify, OldestMessage: queue.oldest,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	if _, err := New(whole, Options{}); err != nil {
		t.Fatalf("New with the defaults: %v", err)
	}
	if _, err := New(whole, Options{}); err == nil {
		t.Error("metrics were registered twice")
	}
	for name, opts := range map[string]Options{
		"negative":            {MaxMessages: -1},
		"too many loops":      {Loops: maxLoops + 1},
		"load beyond AckWait": {LoadTimeout: 30 * time.Second, AckWait: 30 * time.Second},
	} {
		deps := whole
		deps.Registerer = prometheus.NewRegistry()
		if _, err := New(deps, opts); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	for name, remove := range map[string]func(*Deps){
		"Source":        func(d *Deps) { d.Source = nil },
		"Store":         func(d *Deps) { d.Store = nil },
		"Classify":      func(d *Deps) { d.Classify = nil },
		"OldestMessage": func(d *Deps) { d.OldestMessage = nil },
		"Log":           func(d *Deps) { d.Log = nil },
		"Registerer":    func(d *Deps) { d.Registerer = nil },
	} {
		deps := whole
		deps.Registerer = prometheus.NewRegistry()
		remove(&deps)
		if _, err := New(deps, Options{}); err == nil {
			t.Errorf("New without %s went through", name)
		}
	}
}

func TestClass_String(t *testing.T) {
	t.Parallel()
	for class, want := range map[Class]string{ClassRetry: "retry", ClassStop: "stop", ClassData: "data", 9: "unknown"} {
		if got := class.String(); got != want {
			t.Errorf("Class(%d) = %q, want %q", class, got, want)
		}
	}
	// The zero value of a class that someone forgot to set loses nothing.
	if Class(0) != ClassRetry {
		t.Error("the zero class is not ClassRetry")
	}
	if classify(errors.New("unheard of")) != ClassRetry {
		t.Error("an unknown error is not retried")
	}
}
