package ingest

import (
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
)

// Names of the routes in logs and metrics. A path that a client made up is
// never a label.
const (
	routeBatch   = "tracking_batch"
	routeSession = "session"
	routeLive    = "livez"
	routeReady   = "readyz"
	routeHealth  = "health"
	routeRoot    = "root"
	routeOther   = "other"
)

//nolint:gochecknoglobals // a table that never changes
var routes = []string{routeBatch, routeSession, routeLive, routeReady, routeHealth, routeRoot, routeOther}

// Paths of the two routes that take data.
const (
	pathBatch   = "/api/v1/unreal/tracking/batch"
	pathSession = "/api/v1/unreal/session"
)

// router builds the table of paths. Every answer, also the ones to unknown
// paths and methods, goes through serve.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Pre(cleanPath)
	e.HTTPErrorHandler = s.unrouted
	for _, r := range []struct {
		path, name, methods string
		handle              func(*exchange) error
	}{
		{pathBatch, routeBatch, http.MethodPost, s.postBatch},
		{pathSession, routeSession, http.MethodPost, s.postSession},
		// Uptime probes use HEAD.
		{"/livez", routeLive, "GET, HEAD", s.getLive},
		{"/readyz", routeReady, "GET, HEAD", s.getReady},
		{"/health", routeHealth, "GET, HEAD", s.getHealth},
		{"/", routeRoot, "GET, HEAD", s.getRoot},
	} {
		for method := range strings.SplitSeq(r.methods, ", ") {
			e.Add(method, r.path, s.serve(r.name, r.handle))
		}
		e.OPTIONS(r.path, s.serve(r.name, options(r.methods)))
	}
	return e
}

// options answers which methods a path has. It sends no CORS header, so a
// browser on another origin may not post.
func options(methods string) func(*exchange) error {
	return func(x *exchange) error {
		x.response.Header().Set("Allow", "OPTIONS, "+methods)
		x.status = http.StatusNoContent
		x.response.WriteHeader(http.StatusNoContent)
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
	_ = s.serve(routeOther, func(*exchange) error {
		if errors.Is(err, echo.ErrNotFound) {
			return refused(codeNotFound, "There is nothing at this path. Events go to POST "+pathBatch+".")
		}
		if errors.Is(err, echo.ErrMethodNotAllowed) {
			return refused(codeMethodNotAllowed, "This path does not take this method; the header Allow says which it takes.")
		}
		return err
	})(c)
}
