package gate

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// anyOrigin in Exposure.CORSOrigins stands for every page on the web.
const anyOrigin = "*"

// Lifetimes in seconds of what browsers remember.
const (
	// preflightAge is short enough that a page that was taken off the list is
	// off within minutes.
	preflightAge = 600
	// transportAge is how long a browser insists on TLS: a year.
	transportAge = 365 * 24 * 60 * 60
)

// Secure adds the headers that keep a browser from making more of an answer
// than data. A handler that serves a page sets its own policy over them.
func (g *Guard) Secure() echo.MiddlewareFunc {
	config := middleware.SecureConfig{
		Skipper:               middleware.DefaultSkipper,
		ContentTypeNosniff:    "nosniff",
		XFrameOptions:         "DENY",
		ContentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'",
		ReferrerPolicy:        "no-referrer",
		HSTSExcludeSubdomains: true, // they are not ours to speak for
	}
	if g.options.TLS {
		// Not behind a proxy: what it serves, and how, is its own.
		config.HSTSMaxAge = transportAge
	}
	return middleware.SecureWithConfig(config)
}

// CrossOrigin lets pages of the listed origins call the API. Without a list
// there is no CORS header at all, and browsers refuse by themselves.
func (g *Guard) CrossOrigin() echo.MiddlewareFunc {
	origins := g.options.CORSOrigins
	if len(origins) == 0 {
		return func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	}
	config := middleware.CORSConfig{
		AllowOrigins:     []string{anyOrigin},
		AllowMethods:     g.options.Methods,
		AllowHeaders:     g.options.Headers,
		ExposeHeaders:    []string{"RateLimit", "RateLimit-Policy", "Retry-After", "X-Correlation-ID"},
		AllowCredentials: g.options.CORSCredentials,
		MaxAge:           preflightAge,
		// OPTIONS that is no preflight is answered like any other request.
		Skipper: func(c echo.Context) bool { return c.Request().Method == http.MethodOptions && !preflight(c.Request()) },
	}
	if !slices.Contains(origins, anyOrigin) {
		// Exactly the origins of the list: no patterns, no subdomains.
		config.AllowOriginFunc = func(origin string) (bool, error) { return slices.Contains(origins, origin), nil }
	}
	cors := middleware.CORSWithConfig(config)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		allowing := cors(next)
		return func(c echo.Context) error {
			if !preflight(c.Request()) {
				return allowing(c)
			}
			// The middleware answers it by itself. It is a request like others in
			// logs and metrics.
			x := new(Exchange)
			g.Enter(x, c, RoutePreflight)
			defer func() {
				if p := recover(); p != nil {
					g.Panicked(x, p)
				}
				g.Leave(x)
			}()
			err := g.Screen(x)
			if err == nil {
				err = allowing(c)
				x.Status = c.Response().Status
			}
			if err != nil {
				g.Refuse(x, err)
			}
			return nil
		}
	}
}

// preflight says whether a browser asks if a page may send another request.
func preflight(request *http.Request) bool {
	return request.Method == http.MethodOptions && request.Header.Get("Origin") != "" &&
		request.Header.Get("Access-Control-Request-Method") != ""
}
