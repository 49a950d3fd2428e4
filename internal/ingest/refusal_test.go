package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// rule 8
func TestKey(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header map[string]string
		target string
		status int
		code   string
	}{
		"X-API-Key":           {status: 202},
		"bearer":              {header: map[string]string{"X-Api-Key": "", "Authorization": "bearer " + caller.Key}, status: 202},
		"X-API-Key wins":      {header: map[string]string{"Authorization": "Bearer revoked"}, status: 202},
		"missing":             {header: map[string]string{"X-Api-Key": ""}, status: 401, code: "missing_key"},
		"blank":               {header: map[string]string{"X-Api-Key": "  "}, status: 401, code: "missing_key"},
		"in the address":      {header: map[string]string{"X-Api-Key": ""}, target: "?api_key=" + caller.Key, status: 401, code: "missing_key"},
		"basic":               {header: map[string]string{"X-Api-Key": "", "Authorization": "Basic " + caller.Key}, status: 401, code: "malformed_key"},
		"bearer of nothing":   {header: map[string]string{"X-Api-Key": "", "Authorization": "Bearer"}, status: 401, code: "malformed_key"},
		"malformed":           {header: map[string]string{"X-Api-Key": "malformed"}, status: 401, code: "malformed_key"},
		"unknown":             {header: map[string]string{"X-Api-Key": "whatever"}, status: 401, code: "unknown_key"},
		"revoked":             {header: map[string]string{"X-Api-Key": "revoked"}, status: 401, code: "revoked_key"},
		"may only read":       {header: map[string]string{"X-Api-Key": "misplaced"}, status: 403, code: "insufficient_scope"},
		"cannot be checked":   {header: map[string]string{"X-Api-Key": "away"}, status: 503, code: "keys_unavailable"},
		"fails in an odd way": {header: map[string]string{"X-Api-Key": "odd"}, status: 503, code: "keys_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			for _, path := range []string{pathBatch, pathSession} {
				status := tc.status
				if status == 202 && path == pathSession {
					status = 201
				}
				got := e.send(t, http.MethodPost, path+tc.target, `{"session_start":"1727653800","events":[]}`, tc.header).Want(t, status, tc.code)
				if challenge := got.Header.Get("Www-Authenticate"); (challenge != "") != (status == 401) {
					t.Errorf("WWW-Authenticate is %q with status %d", challenge, status)
				}
			}
			if stored := e.stored(t); (len(stored) > 0) != (tc.code == "") {
				t.Errorf("%d batches are stored", len(stored))
			}
		})
	}
}

func TestKey_Anonymous(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.AnonymousTenant = "demo" })
	e.send(t, http.MethodPost, pathBatch, tour(1, "a"), map[string]string{"X-Api-Key": ""}).Want(t, 202, "")
	// A key that is there must be right: a typo is no wish to be anonymous.
	e.send(t, http.MethodPost, pathBatch, tour(1, "b"), map[string]string{"X-Api-Key": "whatever"}).Want(t, 401, "unknown_key")
	e.post(t, pathBatch, tour(1, "c")).Want(t, 202, "")
	stored := e.stored(t)
	if len(stored) != 2 || stored[0].Tenant != "demo" || stored[1].Tenant != "acme" {
		t.Errorf("stored %+v", stored)
	}
}

// rules 1, 6
func TestQueue_Refusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer error
		code   string
		retry  string
	}{
		"full":      {ErrFull, "queue_full", "30"},
		"too large": {fmt.Errorf("publish: %w", ErrTooLarge), "queue_refuses_size", "30"},
		"unknown":   {ErrUnknownOutcome, "not_confirmed", "1"},
		"any other": {errors.New("no servers"), "not_confirmed", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, fated(fate{answer: tc.answer}), func(_ *Deps, o *Options) { o.RequestTimeout = 50 * time.Millisecond })
			for _, path := range []string{pathBatch, pathSession} {
				got := e.post(t, path, `{"session_start":"1727653800","events":[]}`).Want(t, http.StatusServiceUnavailable, tc.code)
				if got.Header.Get("Retry-After") != tc.retry {
					t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
				}
			}
			if strings.Contains(e.logged.String(), caller.Key) {
				t.Error("the log holds the key")
			}
		})
	}
}

