package query_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/query"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// Who may not read learns why, on every route alike. // rule 8
func TestServer_Authenticates(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	for _, target := range []string{"/api/v1/sessions/tour", "/api/v1/rejections"} {
		for _, test := range []struct {
			header []string
			status int
			code   string
		}{
			{nil, 401, "missing_key"},
			{[]string{"X-Api-Key", "malformed"}, 401, "malformed_key"},
			{[]string{"Authorization", "Basic YTpi"}, 401, "malformed_key"},
			{[]string{"X-Api-Key", "nobody's"}, 401, "unknown_key"},
			{[]string{"Authorization", "Bearer revoked"}, 401, "revoked_key"},
			{[]string{"X-Api-Key", "misplaced"}, 403, "insufficient_scope"},
			{[]string{"X-Api-Key", "away"}, 503, "keys_unavailable"},
		} {
			got := a.request(http.MethodGet, target, test.header...)
			a.wantProblem(target, got, test.status, test.code)
			if challenge := got.Header.Get("Www-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("%s %v: challenge %q", target, test.header, challenge)
			}
		}
	}
	// A key in the address is in logs on its way, and is not read.
	a.wantProblem("key in the address", a.request(http.MethodGet, "/api/v1/rejections?api_key=acme"), 401, "missing_key")
	if got := a.request(http.MethodGet, "/api/v1/rejections", "Authorization", "bearer acme"); got.Status != 200 {
		t.Errorf("a bearer key: %d %v", got.Status, got.JSON)
	}
	anonymous := setup(t, query.Options{AnonymousTenant: "acme"})
	if got := anonymous.request(http.MethodGet, "/api/v1/rejections"); got.Status != 200 {
		t.Errorf("without a key where none is needed: %d %v", got.Status, got.JSON)
	}
	anonymous.wantProblem("a bad key where none is needed", anonymous.get("nobody's", "/api/v1/rejections"), 401, "unknown_key")
}

func TestServer_Paths(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	for _, target := range []string{"/api/v1/sessions", "/api/v1/nothing", "/nothing"} {
		a.wantProblem(target, a.get("acme", target), 404, "not_found")
	}
	a.wantProblem("POST", a.request(http.MethodPost, "/api/v1/rejections", "X-Api-Key", "acme"), 405, "method_not_allowed")
	for _, target := range []string{"/livez", "/readyz", "/", "//api//v1/rejections/"} {
		got := a.get("acme", target)
		if got.Status != 200 || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", target, got.Status, got.Header)
		}
		head := a.request(http.MethodHead, target, "X-Api-Key", "acme")
		if head.Status != 200 || head.JSON != nil || head.Header.Get("Content-Length") != got.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d %v %v", target, head.Status, head.Header, head.JSON)
		}
	}
	if got := a.request(http.MethodOptions, "/api/v1/rejections"); got.Status != 204 || got.Header.Get("Allow") != "OPTIONS, GET, HEAD" {
		t.Errorf("OPTIONS: %d %v", got.Status, got.Header)
	}
	a.server.StopAccepting()
	if got := a.get("acme", "/readyz"); got.Status != 503 || got.JSON["status"] != "not_ready" || a.server.Accepting() == nil {
		t.Errorf("ready while it stops: %d %v", got.Status, got.JSON)
	}
	if got := a.get("acme", "/api/v1/rejections"); got.Status != 200 { // rule 10
		t.Errorf("a request that still comes: %d", got.Status)
	}
}

