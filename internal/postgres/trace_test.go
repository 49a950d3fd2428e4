package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// A load that is traced says what each of its steps took, COMMIT last and alone.
func TestTrace_StepsOfALoad(t *testing.T) {
	t.Parallel()
	f := setup(t)
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	ctx, load := tracer.Start(t.Context(), "load")
	if _, err := f.store.Load(ctx, []envelope.Batch{batch("a").poses(1, 2).seal(f)}); err != nil {
		t.Fatal(err)
	}
	load.End()
	var names []string
	for _, span := range spans.Ended() {
		names = append(names, span.Name())
		if span.Name() != "load" && span.Parent().SpanID() != load.SpanContext().SpanID() {
			t.Errorf("%s is no part of the load", span.Name())
		}
	}
	want := []string{"ledger", "sessions", "rows", "reports", "rejected events", "commit", "load"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	// Whoever is not traced makes none.
	f.load(batch("b").poses(1).seal(f))
	if got := len(spans.Ended()); got != len(want) {
		t.Errorf("%d spans of a load that is not traced", got-len(want))
	}
}

// PostgreSQL's errors quote values. // rule 8
func TestTrace_ErrorsAreClasses(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	ctx, _ := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "load")
	_, end := postgres.Traced(ctx, "rows")
	end(errors.New(`invalid input syntax for type json: "kitchen"`))
	status := spans.Ended()[0].Status()
	if status.Code != codes.Error || status.Description == "" || strings.Contains(status.Description, "kitchen") {
		t.Errorf("status %v", status)
	}
}
