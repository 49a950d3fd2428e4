package ingest

import (
	"log/slog"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// exchange is one request and its answer, with the memory that serving it
// needs. Exchanges are recycled: nothing of one may be kept when it has ended.
type exchange struct {
	gate.Exchange

	span trace.Span // nil when the request is not traced
	// sessionID is the session that the path names, as the client wrote it.
	sessionID string

	post     unreal.Request
	batch    event.Batch
	encoded  []byte
	answer   []byte
	states   []sessionState // of batch.Sessions
	reserved int64
}

// largestKept is the capacity up to which an exchange's buffers are recycled, so
// that one large batch does not stay in memory for ever.
const largestKept = 1 << 20

// serve makes a handler of the router out of h. It gives the request its
// correlation id, answers h's error or panic, and accounts for the request.
func (s *Server) serve(route string, h func(*exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x, _ := s.exchanges.Get().(*exchange)
		s.guard.Enter(&x.Exchange, c, route)
		x.sessionID = c.Param(sessionParam)
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

// end is deferred: it catches a panic, gives back what the request held, counts
// it and writes its log line.
func (s *Server) end(x *exchange) {
	p := recover()
	if p != nil {
		s.guard.Panicked(&x.Exchange, p)
	}
	s.budget.release(x.reserved)
	s.guard.Leave(&x.Exchange,
		slog.Int("body_bytes", len(x.post.Body)),
		slog.Int("accepted", len(x.batch.Events)),
		slog.Int("rejected", len(x.batch.Rejected)),
	)
	x.endTrace()
	if p != nil {
		// Whatever panicked may still hold parts of x: leave it to the collector.
		return
	}
	x.recycle()
	s.exchanges.Put(x)
}

// recycle forgets everything about the request but the memory.
func (x *exchange) recycle() {
	x.batch.Reset()
	batch, encoded, answer, states := x.batch, x.encoded[:0], x.answer[:0], x.states[:0]
	if cap(encoded) > largestKept {
		encoded = nil
	}
	*x = exchange{batch: batch, encoded: encoded, answer: answer, states: states}
}
