package query_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/query"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

const rejections = "/api/v1/rejections"

// limited is a read API with rates that a test reaches.
func limited(t *testing.T, change func(*query.Options)) (a *fixture, now *caller.Clock) {
	t.Helper()
	now = caller.NewClock(time.Now())
	options := query.DefaultOptions()
	options.Rates.Burst = time.Second
	change(&options)
	return setupAt(t, options, now.Now), now
}

// reads asks with a key, from an address.
func (a *fixture) reads(from, key string, header ...string) caller.Answer {
	a.Helper()
	return a.requestFrom(from, http.MethodGet, rejections, append([]string{"X-Api-Key", key}, header...)...)
}

// Who asks too often waits, and nobody else does. // rule 9
func TestRates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*gate.Rates)
		code   string
		policy string
		// shared says that other addresses of the same key wait as well.
		shared bool
	}{
		"of a key":      {func(r *gate.Rates) { r.KeyRequests = 3 }, gate.KeyRequests, "replica-key-requests", true},
		"of an address": {func(r *gate.Rates) { r.AddressRequests = 3 }, gate.AddressRequests, "replica-address-requests", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, now := limited(t, func(o *query.Options) { test.change(&o.Rates) })
			for i := range 3 {
				got := a.reads(caller.Here, "acme")
				if got.Status != http.StatusOK || got.Header.Get("RateLimit") == "" {
					t.Fatalf("read %d: %d %v", i, got.Status, got.Header)
				}
			}
			got := a.reads(caller.Here, "acme")
			a.wantProblem("the fourth", got, 429, test.code)
			if policy := got.Header.Get("RateLimit-Policy"); strings.Count(policy, `"replica-`) != 2 || strings.Contains(policy, "bytes") {
				t.Errorf("RateLimit-Policy is %q", policy)
			}
			if left := got.Header.Get("RateLimit"); left != `"`+test.policy+`";r=0;t=1` || got.Header.Get("Retry-After") != "1" {
				t.Errorf("RateLimit is %q, Retry-After %q", left, got.Header.Get("Retry-After"))
			}
			if detail, _ := got.JSON["detail"].(string); !strings.Contains(detail, "Other replicas") || !strings.Contains(detail, "Send the same request again") || strings.Contains(detail, "stored") {
				t.Errorf("the answer says %q", detail)
			}
			if got := a.reads(caller.Here, "other"); got.Status != http.StatusOK {
				t.Errorf("another key: %d", got.Status)
			}
			if got := a.reads(caller.There, "acme"); (got.Status != http.StatusOK) != test.shared {
				t.Errorf("the key elsewhere: %d", got.Status)
			}
			now.Pass(time.Second)
			if got := a.reads(caller.Here, "acme"); got.Status != http.StatusOK {
				t.Errorf("after Retry-After: %d", got.Status)
			}
		})
	}
}

// Rates change while the server runs, and those that make no sense do not.
func TestSetRates(t *testing.T) {
	t.Parallel()
	a, _ := limited(t, func(o *query.Options) { o.Rates.AddressRequests = 1 })
	a.reads(caller.Here, "acme")
	a.wantProblem("the second", a.reads(caller.Here, "acme"), 429, gate.AddressRequests)
	for _, wrong := range []gate.Rates{{}, gate.DefaultRates()} { // none, and some of bytes
		if err := a.server.SetRates(wrong); err == nil {
			t.Errorf("accepted: %v", wrong)
		}
	}
	a.wantProblem("still", a.reads(caller.Here, "acme"), 429, gate.AddressRequests)
	if err := a.server.SetRates(query.DefaultOptions().Rates); err != nil {
		t.Fatal(err)
	}
	if got := a.reads(caller.Here, "acme"); got.Status != http.StatusOK {
		t.Errorf("with higher rates: %d", got.Status)
	}
}