// rule 9
func TestLimits(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"1,000 events":             {tour(1000, "t"), 202, ""},
		"1,001 events":             {tour(1001, "t"), 413, "too_many_events"},
		"5,000 events":             {tour(5000, "t"), 413, "too_many_events"},
		"300,000 empty events":     {`{"events":[` + strings.Repeat(`{},`, 300_000) + `{}]}`, 413, "too_many_events"},
		"just 1 MiB":               {`{"events":[]}` + strings.Repeat(" ", mib-13), 202, ""},
		"1 MiB and a byte":         {`{"events":[]}` + strings.Repeat(" ", mib-12), 413, "body_too_large"},
		"20 MB":                    {strings.Repeat("x", 20_000_000), 413, "body_too_large"},
		"100,000 deep":             {`{"events":[` + strings.Repeat(`{"a":`, 100_000), 400, "truncated_body"},
		"100,000 deep and whole":   {`{"events":[` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `]}`, 202, ""},
		"100,000 deep, no events":  {strings.Repeat(`{"a":`, 100_000) + `1` + strings.Repeat(`}`, 100_000), 400, "missing_events"},
		"100,000 braces":           {strings.Repeat(`{`, 100_000), 400, "invalid_json"},
		"an event of 20 KiB":       {`{"session_id":"t","events":[{"a":"` + strings.Repeat("x", 20<<10) + `"}]}`, 202, ""},
		"a member name of 500 KiB": {`{"session_id":"t","` + strings.Repeat("k", 500<<10) + `":1}`, 400, "missing_events"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.post(t, pathBatch, tc.body).Want(t, tc.status, tc.code)
			if size := len(fmt.Sprint(got.JSON)); size > 16<<10 {
				t.Errorf("the answer has %d bytes", size)
			}
		})
	}
}

// A request for which there is no memory is refused before it is read, and the
// ones before it are served. // rule 9
func TestLimits_BytesInFlight(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	entered := make(chan struct{}, 16)
	e := newEdge(t, func(_ *Deps, o *Options) {
		o.Limits.BodyBytes, o.Limits.InflatedBytes = 64<<10, 64<<10
		o.MaxInFlightBytes = 128 << 10
	}, fates(func(int) fate {
		entered <- struct{}{}
		<-gate
		return fate{persist: true}
	}))
	body := `{"events":[]}` + strings.Repeat(" ", 50<<10)
	answers := make(chan caller.Answer, 2)
	for range 2 {
		go func() { answers <- e.post(t, pathBatch, body) }()
	}
	<-entered
	// The second waits behind the first.
	caller.Eventually(t, "both are in", func() bool { return e.budget.used.Load() >= 100<<10 })
	e.post(t, pathBatch, body).Want(t, http.StatusServiceUnavailable, "overloaded")
	if got := testutil.ToFloat64(e.metrics.bodyBytes); got < 100<<10 {
		t.Errorf("the gauge shows %v bytes", got)
	}
	close(gate)
	for range 2 {
		(<-answers).Want(t, http.StatusAccepted, "")
	}
}

// rule 5
func TestUnreadable_IsKept(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	body := `{"events":[nan` + strings.Repeat("x", 10_000)
	e.send(t, http.MethodPost, pathBatch+"?api_key=SECRET&b=2", body, nil).Want(t, http.StatusBadRequest, "invalid_json")
	e.send(t, http.MethodPost, pathBatch+"?api_key=SECRET&b=2", body, nil).Want(t, http.StatusBadRequest, "invalid_json")
	stored := e.stored(t)
	if len(stored) != 2 || len(stored[0].Rejected) != 1 {
		t.Fatalf("stored %+v", stored)
	}
	kept := stored[0].Rejected[0]
	if kept.Index != -1 || kept.Code != event.UnreadableBody || kept.Raw != body[:4096] || kept.Detail == "" ||
		stored[0].Tenant != "acme" || stored[0].CorrelationID == "" || stored[0].ReceivedAt != event.MicrosOf(caller.Now()) {
		t.Errorf("kept %+v of %+v", kept, stored[0])
	}
	// The ledger will tell that it is the same again.
	if stored[0].ID != stored[1].ID || stored[0].Digest != stored[1].Digest || stored[0].ReceiptID == stored[1].ReceiptID {
		t.Error("the repeat of an unreadable body is not one")
	}
	if got := testutil.ToFloat64(e.metrics.unreadable.kept); got != 2 {
		t.Errorf("%v bodies are counted as kept", got)
	}
}

