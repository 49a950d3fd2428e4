package worker

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/envelope"
)

// maxTraced bounds the batches whose traces one load becomes a part of.
const maxTraced = 64

// loadTrace is the span of one load that has traced batches, and what is needed
// to continue their traces. Nil when it has none.
type loadTrace struct {
	tracer trace.Tracer
	span   trace.Span
	// batches are the traced ones, at most maxTraced, and parents the spans that
	// they name.
	batches []*envelope.Batch
	parents []trace.SpanContext
}

// beginLoad starts the span of a load, linked to each traced batch. The context
// has it, so that the store's steps are its children.
func (w *Worker) beginLoad(ctx context.Context, batches []envelope.Batch) (context.Context, *loadTrace) {
	if w.tracer == nil {
		return ctx, nil
	}
	var t *loadTrace
	var links []trace.Link
	rows, bytes := 0, 0
	for i := range batches {
		b := &batches[i]
		rows, bytes = rows+b.RowCount(), bytes+b.RowBytes()
		if !b.Trace.Sampled() || len(links) == maxTraced {
			continue
		}
		parent := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: b.Trace.ID, SpanID: b.Trace.Span, TraceFlags: trace.TraceFlags(b.Trace.Flags), Remote: true,
		})
		if t == nil {
			t = &loadTrace{tracer: w.tracer}
		}
		t.batches, t.parents = append(t.batches, b), append(t.parents, parent)
		links = append(links, trace.Link{SpanContext: parent})
	}
	if t == nil {
		return ctx, nil
	}
	ctx, t.span = w.tracer.Start(ctx, "load", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...),
		trace.WithAttributes(
			attribute.Int("nexero.batches", len(batches)), attribute.Int("nexero.events", rows), attribute.Int("nexero.bytes", bytes)))
	return ctx, t
}

// end ends the load's span. When the load committed, each traced batch gets the
// end of its own trace: a span from the moment in which its message came to the
// COMMIT, whose parent is the span that ingest put into the envelope.
func (t *loadTrace) end(messages []*held, result Result, err error) {
	if t == nil {
		return
	}
	if err != nil {
		t.span.SetStatus(codes.Error, "nothing is stored")
		t.span.End()
		return
	}
	t.span.SetAttributes(attribute.Int("nexero.stored", result.Rows), attribute.Int("nexero.redelivered", result.Redelivered),
		attribute.Int("nexero.repeats", result.Repeats), attribute.Int("nexero.refused", result.Refused))
	committed := time.Now()
	load := trace.Link{SpanContext: t.span.SpanContext()}
	began := earliest(messages)
	for i, b := range t.batches {
		_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), t.parents[i]), "stored",
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began), trace.WithLinks(load),
			trace.WithAttributes(
				attribute.String("nexero.correlation_id", b.CorrelationID), attribute.String("nexero.tenant", b.Tenant),
				attribute.String("nexero.batch_id", b.ID.String()), attribute.Int("nexero.events", b.RowCount())))
		span.End(trace.WithTimestamp(committed))
	}
	t.span.End(trace.WithTimestamp(committed))
}

// earliest returns when the first of messages was fetched.
func earliest(messages []*held) time.Time {
	first := messages[0].fetchedAt
	for _, m := range messages[1:] {
		if m.fetchedAt.Before(first) {
			first = m.fetchedAt
		}
	}
	return first
}
