package ingest

import (
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// exchange is one request and its answer, with the memory that serving it
// needs. Exchanges are recycled: nothing of one may be kept when it has ended.
type exchange struct {
	request       *http.Request
	response      *echo.Response
	route         string
	started       time.Time
	correlationID string
	tenant, keyID string
	// source is the client's network. It is for limits only and never written
	// anywhere.
	source    netip.Prefix
	allowance allowance
	// sessionID is the session that the path names, as the client wrote it.
	sessionID string

	post     unreal.Request
	batch    event.Batch
	encoded  []byte
	answer   []byte
	states   []sessionState // of batch.Sessions
	reserved int64

	status int
	// problem is what the request was refused for.
	problem *problem
	// bodyOver says that nothing more of the body is on its way: it was read to
	// its end, or reading it failed.
	bodyOver bool
	// vanished says that the client left before it had its answer.
	vanished bool
}

// largestKept is the capacity up to which an exchange's buffers are recycled, so
// that one large batch does not stay in memory for ever.
const largestKept = 1 << 20

// serve makes a handler of the router out of h. It gives the request its
// correlation id, answers h's error or panic, and accounts for the request.
func (s *Server) serve(route string, h func(*exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x, _ := s.exchanges.Get().(*exchange)
		x.request, x.response, x.route, x.started = c.Request(), c.Response(), route, time.Now()
		x.sessionID = c.Param(sessionParam)
		x.correlationID = correlationID(x.request.Header.Get(correlationHeader))
		x.response.Header().Set(correlationHeader, x.correlationID)
		defer s.end(x)
		err := s.screen(x)
		if err == nil {
			err = h(x)
		}
		if err != nil {
			s.refuse(x, err)
		}
		return nil
	}
}

// end is deferred: it catches a panic, gives back what the request held, counts
// it and writes its log line.
func (s *Server) end(x *exchange) {
	p := recover()
	if p != nil {
		s.metrics.panics.Inc()
		s.log.LogAttrs(x.request.Context(), slog.LevelError, "request panicked",
			slog.String("correlation_id", x.correlationID), slog.String("route", x.route),
			slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		if !x.response.Committed {
			s.refuse(x, refused(codeInternal, "Something went wrong here. Send the same request again later."))
		}
	}
	s.budget.release(x.reserved)
	route := s.metrics.requests[x.route]
	route.duration.Observe(time.Since(x.started).Seconds())
	if class := x.status / 100; class >= 2 && class < len(route.byClass) {
		route.byClass[class].Inc()
	}
	s.report(x)
	if p != nil {
		// Whatever panicked may still hold parts of x: leave it to the collector.
		return
	}
	x.recycle()
	s.exchanges.Put(x)
}

// report writes the request's log line.
func (s *Server) report(x *exchange) {
	level := slog.LevelDebug
	if x.status >= http.StatusInternalServerError && !x.vanished {
		level = slog.LevelWarn
	}
	ctx := x.request.Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("route", x.route),
		slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.started)),
		slog.String("correlation_id", x.correlationID),
		slog.String("tenant", x.tenant),
		slog.String("key_id", x.keyID),
		slog.Int("body_bytes", len(x.post.Body)),
		slog.Int("accepted", len(x.batch.Events)),
		slog.Int("rejected", len(x.batch.Rejected)),
		slog.Bool("client_left", x.vanished),
	)
	if x.problem != nil {
		attrs = append(attrs, slog.String("code", x.problem.code))
		if x.problem.cause != nil {
			attrs = append(attrs, slog.Any("error", x.problem.cause))
		}
	}
	s.log.LogAttrs(ctx, level, "request answered", attrs...)
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

// write sends the answer: one JSON object of known length. A client that has
// left cannot be told anything, so the error of writing to it is dropped.
func (x *exchange) write(status int, body []byte) { x.writeAs("application/json", status, body) }

// writeAs is write for what is no JSON.
func (x *exchange) writeAs(contentType string, status int, body []byte) {
	header := x.response.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.allowance.describe(header)
	x.status = status
	x.response.WriteHeader(status)
	if x.request.Method != http.MethodHead {
		_, _ = x.response.Write(body)
	}
}