func TestServer_CorrelationID(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	for sent, kept := range map[string]bool{
		"a-b_c.9": true, strings.Repeat("x", 64): true, "": false, strings.Repeat("x", 65): false, "a b": false, "a\u00e4": false,
	} {
		got := a.request(http.MethodGet, "/livez", "X-Correlation-Id", sent).Header.Get("X-Correlation-Id")
		if (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

// Pages of the list read with a key and without cookies; others do not.
func TestServer_CORS(t *testing.T) {
	t.Parallel()
	const page = "https://sales.example.com"
	for _, test := range []struct {
		origins []string
		origin  string
		want    string
	}{
		{nil, page, ""},
		{[]string{page}, page, page},
		{[]string{page}, "https://evil.example.com", ""},
		{[]string{page}, "https://sales.example.com.evil.org", ""},
		{[]string{"*"}, page, "*"},
	} {
		a := setup(t, query.Options{Exposure: gate.Exposure{CORSOrigins: test.origins}})
		got := a.request(http.MethodGet, "/api/v1/rejections", "Origin", test.origin, "X-Api-Key", "acme").Header
		preflight := a.request(http.MethodOptions, "/api/v1/rejections", "Origin", test.origin,
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-api-key").Header
		for _, header := range []http.Header{got, preflight} {
			if allowed := header.Get("Access-Control-Allow-Origin"); allowed != test.want || header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("list %v, page %s: %v", test.origins, test.origin, header)
			}
		}
		if allows := strings.Contains(preflight.Get("Access-Control-Allow-Headers"), "X-API-Key"); allows != (test.want != "") {
			t.Errorf("list %v, page %s: %v", test.origins, test.origin, preflight)
		}
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/v1/rejections": true, "/api/v1/rejections/": true, "//api/v1//sessions/x": true, "/api/v1/sessions": true,
		"/api/v1/unreal/session": false, "/api/v1/sessionsx": false, "/": false, "": false, "/readyz": false,
		"/api/v1/sessions/../unreal/session": false, "/api/v1/unreal/../rejections": true,
	} {
		if got := query.Owns(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// A database that is away is a 503 that says when to come again, and the server
// is not ready.
func TestServer_DatabaseAway(t *testing.T) {
	t.Parallel()
	a := &fixture{TB: t, now: time.Now}
	a.open("postgres://nobody:hidden@127.0.0.1:1/nowhere", query.Options{})
	for _, target := range []string{"/api/v1/sessions/tour", "/api/v1/rejections"} {
		got := a.get("acme", target)
		a.wantProblem(target, got, 503, "database_unavailable")
		if text, _ := got.JSON["detail"].(string); strings.Contains(text, "127.0.0.1") {
			t.Errorf("the answer names the server: %s", text)
		}
	}
	if got := a.get("", "/readyz"); got.Status != 503 {
		t.Errorf("readyz: %d %v", got.Status, got.JSON)
	}
	if got := a.get("", "/livez"); got.Status != 200 {
		t.Errorf("livez: %d %v", got.Status, got.JSON)
	}
}

// rule 9: reads beyond the bound are refused at once, and one that takes too
// long ends.
func TestServer_Bounded(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{MaxInFlight: 1, RequestTimeout: 2_000_000_000})
	a.load(rejected("acme", "tour", event.InvalidText, 1))
	a.exec(`ALTER TABLE nexero.rejected_events RENAME TO kept;
	        CREATE VIEW nexero.rejected_events AS SELECT k.* FROM nexero.kept k, pg_sleep(60)`)
	slow := make(chan caller.Answer, 1)
	go func() {
		for {
			if got := a.get("acme", "/api/v1/rejections"); got.JSON["code"] != "overloaded" { // by the reads below
				slow <- got
				return
			}
		}
	}()
	refusedOnce := false
	for {
		select {
		case got := <-slow:
			a.wantProblem("a read of a minute", got, 503, "took_too_long")
			if !refusedOnce {
				t.Error("no read was refused while it went on")
			}
			if got := a.get("acme", "/api/v1/sessions/nobody"); got.Status != 404 {
				t.Errorf("the read after it: %d %v", got.Status, got.JSON)
			}
			return
		default:
			got := a.get("acme", "/api/v1/sessions/nobody")
			if got.Status == 404 { // before it began, or after its end
				continue
			}
			a.wantProblem("a read beside it", got, 503, "overloaded")
			refusedOnce = true
		}
	}
}
