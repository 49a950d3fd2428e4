package postgres

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracerName is the scope of the spans that the store adds.
const tracerName = "github.com/nexero-vr/nexero/internal/postgres"

// traced starts a span for a part of a transaction where ctx has one, and
// returns what ends it. Whoever calls the store decides what is traced; without
// a span this costs a look into ctx.
func traced(ctx context.Context, name string) (_ context.Context, end func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := parent.TracerProvider().Tracer(tracerName).Start(ctx, name)
	return ctx, func(err error) {
		if err != nil {
			// Not the error's text, which can hold a visitor's data.
			span.SetStatus(codes.Error, Classify(err).String())
		}
		span.End()
	}
}
