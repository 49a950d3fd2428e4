package ingest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// counted is the value of one of the guard's series, by its labels in pairs.
func (e *edge) counted(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var own []string
			for _, pair := range metric.GetLabel() {
				own = append(own, pair.GetName(), pair.GetValue())
			}
			if slices.Equal(own, labels) {
				return metric.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s %v", name, labels)
	return 0
}

// The guard is in front of posts, with the settings of this service: who sends
// too much is told so in its words, and none of it is stored. // rule 9
func TestGuard_IsInFront(t *testing.T) {
	t.Parallel()
	body := tour(20, "t")
	size := int64(len(body))
	for code, change := range map[string]func(*gate.Rates){
		"key_request_rate":     func(r *gate.Rates) { r.KeyRequests = 3 },
		"key_byte_rate":        func(r *gate.Rates) { r.KeyBytes = 3*size + size/2 },
		"address_request_rate": func(r *gate.Rates) { r.AddressRequests = 3 },
		"address_byte_rate":    func(r *gate.Rates) { r.AddressBytes = 3*size + size/2 },
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			e, _ := timed(t, func(r *gate.Rates) {
				r.Burst = 1e9
				change(r)
			}, func(_ *Deps, o *Options) { o.Limits.BodyBytes, o.Limits.InflatedBytes = size, 2*size })
			for range 3 {
				e.sends(t, caller.Here, "good", body).Want(t, 202, "")
			}
			got := e.sends(t, caller.Here, "good", body).Want(t, 429, code)
			if policies := got.Header.Get("RateLimit-Policy"); strings.Count(policies, `"replica-`) != 4 {
				t.Errorf("RateLimit-Policy is %q", policies)
			}
			if detail, _ := got.JSON["detail"].(string); !strings.Contains(detail, "Nothing is stored. Send the same bytes again") {
				t.Errorf("the answer does not say what became of the post: %q", detail)
			}
			if n := e.counted(t, "nexero_ingest_problems_total", "code", code); n != 1 {
				t.Errorf("%v refusals are counted", n)
			}
			if n := len(e.stored(t)); n != 3 {
				t.Errorf("%d posts are stored", n)
			}
		})
	}
}

// Wrong keys are counted by address, and a proxy's word on whose it is counts.
// rule 9
func TestGuard_CountsWrongKeys(t *testing.T) {
	t.Parallel()
	const proxy = "10.0.0.1:4711"
	e, _ := timed(t, func(r *gate.Rates) { r.AuthFailures = 3 },
		func(_ *Deps, o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")} })
	for i := range 3 {
		e.sends(t, proxy, fmt.Sprint("guess ", i), "", "X-Forwarded-For", "198.51.100.1").Want(t, 401, "unknown_key")
	}
	e.sends(t, proxy, "another guess", "", "X-Forwarded-For", "198.51.100.1").Want(t, 429, "failed_key_rate")
	e.sends(t, proxy, "another guess", "", "X-Forwarded-For", "198.51.100.2").Want(t, 401, "unknown_key")
}

// Connections and headers beyond the limits are refused on the service's own
// listener. // rule 9
func TestGuard_LimitsConnections(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.MaxConnections, o.MaxHeaders = 1, 20 })
	address := serveBounded(t, e)
	_, in := caller.Dial(t, address, head(strings.TrimSuffix(strings.Repeat("X-A: b\r\n", 19), "\r\n"), "Content-Length: 0"))
	caller.Read(t, in).Want(t, 431, "too_many_headers")
	_, in = caller.Dial(t, address, head("Content-Length: 0"))
	caller.Read(t, in).Want(t, 503, "too_many_connections")
}

// Pages may use what posts need, and browsers are told to keep to data.
func TestGuard_Browsers(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.CORSOrigins = []string{"https://a.example.com"} })
	server := NewHTTPServer(e.Handler(), e.options, slog.New(slog.DiscardHandler))
	if server.ReadTimeout != e.options.HeaderTimeout+e.options.BodyTimeout || server.WriteTimeout <= server.ReadTimeout+e.options.RequestTimeout {
		t.Errorf("time-outs of %s and %s", server.ReadTimeout, server.WriteTimeout)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, pathBatch, http.NoBody)
	request.Header.Set("Origin", "https://a.example.com")
	request.Header.Set("Access-Control-Request-Method", "POST")
	recorder := httptest.NewRecorder()
	e.Handler().ServeHTTP(recorder, request)
	for name, want := range map[string]string{
		"Access-Control-Allow-Methods": "GET,HEAD,POST",
		"Access-Control-Allow-Headers": "Authorization,Content-Encoding,Content-Type,Idempotency-Key,X-API-Key,X-Correlation-ID",
		"X-Content-Type-Options":       "nosniff",
	} {
		if got := recorder.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if n := e.counted(t, "nexero_ingest_requests_total", "route", "preflight", "status", "2xx"); n != 1 {
		t.Errorf("%v preflights are counted", n)
	}
	if problems, err := testutil.GatherAndLint(e.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
