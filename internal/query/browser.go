package query

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// anyOrigin in Options.CORSOrigins stands for every page on the web.
const anyOrigin = "*"

// preflightAge is how many seconds a browser remembers what it may: short
// enough that a page that was taken off the list is off within minutes.
const preflightAge = 600

// crossOrigin lets pages of the listed origins read, with a key and without
// cookies. Without a list there is no CORS header at all, and browsers refuse
// by themselves.
func (s *Server) crossOrigin() echo.MiddlewareFunc {
	origins := s.options.CORSOrigins
	if len(origins) == 0 {
		return func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	}
	config := middleware.CORSConfig{
		AllowOrigins:  []string{anyOrigin},
		AllowMethods:  []string{http.MethodGet, http.MethodHead},
		AllowHeaders:  []string{"Authorization", "X-API-Key", "X-Correlation-ID"},
		ExposeHeaders: []string{"Retry-After", "X-Correlation-ID"},
		MaxAge:        preflightAge,
		// OPTIONS that is no preflight is answered like any other request.
		Skipper: func(c echo.Context) bool {
			r := c.Request()
			return r.Method == http.MethodOptions && (r.Header.Get("Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "")
		},
	}
	if !slices.Contains(origins, anyOrigin) {
		// Exactly the origins of the list: no patterns, no subdomains.
		config.AllowOriginFunc = func(origin string) (bool, error) { return slices.Contains(origins, origin), nil }
	}
	return middleware.CORSWithConfig(config)
}

// secure adds the headers that keep a browser from making more of an answer
// than data.
func secure() echo.MiddlewareFunc {
	return middleware.SecureWithConfig(middleware.SecureConfig{
		ContentTypeNosniff: "nosniff", XFrameOptions: "DENY",
		ContentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'", ReferrerPolicy: "no-referrer",
	})
}
