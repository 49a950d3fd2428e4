package query

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/nexero-vr/nexero/internal/httptrace"
)

// beginTrace starts x's span where its route asks the database.
func (s *Server) beginTrace(x *exchange) {
	if s.deps.Tracer == nil || x.Route != routeSession && x.Route != routeRejections {
		return
	}
	x.Request, x.span = httptrace.Begin(s.deps.Tracer, x.Request, x.Route, s.options.TraceFollowClients)
}

// endTrace ends it with what x came to.
func (x *exchange) endTrace() {
	if x.span == nil {
		return
	}
	attributes := append(make([]attribute.KeyValue, 0, 4),
		attribute.String("nexero.correlation_id", x.CorrelationID),
		attribute.String("nexero.tenant", x.Tenant),
		attribute.Int("nexero.rows", x.rows))
	if x.Problem != nil {
		attributes = append(attributes, attribute.String("nexero.code", x.Problem.Code))
	}
	httptrace.End(x.span, x.Status, attributes...)
}
