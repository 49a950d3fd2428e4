package ingest

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/gate"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	var queueAway error
	e := newEdge(t, func(d *Deps, _ *Options) {
		d.Ready[ReadyQueue] = func() error { return queueAway }
		d.Ready["keys"] = func() error { return nil }
	})
	healthy := map[string]any{
		"status": "healthy", "timestamp": "2025-12-02T14:30:20.123456+00:00", "environment": "development",
		"database": "connected", "version": "1.2.3", "uptime": "running",
	}
	checks := map[string]any{"queue": "ok", "keys": "ok", "accepting": "ok"}
	for path, want := range map[string]map[string]any{
		"/health": healthy,
		"/readyz": {"status": "ready", "checks": checks},
		"/livez":  {"status": "alive"},
	} {
		got := e.send(t, http.MethodGet, path, "", nil).Want(t, http.StatusOK, "")
		if diff := cmp.Diff(want, got.JSON); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		head := e.send(t, http.MethodHead, path+"/", "", nil)
		if head.Status != http.StatusOK || head.Header.Get("Content-Length") != got.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d, Content-Length %s", path, head.Status, head.Header.Get("Content-Length"))
		}
	}

	queueAway = errors.New("no connection to nats://10.1.2.3:4222")
	healthy["status"], healthy["database"], checks["queue"] = "degraded", "error", "failed"
	for path, want := range map[string]struct {
		status int
		json   map[string]any
	}{
		"/health": {http.StatusOK, healthy},
		"/readyz": {http.StatusServiceUnavailable, map[string]any{"status": "not_ready", "checks": checks}},
		"/livez":  {http.StatusOK, map[string]any{"status": "alive"}},
	} {
		got := e.send(t, http.MethodGet, path, "", nil).Want(t, want.status, "")
		if diff := cmp.Diff(want.json, got.JSON); diff != "" {
			t.Errorf("%s without the queue (-want +got):\n%s", path, diff)
		}
	}
	if got := strings.Count(e.logged.String(), `"not ready"`); got != 1 {
		t.Errorf("%d log lines about one failing check", got)
	}
	queueAway = nil
	for range 3 {
		e.send(t, http.MethodGet, "/readyz", "", nil).Want(t, http.StatusOK, "")
	}
	if got := strings.Count(e.logged.String(), `"ready again"`); got != 1 {
		t.Errorf("%d log lines about one check that holds again", got)
	}
	// Whoever asks is not told where the queue is; the operator is.
	if !strings.Contains(e.logged.String(), "10.1.2.3") {
		t.Error("the log does not say why the edge is not ready")
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	got := e.send(t, http.MethodGet, "/", "", nil).Want(t, http.StatusOK, "")
	for _, member := range []string{"service", "version", "status", "description", "endpoints"} {
		if got.JSON[member] == nil {
			t.Errorf("%s is missing", member)
		}
	}
	if got.JSON["status"] != "running" || got.JSON["version"] != "1.2.3" {
		t.Errorf("got %v", got.JSON)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, target string
		status         int
		code, allow    string
	}{
		"trailing slash":  {http.MethodPost, pathSession + "/", 201, "", ""},
		"double slashes":  {http.MethodPost, "//api/v1//unreal/session//", 201, "", ""},
		"dots":            {http.MethodPost, "/api/v1/x/../unreal/./session", 201, "", ""},
		"escaped slash":   {http.MethodPost, "/api/v1/unreal%2Fsession", 201, "", ""},
		"unknown":         {http.MethodPost, "/api/v1/unreal/nothing", 404, "not_found", ""},
		"unknown, GET":    {http.MethodGet, "/wp-admin.php", 404, "not_found", ""},
		"GET on a POST":   {http.MethodGet, pathBatch, 405, "method_not_allowed", "OPTIONS, POST"},
		"PUT on a POST":   {http.MethodPut, pathSession, 405, "method_not_allowed", "OPTIONS, POST"},
		"POST on a GET":   {http.MethodPost, "/health", 405, "method_not_allowed", "OPTIONS, GET, HEAD"},
		"OPTIONS":         {http.MethodOptions, pathBatch, 204, "", "OPTIONS, POST"},
		"OPTIONS unknown": {http.MethodOptions, "/nothing", 404, "not_found", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.send(t, tc.method, tc.target, `{"session_start":"1727653800"}`, map[string]string{"Origin": "https://example.org"}).Want(t, tc.status, tc.code)
			if allow := got.Header.Get("Allow"); allow != tc.allow {
				t.Errorf("Allow is %q, want %q", allow, tc.allow)
			}
		})
	}
}

func TestCorrelationID(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for sent, taken := range map[string]bool{
		"a": true, "A-b_c.9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\tb": false, "ü": false, `"`: false, "a/b": false, "{{x}}": false,
	} {
		got := e.send(t, http.MethodGet, "/nothing", "", map[string]string{gate.CorrelationHeader: sent}).Header.Get(gate.CorrelationHeader)
		if (got == sent) != taken {
			t.Errorf("%q was answered with %q", sent, got)
		}
	}
}
