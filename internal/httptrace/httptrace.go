// Package httptrace begins the span of an HTTP request.
//
// It has what the services agree on: how far a client's own trace is followed,
// and that a request which is not traced costs next to nothing. It imports
// OpenTelemetry's API alone and keeps no state.
//
// What goes into a span is for the operator of the collector to read: method,
// route, status, tenant, correlation id, counts. Never a key, a header, a body,
// a query or an address of a client.
package httptrace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Begin starts the span of a request that goes to route, one of a closed list.
// It returns the request with the span in its context; or, when the request is
// not traced, the request as it is and nil.
//
// With follow a client's header traceparent says whether the request is traced
// and which trace it is part of. Without, it says nothing: a client that could
// force traces could fill the collector. A trace that begins here then links to
// the client's, so that one can be found from the other.
func Begin(tracer trace.Tracer, r *http.Request, route string, follow bool) (*http.Request, trace.Span) {
	options := append(make([]trace.SpanStartOption, 0, 3),
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method(r)), attribute.String("http.route", route)))
	ctx := r.Context()
	if theirs := sent(r); theirs.IsValid() {
		if follow {
			ctx = trace.ContextWithRemoteSpanContext(ctx, theirs)
		} else {
			// Not sampled, as far as our sampler is concerned.
			options = append(options, trace.WithLinks(trace.Link{SpanContext: theirs.WithTraceFlags(0)}))
		}
	}
	ctx, span := tracer.Start(ctx, route, options...)
	if !span.SpanContext().IsSampled() || !span.IsRecording() {
		return r, nil
	}
	return r.WithContext(ctx), span
}

// End ends a span of Begin with the answer's status and what else is worth
// knowing. A nil span is one that was not begun.
func End(span trace.Span, status int, attributes ...attribute.KeyValue) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	span.SetAttributes(attributes...)
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
	span.End()
}

// traceParent is the header that is read. What tracestate says concerns others,
// and would have to be carried on.
const traceParent = "Traceparent"

// sent returns the span that the client says it is in, if it says so once and
// in the right form.
func sent(r *http.Request) trace.SpanContext {
	if len(r.Header[traceParent]) != 1 {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": r.Header[traceParent][0]}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// method returns the request's method, or "_OTHER" for one that the client made
// up.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch:
		return r.Method
	default:
		return "_OTHER"
	}
}
