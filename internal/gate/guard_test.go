package gate

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// Who is let in, and what the others are told. // rule 8
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header []string
		status int
		code   string
	}{
		"key":                       {[]string{"X-Api-Key", " " + caller.Key + " "}, 202, ""},
		"bearer":                    {[]string{"Authorization", "bearer  " + caller.Key}, 202, ""},
		"none":                      {nil, 401, "missing_key"},
		"another scheme":            {[]string{"Authorization", "Basic YTpi"}, 401, "malformed_key"},
		"bearer of nothing":         {[]string{"Authorization", "Bearer "}, 401, "malformed_key"},
		"malformed":                 {[]string{"X-Api-Key", "malformed"}, 401, "malformed_key"},
		"unknown":                   {[]string{"X-Api-Key", "nobody's"}, 401, "unknown_key"},
		"revoked":                   {[]string{"X-Api-Key", "revoked"}, 401, "revoked_key"},
		"expired":                   {[]string{"X-Api-Key", "expired"}, 401, "revoked_key"},
		"another scope":             {[]string{"X-Api-Key", "misplaced"}, 403, "insufficient_scope"},
		"keys away":                 {[]string{"X-Api-Key", "away"}, 503, "keys_unavailable"},
		"an error that nobody made": {[]string{"X-Api-Key", "odd"}, 503, "keys_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for tenant, open := range map[string]string{"": "", "open": "open"} {
				d := newDoor(t, func(_ *Deps, o *Options) { o.AnonymousTenant = open })
				status, code, whose := tc.status, tc.code, "acme"
				if tenant != "" && tc.header == nil { // and only then
					status, code, whose = 202, "", "open"
				}
				got := d.send(t, http.MethodPost, pathPost, "a body", tc.header...).Want(t, status, code)
				if status == 202 && got.JSON["tenant"] != whose {
					t.Errorf("it acts for %v, want %s", got.JSON["tenant"], whose)
				}
				if challenge := got.Header.Get("Www-Authenticate"); (challenge != "") != (status == 401) {
					t.Errorf("challenge %q", challenge)
				}
				if strings.Contains(d.logged.String(), caller.Key) {
					t.Error("the log holds the key")
				}
			}
		})
	}
	d := newDoor(t)
	d.send(t, http.MethodPost, pathPost+"?api_key="+caller.Key, "a body").Want(t, 401, "missing_key")
}

// The service's words are in what it refuses.
func TestAuthenticate_Wording(t *testing.T) {
	t.Parallel()
	d, _ := timed(t, func(r *Rates) { r.AddressRequests, r.Burst, r.AuthFailures = 1, 1e9, 1 })
	says := func(got caller.Answer, want string) {
		t.Helper()
		if detail, _ := got.JSON["detail"].(string); !strings.Contains(detail, want) {
			t.Errorf("%q does not say %q", detail, want)
		}
	}
	says(d.sends(t, caller.Here, "misplaced", "").Want(t, 403, "insufficient_scope"), "may not post.")
	d.sends(t, caller.Here, "good", "").Want(t, 202, "")
	says(d.sends(t, caller.Here, "good", "").Want(t, 429, "address_request_rate"), "Nothing is stored. Send the same bytes again")
	d.sends(t, caller.There, "wrong", "").Want(t, 401, "unknown_key")
	says(d.sends(t, caller.There, "wronger", "").Want(t, 429, "failed_key_rate"), "Nothing is stored. ")
}

