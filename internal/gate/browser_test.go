package gate

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// page makes a request as a browser does for a page of an origin.
func (e *door) page(t *testing.T, method, path, origin string, header ...string) (int, http.Header) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("a body"))
	request.Header.Set("Origin", origin)
	for pair := range slices.Chunk(header, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	recorder := httptest.NewRecorder()
	e.Handler().ServeHTTP(recorder, request)
	result := recorder.Result()
	defer result.Body.Close()
	return result.StatusCode, result.Header
}

// crossOriginHeaders are all that tell a browser what a page may do.
func crossOriginHeaders(header http.Header) map[string]string {
	found := map[string]string{}
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			found[name] = header.Get(name)
		}
	}
	return found
}

// rule 8
func TestCORS(t *testing.T) {
	t.Parallel()
	const listed, other = "https://tours.example.com", "https://evil.example.com"
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-api-key, x-evil"}
	allowed := func(origin string) map[string]string {
		return map[string]string{
			"Access-Control-Allow-Origin":  origin,
			"Access-Control-Allow-Methods": "GET,POST",
			"Access-Control-Allow-Headers": "X-API-Key",
			"Access-Control-Max-Age":       "600",
		}
	}
	exposed := func(origin string) map[string]string {
		return map[string]string{
			"Access-Control-Allow-Origin":   origin,
			"Access-Control-Expose-Headers": "RateLimit,RateLimit-Policy,Retry-After,X-Correlation-ID",
		}
	}
	with := func(headers map[string]string) map[string]string {
		headers["Access-Control-Allow-Credentials"] = "true"
		return headers
	}
	none := map[string]string{}
	for name, tc := range map[string]struct {
		origins     []string
		credentials bool
		origin      string
		// preflight and post are the headers of either answer.
		preflight, post map[string]string
	}{
		"no list":                     {nil, false, listed, none, none},
		"listed":                      {[]string{"http://localhost:3000", listed}, false, listed, allowed(listed), exposed(listed)},
		"not listed":                  {[]string{listed}, false, other, none, none},
		"subdomain":                   {[]string{listed}, false, "https://a.tours.example.com", none, none},
		"another scheme":              {[]string{listed}, false, "http://tours.example.com", none, none},
		"another port":                {[]string{listed}, false, listed + ":8443", none, none},
		"begins like one":             {[]string{listed}, false, listed + ".evil.example.com", none, none},
		"sandboxed page":              {[]string{listed}, false, "null", none, none},
		"any":                         {[]string{"*"}, false, other, allowed("*"), exposed("*")},
		"credentials":                 {[]string{listed}, true, listed, with(allowed(listed)), with(exposed(listed))},
		"credentials, not listed":     {[]string{listed}, true, other, none, none},
		"a pattern is not understood": {[]string{"https://*.example.com"}, false, other, none, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newDoor(t, func(_ *Deps, o *Options) { o.CORSOrigins, o.CORSCredentials = tc.origins, tc.credentials })
			status, header := e.page(t, http.MethodOptions, pathPost, tc.origin, ask...)
			if diff := cmp.Diff(tc.preflight, crossOriginHeaders(header)); status != 204 || diff != "" {
				t.Errorf("preflight: %d (-want +got):\n%s", status, diff)
			}
			if !saneCorrelationID(header.Get(CorrelationHeader)) {
				t.Error("the preflight's answer has no correlation id")
			}
			for wanted, key := range map[int]string{202: caller.Key, 401: "wrong"} { // refusals can be read by a page, too
				status, header = e.page(t, http.MethodPost, pathPost, tc.origin, "X-Api-Key", key)
				if diff := cmp.Diff(tc.post, crossOriginHeaders(header)); status != wanted || diff != "" {
					t.Errorf("post: %d, want %d (-want +got):\n%s", status, wanted, diff)
				}
			}
			if vary := slices.Contains(header.Values("Vary"), "Origin"); vary != (tc.origins != nil) {
				t.Errorf("Vary is %q", header.Values("Vary"))
			}
		})
	}
}

// A preflight is counted, and other OPTIONS requests are answered as ever.
func TestCORS_Preflight(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.CORSOrigins = []string{"https://a.example.com"} })
	e.page(t, http.MethodOptions, pathPost, "https://a.example.com", "Access-Control-Request-Method", "POST")
	if n := testutil.ToFloat64(e.metrics.requests[RoutePreflight].byClass[2]); n != 1 {
		t.Errorf("%v preflights are counted", n)
	}
	got := e.send(t, http.MethodOptions, pathPost, "").Want(t, 204, "")
	if got.Header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("Allow is %q", got.Header.Get("Allow"))
	}
}

func TestNew_RefusesAnyOriginWithCredentials(t *testing.T) {
	t.Parallel()
	exposure := DefaultExposure()
	exposure.CORSOrigins, exposure.CORSCredentials = []string{"*"}, true
	if err := exposure.Validate(); err == nil {
		t.Error("it was accepted")
	}
}

// Every answer keeps browsers from making more of it than data, whatever it
// answers. // rule 8
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"X-Content-Type-Options":    "nosniff",
		"X-Frame-Options":           "DENY",
		"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
		"Referrer-Policy":           "no-referrer",
		"Strict-Transport-Security": "",
	}
	for _, secure := range []bool{false, true} {
		e := newDoor(t, func(_ *Deps, o *Options) { o.TLS = secure })
		for _, request := range [][2]string{
			{http.MethodGet, "/livez"},
			{http.MethodGet, "/nothing"},
			{http.MethodPost, pathPost},
			{http.MethodOptions, pathPost},
		} {
			target := "http://test" + request[1]
			if secure {
				target = "https://test" + request[1] // gives the request a TLS state
				want["Strict-Transport-Security"] = "max-age=31536000"
			}
			got := e.send(t, request[0], target, "{")
			for name, value := range want {
				if got.Header.Get(name) != value {
					t.Errorf("%v, TLS %v: %s is %q, want %q", request, secure, name, got.Header.Get(name), value)
				}
			}
		}
	}
	// A client cannot make a plain server promise TLS.
	e := newDoor(t)
	if got := e.send(t, http.MethodGet, "/livez", "", "X-Forwarded-Proto", "https"); got.Header.Get("Strict-Transport-Security") != "" {
		t.Error("a header of the client's makes browsers insist on TLS")
	}
}
