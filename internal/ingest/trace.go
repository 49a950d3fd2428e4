package ingest

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/httptrace"
)

// maxLinks bounds the batches that an envelope's span names.
const maxLinks = 64

// beginTrace starts x's span where its route is one that clients work with.
func (s *Server) beginTrace(x *exchange) {
	if s.deps.Tracer == nil {
		return
	}
	switch x.Route {
	case routeBatch, routeEvent, routeSession, routeStatus, routeHeartbeat:
		x.Request, x.span = httptrace.Begin(s.deps.Tracer, x.Request, x.Route, s.options.TraceFollowClients)
	}
}

// endTrace ends it with what x came to.
func (x *exchange) endTrace() {
	if x.span == nil {
		return
	}
	attributes := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("nexero.correlation_id", x.CorrelationID),
		attribute.String("nexero.tenant", x.Tenant),
		attribute.Int("nexero.body_bytes", len(x.post.Body)),
		attribute.Int("nexero.events", len(x.batch.Events)),
		attribute.Int("nexero.rejected", len(x.batch.Rejected)),
	)
	if x.batch.ID != (event.UUID{}) {
		attributes = append(attributes, attribute.String("nexero.batch_id", x.batch.ID.String()))
	}
	if x.Problem != nil {
		attributes = append(attributes, attribute.String("nexero.code", x.Problem.Code))
	}
	httptrace.End(x.span, x.Status, attributes...)
}

// step starts a span inside x's and returns what ends it.
func (s *Server) step(x *exchange, name string) (end func()) {
	if x.span == nil {
		return func() {}
	}
	_, span := s.deps.Tracer.Start(x.Request.Context(), name)
	return func() { span.End() }
}

// beginCommit starts the span of b's way into the queue, of which whatever a
// worker does with b is a part, and says so in b.
func (s *Server) beginCommit(x *exchange, b *event.Batch) (ctx context.Context, end func(error)) {
	ctx = x.Request.Context()
	if x.span == nil {
		b.Trace = event.Trace{}
		return ctx, func(error) {}
	}
	ctx, span := s.deps.Tracer.Start(ctx, "group commit")
	here := span.SpanContext()
	b.Trace = event.Trace{ID: here.TraceID(), Span: here.SpanID(), Flags: byte(here.TraceFlags())}
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "not confirmed")
		}
		span.End()
	}
}

// joinTrace notes that the batch of ctx is part of g, if it is traced. The
// committer's mu is held.
func (g *group) joinTrace(ctx context.Context) {
	if here := trace.SpanContextFromContext(ctx); here.IsSampled() && len(g.links) < maxLinks {
		g.links = append(g.links, trace.Link{SpanContext: here})
	}
}

// publish offers g to the queue and returns what those who wait are told. When
// one of its batches is traced it has a span, linked to those that are, in a
// trace of its own: it is part of all of theirs.
func (c *committer) publish(g *group) error {
	if len(g.links) == 0 || c.tracer == nil {
		return c.offer(g)
	}
	_, g.span = c.tracer.Start(c.flights, "publish envelope",
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(g.links...),
		trace.WithAttributes(attribute.Int("nexero.batches", g.batches), attribute.Int("nexero.bytes", g.bytes)))
	err := c.offer(g)
	if err != nil {
		g.span.SetStatus(codes.Error, "not confirmed")
	}
	g.span.End()
	return err
}

// linkTrace links the span of ctx to that of the envelope that its batch went
// in. g is done.
func (g *group) linkTrace(ctx context.Context) {
	if g.span != nil {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: g.span.SpanContext()})
	}
}
