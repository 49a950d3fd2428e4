package obs

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// traceHandler adds the trace's id to the lines of what is traced.
type traceHandler struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if attrs := traceAttrs(ctx); attrs != nil {
		record = record.Clone()
		record.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements [slog.Handler].
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// traceAttrs returns the id of the trace that ctx is part of, if somebody
// records it: one that leads nowhere is noise.
func traceAttrs(ctx context.Context) []slog.Attr {
	if here := trace.SpanContextFromContext(ctx); here.IsSampled() {
		return []slog.Attr{slog.String("trace_id", here.TraceID().String())}
	}
	return nil
}
