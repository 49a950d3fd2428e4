package query

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
	routeSession    = "session"
	routeRejections = "rejections"
	routeReady      = "readyz"
	routeRoot       = "root"
)

//nolint:gochecknoglobals // a table that never changes
var routes = []string{routeSession, routeRejections, routeReady, routeRoot}

// Where the reads are.
const (
	pathSessions   = "/api/v1/sessions"
	pathRejections = "/api/v1/rejections"
)

// Owns reports whether a request for path is the read API's where it shares an
// address with the edge. Probes and / stay the edge's there.
func Owns(requested string) bool {
	clean := path.Clean("/" + requested)
	return clean == pathRejections || clean == pathSessions || strings.HasPrefix(clean, pathSessions+"/")
}

// methods are those of every route: nothing is written here.
const methods = "GET, HEAD"

// router builds the table of paths. Every answer, also the ones to unknown
// paths and methods, goes through serve.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Pre(s.guard.Secure(), cleanPath)
	e.Use(s.guard.CrossOrigin())
	e.HTTPErrorHandler = s.unrouted
	for _, r := range []struct {
		path, name string
		handle     func(*exchange) error
	}{
		{pathSessions + "/:id", routeSession, s.reading(s.getSession)},
		{pathRejections, routeRejections, s.reading(s.getRejections)},
		// Uptime probes use HEAD.
		{"/livez", gate.RouteLive, s.getLive},
		{"/readyz", routeReady, s.getReady},
		{"/", routeRoot, s.getRoot},
	} {
		e.GET(r.path, s.serve(r.name, r.handle))
		e.HEAD(r.path, s.serve(r.name, r.handle))
		e.OPTIONS(r.path, s.serve(r.name, getOptions))
	}
	return e
}

// Routes are the methods and paths that are served, with a path's variable parts
// in braces. HEAD and OPTIONS go without saying.
func (s *Server) Routes() []string {
	var list []string
	for _, r := range s.echo.Routes() {
		if r.Method == http.MethodGet {
			list = append(list, r.Method+" "+strings.ReplaceAll(r.Path, ":id", "{id}"))
		}
	}
	return list
}

// getOptions answers which methods a path has.
func getOptions(x *exchange) error {
	x.Offer(methods)
	return nil
}

// cleanPath folds doubled and trailing slashes away before routing, as the edge
// does. The router goes by the raw path where there is one, in which an id's
// escapes are still escapes.
func cleanPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.Path = path.Clean("/" + u.Path)
		if u.RawPath != "" {
			u.RawPath = path.Clean("/" + u.RawPath)
		}
		return next(c)
	}
}

// unrouted answers what the router has no handler for.
func (s *Server) unrouted(err error, c echo.Context) {
	// serve answers errors itself and returns none.
	_ = s.serve(gate.RouteOther, func(*exchange) error {
		if errors.Is(err, echo.ErrNotFound) {
			return gate.Refused(gate.NotFound, "There is nothing at this path.")
		}
		if errors.Is(err, echo.ErrMethodNotAllowed) {
			return gate.Refused(gate.MethodNotAllowed, "This path does not take this method; the header Allow says which it takes.")
		}
		return err
	})(c)
}