// Whoever guesses keys is refused before they are looked at; a reader beside it
// is not. // rule 9
func TestFailedKeys(t *testing.T) {
	t.Parallel()
	a, now := limited(t, func(o *query.Options) { o.Rates.AuthFailures = 3 })
	if got := a.reads(caller.Here, "acme"); got.Status != http.StatusOK {
		t.Fatalf("%d", got.Status)
	}
	for i := range 3 {
		a.wantProblem("a guess", a.reads(caller.Here, fmt.Sprint("guess ", i)), 401, gate.UnknownKey)
	}
	got := a.reads(caller.Here, "another guess")
	a.wantProblem("one too many", got, 429, gate.FailedKeys)
	if got.Header.Get("Retry-After") != "20" {
		t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
	}
	if got := a.reads(caller.Here, "acme"); got.Status != http.StatusOK {
		t.Errorf("a good key from there: %d", got.Status)
	}
	a.wantProblem("from elsewhere", a.reads(caller.There, "another guess"), 401, gate.UnknownKey)
	for range 10 {
		a.wantProblem("what may post is no guess", a.reads(caller.There, "misplaced"), 403, gate.InsufficientScope)
	}
	now.Pass(20 * time.Second)
	a.wantProblem("later", a.reads(caller.Here, "a late guess"), 401, gate.UnknownKey)
}

// Behind a listed proxy clients are told apart, and others cannot pretend.
// rule 9
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	const proxy = "10.0.0.1:4711"
	a, _ := limited(t, func(o *query.Options) {
		o.Rates.AddressRequests = 1
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	})
	for _, client := range []string{"198.51.100.1", "198.51.100.2"} {
		if got := a.reads(proxy, "acme", "X-Forwarded-For", client); got.Status != http.StatusOK {
			t.Errorf("%s: %d", client, got.Status)
		}
		a.wantProblem(client, a.reads(proxy, "acme", "X-Forwarded-For", "192.0.2.1, "+client), 429, gate.AddressRequests)
	}
	if got := a.reads(caller.Here, "acme", "X-Forwarded-For", "198.51.100.3"); got.Status != http.StatusOK {
		t.Errorf("%d", got.Status)
	}
	a.wantProblem("a client that names another", a.reads(caller.Here, "acme", "X-Forwarded-For", "198.51.100.4"), 429, gate.AddressRequests)
}

// listen serves a read API as its root does, and returns its address.
func (a *fixture) listen(options query.Options) string {
	a.Helper()
	return caller.Serve(a, query.NewHTTPServer(a.server.Handler(), &options, testkit.Logger(a)), a.server.Limit)
}

// ask opens a connection, writes text to it and returns the status and the code
// of the answer; 0 is none.
func (a *fixture) ask(address, text string) (status int, body string) {
	a.Helper()
	conn, in := caller.Dial(a, address, text)
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		a.Fatal(err)
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		a.Fatal(err)
	}
	return response.StatusCode, string(read)
}

// Connections beyond their number, headers that are too large and those that do
// not come are refused. // rule 9
func TestConnections(t *testing.T) {
	t.Parallel()
	get := func(header string) string {
		return "GET " + rejections + " HTTP/1.1\r\nHost: test\r\nX-Api-Key: acme\r\n" + header + "\r\n"
	}
	options := query.DefaultOptions()
	options.MaxConnections, options.MaxConnectionsPerAddress, options.MaxHeaders = 100, 2, 20
	a := setup(t, options)
	address := a.listen(options)
	if status, body := a.ask(address, get("")); status != http.StatusOK {
		t.Errorf("the first connection: %d %s", status, body)
	}
	if status, body := a.ask(address, get(strings.Repeat("X-A: b\r\n", 30))); status != 431 || !strings.Contains(body, gate.TooManyHeaders) {
		t.Errorf("30 header fields: %d %s", status, body)
	}
	if status, body := a.ask(address, get("")); status != 503 || !strings.Contains(body, gate.TooManyConnections) {
		t.Errorf("the third connection: %d %s", status, body)
	}
	if status, body := a.ask(address, strings.Replace(get(""), rejections, "/livez", 1)); status != http.StatusOK {
		t.Errorf("whether it lives: %d %s", status, body)
	}

	options.MaxConnectionsPerAddress = 100
	options.MaxHeaderBytes, options.HeaderTimeout = 4<<10, 100*time.Millisecond
	a = setup(t, options)
	address = a.listen(options)
	if status, body := a.ask(address, get("X-A: "+strings.Repeat("x", 16<<10)+"\r\n")); status != 431 {
		t.Errorf("16 KiB of headers: %d %s", status, body)
	}
	if status, body := a.ask(address, strings.TrimSuffix(get(""), "\r\n")); status != 0 {
		t.Errorf("a header without an end: %d %s", status, body)
	}
}
