package ingest

import (
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/nexero-vr/nexero/internal/gate"
)

// Names of the routes in logs and metrics, beside those of [gate].
const (
	routeBatch     = "tracking_batch"
	routeEvent     = "tracking_event"
	routeSession   = "session"
	routeStatus    = "session_status"
	routeHeartbeat = "session_heartbeat"
	routeReady     = "readyz"
	routeHealth    = "health"
	routeRoot      = "root"
	routeDocs      = "docs"
)

//nolint:gochecknoglobals // a table that never changes
var routes = []string{
	routeBatch, routeEvent, routeSession, routeStatus, routeHeartbeat, routeReady, routeHealth, routeRoot, routeDocs,
}

// Paths of the routes that clients of the first version know.
const (
	pathBatch     = "/api/v1/unreal/tracking/batch"
	pathEvent     = "/api/v1/unreal/tracking/event"
	pathSession   = "/api/v1/unreal/session"
	pathStatus    = pathSession + "/:" + sessionParam + "/status"
	pathHeartbeat = pathSession + "/:" + sessionParam + "/heartbeat"
)

// sessionParam is the part of a path that names a session.
const sessionParam = "id"

// route is one entry of the table of paths.
type route struct {
	name, methods string
	handle        func(*exchange) error
	// paths are the route's own and its aliases. Which of them a client took
	// makes no difference, not even to the identity of what it posts.
	paths []string
}

// table is all paths that the edge has. The aliases were promised to clients by
// later versions of the old service, some with and some without the prefix.
func (s *Server) table() []route {
	return []route{
		{routeBatch, http.MethodPost, s.postBatch, []string{pathBatch, "/api/v1/unreal/batch", "/unreal/batch"}},
		{routeEvent, http.MethodPost, s.postEvent, []string{pathEvent, "/api/v1/unreal/events", "/unreal/events"}},
		{routeSession, http.MethodPost, s.postSession, []string{
			pathSession, pathSession + "/start", "/api/v1/unreal/sessions", "/unreal/sessions",
		}},
		{routeSession, http.MethodPost, s.postSessionEnd, []string{pathSession + "/end"}},
		{routeStatus, "GET, HEAD", s.getSessionStatus, []string{pathStatus}},
		{routeHeartbeat, http.MethodPost, s.postHeartbeat, []string{
			pathHeartbeat, "/api/v1/unreal/heartbeat/:" + sessionParam, "/unreal/heartbeat/:" + sessionParam,
		}},
		// Uptime probes use HEAD.
		{gate.RouteLive, "GET, HEAD", s.getLive, []string{"/livez"}},
		{routeReady, "GET, HEAD", s.getReady, []string{"/readyz"}},
		{routeHealth, "GET, HEAD", s.getHealth, []string{"/health"}},
		{routeRoot, "GET, HEAD", s.getRoot, []string{"/"}},
		{routeDocs, "GET, HEAD", s.getDocument, []string{"/openapi.json"}},
		{routeDocs, "GET, HEAD", s.getDocs, []string{"/docs"}},
	}
}

// router builds the table of paths. Every answer, also the ones to unknown
// paths and methods, goes through serve.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Pre(s.guard.Secure(), cleanPath)
	e.Use(s.guard.CrossOrigin())
	e.HTTPErrorHandler = s.unrouted
	for _, r := range s.table() {
		for _, at := range r.paths {
			for method := range strings.SplitSeq(r.methods, ", ") {
				e.Add(method, at, s.serve(r.name, r.handle))
			}
			e.OPTIONS(at, s.serve(r.name, options(r.methods)))
		}
	}
	return e
}

// options answers which methods a path has. Browsers that ask for another origin
// are answered by the guard before.
func options(methods string) func(*exchange) error {
	return func(x *exchange) error {
		x.Offer(methods)
		return nil
	}
}

// cleanPath folds doubled and trailing slashes away before routing. Old clients
// send them, and a redirect would turn their POST into a GET or an error.
func cleanPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		clean := u.Path
		if !strings.HasPrefix(clean, "/") {
			clean = "/" + clean
		}
		u.Path, u.RawPath = path.Clean(clean), ""
		return next(c)
	}
}

// unrouted answers what the router has no handler for.
func (s *Server) unrouted(err error, c echo.Context) {
	// serve answers errors itself and returns none.
	_ = s.serve(gate.RouteOther, func(*exchange) error {
		if errors.Is(err, echo.ErrNotFound) {
			return gate.Refused(gate.NotFound, "There is nothing at this path. Events go to POST "+pathBatch+".")
		}
		if errors.Is(err, echo.ErrMethodNotAllowed) {
			return gate.Refused(gate.MethodNotAllowed, "This path does not take this method; the header Allow says which it takes.")
		}
		return err
	})(c)
}
