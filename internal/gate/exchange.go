package gate

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Exchange is one request and its answer. It belongs to one goroutine, from
// [Guard.Enter] to [Guard.Leave].
type Exchange struct {
	Request  *http.Request
	Response *echo.Response
	// Route is the name of the route, from the closed list of the service.
	Route         string
	Started       time.Time
	CorrelationID string
	// Tenant and KeyID say for whom a request is, and by which key; KeyID is
	// empty for one without. [Guard.Authenticate] sets them.
	Tenant, KeyID string

	// Status is the answer's, 0 before it.
	Status int
	// Problem is what the request was refused for, nil when it was not.
	Problem *Problem
	// BodyOver says that nothing more of the body is on its way: it was read to
	// its end, or reading it failed.
	BodyOver bool
	// Vanished says that the client left before it had its answer.
	Vanished bool

	// source is the client's network. It is for limits only and never written
	// anywhere.
	source    netip.Prefix
	allowance allowance
}

// Enter fills x for a request of a route, and gives it its correlation id.
func (g *Guard) Enter(x *Exchange, c echo.Context, route string) {
	x.Request, x.Response, x.Route, x.Started = c.Request(), c.Response(), route, time.Now()
	x.CorrelationID = correlationID(x.Request.Header.Get(CorrelationHeader))
	x.Response.Header().Set(CorrelationHeader, x.CorrelationID)
}

// Panicked answers a request whose handler panicked with p. It is for the
// function that recovered it, before Leave.
func (g *Guard) Panicked(x *Exchange, p any) {
	g.deps.Panics.Inc()
	g.deps.Log.LogAttrs(x.Request.Context(), slog.LevelError, "request panicked",
		slog.String("correlation_id", x.CorrelationID), slog.String("route", x.Route),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if !x.Response.Committed {
		g.Refuse(x, Refused(Internal, "Something went wrong here. Send the same request again later."))
	}
}

// Leave counts a request that was answered and writes its log line, with more
// of what the service knows of it.
func (g *Guard) Leave(x *Exchange, more ...slog.Attr) {
	route := g.metrics.requests[x.Route]
	route.duration.Observe(time.Since(x.Started).Seconds())
	if class := x.Status / 100; class >= 2 && class < len(route.byClass) {
		route.byClass[class].Inc()
	}
	level := slog.LevelDebug
	// A probe that hears "not ready" every second is no problem and no news, and
	// who has left caused the failure, if there is one.
	if x.Status >= http.StatusInternalServerError && x.Problem != nil && !x.Vanished {
		level = slog.LevelWarn
	}
	ctx := x.Request.Context()
	if !g.deps.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("route", x.Route),
		slog.Int("status", x.Status),
		slog.Duration("duration", time.Since(x.Started)),
		slog.String("correlation_id", x.CorrelationID),
		slog.String("tenant", x.Tenant),
		slog.String("key_id", x.KeyID),
	)
	attrs = append(attrs, more...)
	attrs = append(attrs, slog.Bool("client_left", x.Vanished))
	if x.Problem != nil {
		attrs = append(attrs, slog.String("code", x.Problem.Code))
		if x.Problem.Cause != nil {
			attrs = append(attrs, slog.Any("error", x.Problem.Cause))
		}
	}
	g.deps.Log.LogAttrs(ctx, level, "request answered", attrs...)
}

// Show answers with v as JSON, which nobody on the way may keep.
func (x *Exchange) Show(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.Response.Header().Set("Cache-Control", "no-store")
	x.Write(status, body)
	return nil
}

// Write sends the answer: one JSON object of known length. A client that has
// left cannot be told anything, so the error of writing to it is dropped.
func (x *Exchange) Write(status int, body []byte) { x.WriteAs("application/json", status, body) }

// WriteAs is Write for what is no JSON.
func (x *Exchange) WriteAs(contentType string, status int, body []byte) {
	header := x.Response.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.allowance.describe(header)
	x.Status = status
	x.Response.WriteHeader(status)
	if x.Request.Method != http.MethodHead {
		_, _ = x.Response.Write(body)
	}
}

// Offer answers an OPTIONS request with the methods of its path.
func (x *Exchange) Offer(methods string) {
	x.Response.Header().Set("Allow", "OPTIONS, "+methods)
	x.Status = http.StatusNoContent
	x.Response.WriteHeader(http.StatusNoContent)
}

// unreadPatience is how long the rest of a body that nobody reads may delay its
// own refusal. net/http takes up to 256 KiB of it off the connection before it
// writes the answer, or clients that are still sending would not see it.
const unreadPatience = 500 * time.Millisecond

// leaveUnread bounds what the unread rest of x's body costs: its connection is
// closed after the answer, and the answer does not wait for a slow sender.
func (x *Exchange) leaveUnread() {
	if x.BodyOver || x.Request.ContentLength == 0 {
		return
	}
	x.Response.Header().Set("Connection", "close")
	// Where there is no connection, as in a test, there is no deadline either.
	_ = http.NewResponseController(x.Response).SetReadDeadline(time.Now().Add(unreadPatience))
}
