package ingest

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// every samples a span without a parent when it says so.
type every struct{ sampled bool }

func (e *every) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if e.sampled {
		return sdktrace.AlwaysSample().ShouldSample(p)
	}
	return sdktrace.NeverSample().ShouldSample(p)
}

func (e *every) Description() string { return "every" }

// traced gives an edge a tracer of which the test sees what ends.
func traced(root sdktrace.Sampler) (*tracetest.SpanRecorder, func(*Deps, *Options)) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(root)), sdktrace.WithSpanProcessor(spans))
	return spans, func(d *Deps, _ *Options) { d.Tracer = provider.Tracer("test") }
}

// ended returns the span of a name that ended last.
func ended(t *testing.T, spans *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var last sdktrace.ReadOnlySpan
	for _, span := range spans.Ended() {
		if span.Name() == name {
			last = span
		}
	}
	if last == nil {
		t.Fatalf("no span is called %q", name)
	}
	return last
}

// traces returns what the stored batches say about their traces.
func (q *modelQueue) traces(t *testing.T) (traces []event.Trace) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range q.ids {
		opened, err := envelope.Open(q.stored[id])
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range opened {
			traces = append(traces, b.Trace)
		}
	}
	return traces
}

// A worker continues the trace of the batch, from the span that waited for the
// queue; and never that of another batch, though exchanges are recycled.
func TestTrace_GoesWithTheBatch(t *testing.T) {
	t.Parallel()
	share := &every{sampled: true}
	spans, adjust := traced(share)
	e := newEdge(t, adjust)
	// The client says the opposite each time, which decides nothing. // rule 9
	post := func(mark, flags string) {
		t.Helper()
		if r := e.send(t, http.MethodPost, pathBatch, tour(2, mark), map[string]string{
			"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" + flags,
		}); r.Status != http.StatusAccepted {
			t.Fatalf("status %d", r.Status)
		}
	}
	post("A51CF3A04C2D4F0B9E6D1B2C3D4E5F60", "00")
	root, commit, publish := ended(t, spans, routeBatch), ended(t, spans, "group commit"), ended(t, spans, "publish envelope")
	if commit.Parent().SpanID() != root.SpanContext().SpanID() || root.Parent().IsValid() {
		t.Errorf("the commit's parent is %v, the root's %v", commit.Parent(), root.Parent())
	}
	if len(publish.Links()) != 1 || !publish.Links()[0].SpanContext.Equal(commit.SpanContext()) || publish.SpanContext().TraceID() == root.SpanContext().TraceID() {
		t.Errorf("the envelope's links: %v", publish.Links())
	}
	if len(commit.Links()) != 1 || !commit.Links()[0].SpanContext.Equal(publish.SpanContext()) {
		t.Errorf("the batch's links: %v", commit.Links())
	}
	before := len(spans.Ended())
	share.sampled = false
	for _, mark := range []string{"B51CF3A04C2D4F0B9E6D1B2C3D4E5F60", "C51CF3A04C2D4F0B9E6D1B2C3D4E5F60"} {
		post(mark, "01")
	}
	if after := len(spans.Ended()); after != before {
		t.Errorf("%d spans of what is not traced", after-before)
	}
	here := commit.SpanContext()
	want := []event.Trace{{ID: here.TraceID(), Span: here.SpanID(), Flags: byte(trace.FlagsSampled)}, {}, {}}
	if diff := cmp.Diff(want, e.queue.traces(t)); diff != "" {
		t.Errorf("traces in the queue (-want +got):\n%s", diff)
	}
}

// What the queue did not confirm looks like it in the trace.
func TestTrace_Unconfirmed(t *testing.T) {
	t.Parallel()
	spans, adjust := traced(sdktrace.AlwaysSample())
	e := newEdge(t, adjust, fated(fate{answer: ErrFull}))
	if r := e.send(t, http.MethodPost, pathBatch, tour(1, "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60"), nil); r.Status != http.StatusServiceUnavailable {
		t.Fatalf("status %d", r.Status)
	}
	for _, name := range []string{routeBatch, "group commit", "publish envelope"} {
		if got := ended(t, spans, name).Status().Code; got != codes.Error {
			t.Errorf("%s: status %v", name, got)
		}
	}
}