// rules 5, 9
func TestUnreadable_IsBounded(t *testing.T) {
	t.Parallel()
	now := caller.Now()
	e := newEdge(t, func(d *Deps, o *Options) {
		o.UnreadablePerHour, o.AnonymousTenant = 3, "demo"
		d.Now = func() time.Time { return now }
	})
	send := func(n int, key string) {
		for i := range n {
			e.send(t, http.MethodPost, pathBatch, fmt.Sprintf("{%d", i), map[string]string{"X-Api-Key": key}).Want(t, http.StatusBadRequest, "invalid_json")
		}
	}
	send(10, caller.Key)
	if got := len(e.stored(t)); got != 3 {
		t.Errorf("%d of 10 bodies are kept, want 3", got)
	}
	send(10, "") // another owner has his own
	now = now.Add(time.Hour)
	send(10, caller.Key)
	if got := len(e.stored(t)); got != 9 {
		t.Errorf("%d bodies are kept, want 9", got)
	}
	if got := testutil.ToFloat64(e.metrics.unreadable.overLimit); got != 21 {
		t.Errorf("%v bodies are counted as over the limit, want 21", got)
	}
}

// Whether it could be kept changes nothing for the client.
func TestUnreadable_QueueAway(t *testing.T) {
	t.Parallel()
	e := newEdge(t, fated(fate{answer: ErrFull}))
	e.post(t, pathBatch, `{"events":`).Want(t, http.StatusBadRequest, "truncated_body")
	if got := testutil.ToFloat64(e.metrics.unreadable.notKept); got != 1 {
		t.Errorf("%v bodies are counted as not kept", got)
	}
}

// Panics must not occur; one that does is the request's own affair.
func TestPanic(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(d *Deps, _ *Options) {
		inner := d.Authenticate
		d.Authenticate = func(key string) (string, string, error) {
			if key == "boom" {
				panic("boom")
			}
			return inner(key)
		}
	})
	e.send(t, http.MethodPost, pathBatch, tour(1, "a"), map[string]string{"X-Api-Key": "boom"}).Want(t, http.StatusInternalServerError, "internal")
	e.post(t, pathBatch, tour(1, "a")).Want(t, http.StatusAccepted, "")
	if got := testutil.ToFloat64(e.metrics.panics); got != 1 {
		t.Errorf("%v panics counted", got)
	}
	if logged := e.logged.String(); strings.Count(logged, "request panicked") != 1 || !strings.Contains(logged, "refusal_test.go") {
		t.Errorf("the panic's log line lacks its stack:\n%s", logged)
	}
}

// rule 10
func TestDrain_RefusesNewPosts(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.post(t, pathBatch, tour(1, "a")).Want(t, http.StatusAccepted, "")
	if err := e.Accepting(); err != nil {
		t.Error(err)
	}
	e.StopAccepting(time.Minute)
	if err := e.Accepting(); !errors.Is(err, ErrDraining) {
		t.Errorf("a stopping server accepts: %v", err)
	}
	// Between the two calls posts that still come are served.
	e.post(t, pathBatch, tour(1, "b")).Want(t, http.StatusAccepted, "")
	e.send(t, http.MethodGet, "/readyz", "", nil).Want(t, http.StatusServiceUnavailable, "")
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.post(t, pathBatch, tour(1, "c")).Want(t, http.StatusServiceUnavailable, "stopping")
	e.send(t, http.MethodGet, "/livez", "", nil).Want(t, http.StatusOK, "")
	if got := len(e.stored(t)); got != 2 {
		t.Errorf("%d batches are stored, want 2", got)
	}
}
