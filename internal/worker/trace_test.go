package worker

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// tracedMessage is an envelope with a batch for each of traces.
func (b *bench) tracedMessage(traces ...event.Trace) (data []byte) {
	b.Helper()
	var builder envelope.Builder
	for i, t := range traces {
		encoded, err := envelope.AppendBatch(nil, &event.Batch{
			ID: event.UUID{15: byte(i + 1)}, Tenant: "acme", CorrelationID: "c-1", Trace: t,
			Rejected: []event.Rejection{{Code: event.InvalidText, Raw: "kitchen"}},
		})
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(encoded)
	}
	return builder.Seal()
}

// A batch's trace ends when its COMMIT has: not when its load began, and not with
// one that failed. The load has a trace of its own, as the batches share it.
func TestTrace_EndsWithCommit(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(b *bench) {
		spans := tracetest.NewSpanRecorder()
		b.worker.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
		const takes = 3 * time.Second
		loads := 0
		b.store.fault = func(operation string) *fault {
			if operation != "load" {
				return nil
			}
			if loads++; loads == 1 {
				return &fault{err: &classedError{ClassRetry, "away"}}
			}
			return &fault{takes: takes, done: true}
		}
		theirs := event.Trace{ID: [16]byte{1}, Span: [8]byte{2}, Flags: 1}
		unsampled := event.Trace{ID: [16]byte{3}, Span: [8]byte{4}}
		came := time.Now()
		b.queue.publish(b.tracedMessage(theirs, event.Trace{}, unsampled), event.UUID{15: 1}, event.UUID{15: 2}, event.UUID{15: 3})
		b.start()
		b.pass(time.Minute)
		if err := b.stop(); err != nil {
			b.Errorf("Run: %v", err)
		}
		all := spans.Ended()
		if len(all) != 3 || all[0].Name() != "load" || all[1].Name() != "stored" || all[2].Name() != "load" {
			b.Fatalf("%d spans: %v", len(all), all)
		}
		failed, stored, load := all[0], all[1], all[2]
		if failed.Status().Code != codes.Error || load.Status().Code == codes.Error {
			b.Errorf("the load that failed: %v, the other: %v", failed.Status(), load.Status())
		}
		parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
		if !stored.Parent().Equal(parent) || stored.SpanContext().TraceID() != parent.TraceID() {
			b.Errorf("the batch's trace is not continued: %v", stored.Parent())
		}
		for _, span := range []sdktrace.ReadOnlySpan{failed, load} {
			if links := span.Links(); len(links) != 1 || !links[0].SpanContext.Equal(parent) || span.Parent().IsValid() {
				b.Errorf("the load's parent %v, links %v", span.Parent(), links)
			}
		}
		if links := stored.Links(); len(links) != 1 || !links[0].SpanContext.Equal(load.SpanContext()) {
			b.Errorf("the batch is linked to %v", links)
		}
		// From the message's coming to its COMMIT.
		if begun, committed := stored.StartTime(), stored.EndTime(); begun.After(came.Add(time.Second)) ||
			committed.Before(load.StartTime().Add(takes)) || committed.After(load.EndTime()) {
			b.Errorf("stored from %v to %v, came at %v, the load took from %v to %v", begun, committed, came, load.StartTime(), load.EndTime())
		}
	})
}
