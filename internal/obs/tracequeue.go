package obs

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

// complaintInterval lies between two lines about a collector that takes nothing.
const complaintInterval = time.Minute

// maxComplaint bounds what is logged of an error: a collector's answer may be in it.
const maxComplaint = 300

// spanQueue hands ended spans to the SDK's own queue, and counts those that it
// would drop in silence: it lets no more through than fit.
type spanQueue struct {
	sdktrace.SpanProcessor // the SDK's queue, as long as maxSpans

	exporter *countingExporter
	stopped  atomic.Bool
}

// newSpanQueue starts a queue before exporter. Shutdown ends it.
func newSpanQueue(exporter *countingExporter) *spanQueue {
	return &spanQueue{
		exporter: exporter,
		SpanProcessor: sdktrace.NewBatchSpanProcessor(exporter,
			sdktrace.WithMaxQueueSize(maxSpans), sdktrace.WithMaxExportBatchSize(spansAtOnce),
			sdktrace.WithBatchTimeout(spanDelay), sdktrace.WithExportTimeout(exportTimeout)),
	}
}

// OnEnd implements [sdktrace.SpanProcessor]. It never waits.
func (q *spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return // not for the collector
	}
	// Whoever is counted in finds a place: what waits, and what is being sent,
	// together are never more than the SDK's queue alone can hold.
	if q.exporter.held.Add(1) <= maxSpans && !q.stopped.Load() {
		q.SpanProcessor.OnEnd(span)
		return
	}
	q.exporter.held.Add(-1)
	q.exporter.dropped.Inc()
}

// Shutdown implements [sdktrace.SpanProcessor].
func (q *spanQueue) Shutdown(ctx context.Context) error {
	q.stopped.Store(true)
	return q.SpanProcessor.Shutdown(ctx)
}

// countingExporter counts what becomes of spans and swallows the errors: the SDK
// would hand them to a global.
type countingExporter struct {
	sdktrace.SpanExporter

	log *slog.Logger
	// held is how many spans wait or are being sent.
	held                      atomic.Int64
	exported, failed, dropped prometheus.Counter
	complaints                rate.Sometimes
}

func newCountingExporter(inner sdktrace.SpanExporter, log *slog.Logger, reg prometheus.Registerer) (*countingExporter, error) {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nexero_trace_spans_total", Help: "Spans by what became of them: exported to the collector, failed on the way there, or dropped because too many waited.",
	}, []string{"outcome"})
	if err := reg.Register(spans); err != nil {
		return nil, fmt.Errorf("obs: register metrics of traces: %w", err)
	}
	return &countingExporter{
		SpanExporter: inner, log: log,
		exported: spans.WithLabelValues("exported"), failed: spans.WithLabelValues("failed"), dropped: spans.WithLabelValues("dropped"),
		complaints: rate.Sometimes{First: 1, Interval: complaintInterval},
	}, nil
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.held.Add(-int64(len(spans)))
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		e.exported.Add(float64(len(spans)))
		return nil
	}
	e.failed.Add(float64(len(spans)))
	e.complaints.Do(func() {
		text := err.Error()
		e.log.LogAttrs(ctx, slog.LevelWarn, "collector takes no traces",
			slog.Int("spans", len(spans)), slog.String("error", text[:min(len(text), maxComplaint)]))
	})
	return nil
}