// Where requests have no bodies there are rates of requests alone.
func TestRates_WithoutBytes(t *testing.T) {
	t.Parallel()
	bodiless := func(_ *Deps, o *Options) { o.LargestBody = 0 }
	d, _ := timed(t, func(r *Rates) { r.KeyBytes, r.AddressBytes, r.AddressRequests, r.Burst = 0, 0, 2, 1e9 }, bodiless)
	for range 2 {
		d.sends(t, caller.Here, "good", strings.Repeat("a body", 1000)).Want(t, 202, "")
	}
	got := d.sends(t, caller.Here, "good", "").Want(t, 429, "address_request_rate")
	if policy := got.Header.Get("RateLimit-Policy"); policy != `"replica-key-requests";q=1000;w=1, "replica-address-requests";q=2;w=1` {
		t.Errorf("RateLimit-Policy is %q", policy)
	}
	if left := got.Header.Get("RateLimit"); left != `"replica-address-requests";r=0;t=1` {
		t.Errorf("RateLimit is %q", left)
	}
	if d.metrics.problems[KeyBytes] != nil {
		t.Error("there is a series of a limit that is not there")
	}
	options := testOptions()
	options.LargestBody = 0
	if err := options.Validate(); err == nil {
		t.Error("rates of bytes were accepted where there are none")
	}
}

// A panic is one answer, one log line and one on the counter, and the next
// request is served.
func TestPanicked(t *testing.T) {
	t.Parallel()
	var panics prometheus.Counter
	d := newDoor(t, func(d *Deps, _ *Options) { panics = d.Panics })
	d.send(t, http.MethodGet, "/panic", "").Want(t, 500, "internal")
	if n := testutil.ToFloat64(panics); n != 1 {
		t.Errorf("%v panics are counted", n)
	}
	if logged := d.logged.String(); !strings.Contains(logged, "on purpose") {
		t.Errorf("the log has nothing of it:\n%s", logged)
	}
	d.sends(t, caller.Here, "good", "").Want(t, 202, "")
}

// Failures are logged once where somebody can see them; a probe that hears
// every second that the service is not ready is none.
func TestLeave(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.send(t, http.MethodGet, "/readyz", "").Want(t, 503, "")
	d.sends(t, caller.Here, "good", "").Want(t, 202, "")
	if logged := d.logged.String(); strings.Contains(logged, `"WARN"`) || !strings.Contains(logged, `"more":"of it"`) {
		t.Errorf("logged:\n%s", logged)
	}
	d.sends(t, caller.Here, "away", "").Want(t, 503, "keys_unavailable")
	if logged := d.logged.String(); strings.Count(logged, `"WARN"`) != 1 || !strings.Contains(logged, `"code":"keys_unavailable"`) {
		t.Errorf("logged:\n%s", logged)
	}
	d.send(t, http.MethodGet, "/made-up", "").Want(t, 404, "not_found")
	for route, want := range map[string][6]float64{"posts": {2: 1, 5: 1}, "readyz": {5: 1}, RouteOther: {4: 1}} {
		for class, counter := range d.metrics.requests[route].byClass {
			if counter != nil && testutil.ToFloat64(counter) != want[class] {
				t.Errorf("%s %dxx: %v, want %v", route, class, testutil.ToFloat64(counter), want[class])
			}
		}
	}
	if problems, err := testutil.GatherAndLint(d.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestCorrelationID(t *testing.T) {
	t.Parallel()
	for sent, kept := range map[string]bool{
		"a-b_c.9": true, strings.Repeat("x", 64): true, "": false, strings.Repeat("x", 65): false, "a b": false, "a\u00e4": false,
	} {
		if got := correlationID(sent); (got == sent) != kept || !saneCorrelationID(got) {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

func TestNew_RefusesNonsense(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	if _, err := New(testDeps(registry, new(caller.Log)), testOptions()); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if _, err := New(testDeps(registry, new(caller.Log)), testOptions()); err == nil {
		t.Error("metrics were registered twice")
	}
	if _, err := New(Deps{}, testOptions()); err == nil {
		t.Error("no dependency was needed")
	}
	if _, err := New(testDeps(prometheus.NewRegistry(), new(caller.Log)), Options{}); err == nil || strings.Count(err.Error(), "\n") < 8 {
		t.Errorf("no options: %v", err) // every bound is named
	}
}
