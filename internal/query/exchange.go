package query

import (
	"context"
	"log/slog"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// exchange is one request and its answer.
type exchange struct {
	gate.Exchange

	context echo.Context
	rows    int
	span    trace.Span // nil when the request is not traced
}

// serve makes a handler of the router out of h. It gives the request its
// correlation id, answers h's error or panic, and accounts for the request.
func (s *Server) serve(route string, h func(*exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := &exchange{context: c}
		s.guard.Enter(&x.Exchange, c, route)
		// Visitors' data is not to be kept on the way.
		x.Response.Header().Set("Cache-Control", "no-store")
		s.beginTrace(x)
		defer s.end(x)
		err := s.guard.Screen(&x.Exchange)
		if err == nil {
			err = h(x)
		}
		if err != nil {
			s.guard.Refuse(&x.Exchange, err)
		}
		return nil
	}
}

// end is deferred: it catches a panic, counts the request and writes its line.
func (s *Server) end(x *exchange) {
	if p := recover(); p != nil {
		s.guard.Panicked(&x.Exchange, p)
	}
	// Who has left caused the failure, if there is one.
	x.Vanished = x.Request.Context().Err() != nil
	s.guard.Leave(&x.Exchange, slog.Int("rows", x.rows))
	x.endTrace()
}

// reading makes a handler of one that asks the database: with a key, a slot and
// a deadline.
func (s *Server) reading(h func(ctx context.Context, x *exchange) error) func(*exchange) error {
	return func(x *exchange) error {
		if err := s.guard.Authenticate(&x.Exchange); err != nil {
			return err
		}
		// Not queued: a client that waits for a slot holds a connection, and
		// behind it come others.
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			return gate.Refused(gate.Overloaded, "Too many reads are in progress. Send the same request again.")
		}
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		ctx, cancel := context.WithTimeout(x.Request.Context(), s.options.RequestTimeout)
		defer cancel()
		return h(ctx, x)
	}
}

// failed is the problem of a read that came to nothing.
func (s *Server) failed(err error) error {
	switch {
	case s.deps.Reads.Ready() == nil && postgres.TookTooLong(err):
		return gate.Refused(codeTookTooLong, "The read took too long. Narrow it, or send the same request again later.").Because(err)
	case postgres.Classify(err) == postgres.ClassRetry:
		return gate.Refused(codeDatabaseUnavailable, "The database does not answer at the moment. Send the same request again.").Because(err)
	default:
		return err
	}
}
