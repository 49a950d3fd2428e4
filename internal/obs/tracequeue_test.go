package obs

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// slowExporter takes spans once release is closed.
type slowExporter struct {
	once           sync.Once
	asked, release chan struct{}
	taken          int // the SDK exports one batch at a time
}

func (e *slowExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.once.Do(func() { close(e.asked) })
	<-e.release
	e.taken += len(spans)
	return nil
}

func (e *slowExporter) Shutdown(context.Context) error { return nil }

// What a slow collector has no room for is dropped at once, and counted: every
// span has one outcome. // rule 9
func TestSpanQueue_Flood(t *testing.T) {
	t.Parallel()
	const flood = maxSpans + 3*spansAtOnce
	exporter := &slowExporter{asked: make(chan struct{}), release: make(chan struct{})}
	registry := prometheus.NewRegistry()
	counting, err := newCountingExporter(exporter, slog.New(slog.DiscardHandler), registry)
	if err != nil {
		t.Fatal(err)
	}
	queue := newSpanQueue(counting)
	end := func(spans int, flags trace.TraceFlags) {
		span := tracetest.SpanStub{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags,
		})}.Snapshot()
		for range spans {
			queue.OnEnd(span)
		}
	}
	expect := func(exported, dropped float64) {
		t.Helper()
		for outcome, want := range map[string]float64{"exported": exported, "failed": 0, "dropped": dropped} {
			if got := counted(t, registry, "nexero_trace_spans_total", outcome); got != want {
				t.Errorf("%v spans are %s, want %v", got, outcome, want)
			}
		}
	}

	end(7, 0) // those that nobody records have none
	end(spansAtOnce, trace.FlagsSampled)
	<-exporter.asked // what is being sent takes room as well
	end(flood-spansAtOnce, trace.FlagsSampled)
	expect(0, flood-maxSpans)

	close(exporter.release)
	if err := queue.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	end(1, trace.FlagsSampled) // nobody sends it any more
	expect(maxSpans, flood-maxSpans+1)
	if exporter.taken != maxSpans || counting.held.Load() != 0 {
		t.Errorf("the collector has %d spans, and %d are held", exporter.taken, counting.held.Load())
	}
}
