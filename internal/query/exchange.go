package query

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/nexero-vr/nexero/internal/postgres"
)

// exchange is one request and its answer.
type exchange struct {
	context       echo.Context
	request       *http.Request
	response      *echo.Response
	route         string
	started       time.Time
	correlationID string
	tenant, keyID string
	rows          int

	status int
	// problem is what the request was refused for.
	problem *problem
}

// serve makes a handler of the router out of h. It gives the request its
// correlation id, answers h's error or panic, and accounts for the request.
func (s *Server) serve(route string, h func(*exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := &exchange{context: c, request: c.Request(), response: c.Response(), route: route, started: time.Now()}
		x.correlationID = correlationID(x.request.Header.Get(correlationHeader))
		header := x.response.Header()
		header.Set(correlationHeader, x.correlationID)
		// Visitors' data is not to be kept on the way.
		header.Set("Cache-Control", "no-store")
		defer s.end(x)
		if err := h(x); err != nil {
			s.refuse(x, err)
		}
		return nil
	}
}

// reading makes a handler of one that asks the database: with a key, a slot and
// a deadline.
func (s *Server) reading(h func(ctx context.Context, x *exchange) error) func(*exchange) error {
	return func(x *exchange) error {
		if err := s.authenticate(x); err != nil {
			return err
		}
		// Not queued: a client that waits for a slot holds a connection, and
		// behind it come others.
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			return refused(codeOverloaded, "Too many reads are in progress. Send the same request again.")
		}
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		ctx, cancel := context.WithTimeout(x.request.Context(), s.options.RequestTimeout)
		defer cancel()
		return h(ctx, x)
	}
}

// failed is the problem of a read that came to nothing.
func (s *Server) failed(err error) error {
	switch {
	case s.deps.Reads.Ready() == nil && postgres.TookTooLong(err):
		return refused(codeTookTooLong, "The read took too long. Narrow it, or send the same request again later.").because(err)
	case postgres.Classify(err) == postgres.ClassRetry:
		return refused(codeDatabaseUnavailable, "The database does not answer at the moment. Send the same request again.").because(err)
	default:
		return err
	}
}

// end is deferred: it catches a panic, counts the request and writes its line.
func (s *Server) end(x *exchange) {
	if p := recover(); p != nil {
		s.metrics.panics.Inc()
		s.log.LogAttrs(x.request.Context(), slog.LevelError, "request panicked",
			slog.String("correlation_id", x.correlationID), slog.String("route", x.route),
			slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		if !x.response.Committed {
			s.refuse(x, refused(codeInternal, "Something went wrong here. Send the same request again later."))
		}
	}
	s.metrics.answered(x.route, x.status, time.Since(x.started))
	s.report(x)
}

// report writes the request's log line.
func (s *Server) report(x *exchange) {
	level := slog.LevelDebug
	ctx := x.request.Context()
	// A probe that hears "not ready" every second is no news, and who has left
	// caused the failure, if there is one.
	if x.status >= http.StatusInternalServerError && x.problem != nil && ctx.Err() == nil {
		level = slog.LevelWarn
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("route", x.route),
		slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.started)),
		slog.String("correlation_id", x.correlationID),
		slog.String("tenant", x.tenant),
		slog.String("key_id", x.keyID),
		slog.Int("rows", x.rows),
	}
	if x.problem != nil {
		attrs = append(attrs, slog.String("code", x.problem.code))
		if x.problem.cause != nil {
			attrs = append(attrs, slog.Any("error", x.problem.cause))
		}
	}
	s.log.LogAttrs(ctx, level, "request answered", attrs...)
}

// show answers with v.
func (x *exchange) show(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.write(status, body)
	return nil
}

// write sends the answer: one JSON object of known length. A client that has
// left cannot be told anything, so the error of writing to it is dropped.
func (x *exchange) write(status int, body []byte) {
	header := x.response.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.status = status
	x.response.WriteHeader(status)
	if x.request.Method != http.MethodHead {
		_, _ = x.response.Write(body)
	}
}

// correlationHeader carries the id that ties a request to its log lines.
const correlationHeader = "X-Correlation-Id"

const maxCorrelationID = 64

// correlationID returns the client's id if it is plain text, else a new one: it
// goes into logs.
func correlationID(sent string) string {
	if sent == "" || len(sent) > maxCorrelationID {
		return uuid.Must(uuid.NewV7()).String()
	}
	for i := range len(sent) {
		switch c := sent[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return uuid.Must(uuid.NewV7()).String()
		}
	}
	return sent
}
