package gate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// Each limit refuses with a code of its own, says when to come back, and lets
// in again then, and nobody suffers for another one's sending. // rule 9
func TestRates_EachLimit(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a body ", 100)
	size := int64(len(body))
	for name, tc := range map[string]struct {
		change func(*Rates)
		code   string
		policy string
		// shared says that other addresses of the same key are refused as well.
		shared bool
	}{
		"requests of a key": {func(r *Rates) { r.KeyRequests = 3 }, "key_request_rate", `"replica-key-requests";q=3;w=1`, true},
		"bytes of a key": {
			func(r *Rates) { r.KeyBytes = 3*size + size/2 }, "key_byte_rate",
			fmt.Sprintf(`"replica-key-bytes";q=%d;w=1;qu="content-bytes"`, 3*size+size/2), true,
		},
		"requests of an address": {func(r *Rates) { r.AddressRequests = 3 }, "address_request_rate", `"replica-address-requests";q=3;w=1`, false},
		"bytes of an address": {
			func(r *Rates) { r.AddressBytes = 3*size + size/2 }, "address_byte_rate",
			fmt.Sprintf(`"replica-address-bytes";q=%d;w=1;qu="content-bytes"`, 3*size+size/2), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, now := timed(t, func(r *Rates) {
				r.Burst = time.Second
				tc.change(r)
			}, func(_ *Deps, o *Options) { o.LargestBody = 2 * size })
			for range 3 {
				e.sends(t, caller.Here, "good", body).Want(t, 202, "")
			}
			got := e.sends(t, caller.Here, "good", body).Want(t, 429, tc.code)
			if got.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
			}
			if policies := got.Header.Get("RateLimit-Policy"); !strings.Contains(policies, tc.policy) || strings.Count(policies, `"replica-`) != 4 {
				t.Errorf("RateLimit-Policy is %q, want %s in it", policies, tc.policy)
			}
			policy, _, _ := strings.Cut(tc.policy, ";")
			if left := got.Header.Get("RateLimit"); !strings.HasPrefix(left, policy+";r=") || !strings.HasSuffix(left, ";t=1") {
				t.Errorf("RateLimit is %q, want that of %s", left, policy)
			}
			if detail, _ := got.JSON["detail"].(string); !strings.Contains(detail, "Other replicas") {
				t.Errorf("the answer does not say that the limit is this replica's: %q", detail)
			}
			e.sends(t, caller.Here, "good other", body).Want(t, 202, "")
			if tc.shared {
				e.sends(t, caller.There, "good", body).Want(t, 429, tc.code)
			} else {
				e.sends(t, caller.There, "good", body).Want(t, 202, "")
			}
			now.Pass(time.Second)
			e.sends(t, caller.Here, "good", body).Want(t, 202, "")
			refusals := 1.0
			if tc.shared {
				refusals++
			}
			if counted := testutil.ToFloat64(e.metrics.problems[tc.code]); counted != refusals {
				t.Errorf("%v refusals are counted", counted)
			}
		})
	}
}

// A client that is refused at its address uses up nothing of its fleet's.
func TestRates_OneOfAFleet(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) { r.Burst, r.KeyRequests, r.AddressRequests = time.Second, 10, 5 })
	for range 5 {
		e.sends(t, caller.Here, "good", "a body").Want(t, 202, "")
	}
	for range 50 {
		e.sends(t, caller.Here, "good", "a body").Want(t, 429, "address_request_rate")
	}
	for range 5 {
		e.sends(t, caller.There, "good", "a body").Want(t, 202, "")
	}
	e.sends(t, "203.0.113.9:1", "good", "a body").Want(t, 429, "key_request_rate")
}

// A listed key has higher rates, and its headers say so.
func TestRates_HighKeys(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) {
		r.Burst, r.KeyRequests, r.AddressRequests, r.HighKeys, r.HighFactor = time.Second, 2, 2, []string{"good tool"}, 10
	})
	for range 20 {
		e.sends(t, caller.Here, "good tool", "a body").Want(t, 202, "")
	}
	got := e.sends(t, caller.Here, "good tool", "a body").Want(t, 429, "address_request_rate")
	if !strings.Contains(got.Header.Get("RateLimit-Policy"), `"replica-key-requests";q=20;`) {
		t.Errorf("RateLimit-Policy is %q", got.Header.Get("RateLimit-Policy"))
	}
	for i := range 3 {
		e.sends(t, caller.Here, "good", "a body").Want(t, []int{202, 202, 429}[i], []string{"", "", "address_request_rate"}[i])
	}
}

// Requests without a key share the buckets of their tenant.
func TestRates_Anonymous(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) { r.Burst, r.KeyRequests, r.AddressRequests = time.Second, 3, 2 },
		func(_ *Deps, o *Options) { o.AnonymousTenant = "open" })
	for range 2 {
		e.sends(t, caller.Here, "", "a body").Want(t, 202, "")
	}
	e.sends(t, caller.Here, "", "a body").Want(t, 429, "address_request_rate")
	e.sends(t, caller.There, "", "a body").Want(t, 202, "")
	e.sends(t, caller.There, "", "a body").Want(t, 429, "key_request_rate")
	e.sends(t, caller.There, "good", "a body").Want(t, 202, "")
}

func TestSetRates(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) { r.Burst, r.AddressRequests = time.Second, 1 })
	e.sends(t, caller.Here, "good", "a body").Want(t, 202, "")
	e.sends(t, caller.Here, "good", "a body").Want(t, 429, "address_request_rate")
	if err := e.SetRates(Rates{}); err == nil {
		t.Error("no rates at all were accepted")
	}
	e.sends(t, caller.Here, "good", "a body").Want(t, 429, "address_request_rate")
	if err := e.SetRates(DefaultRates()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		e.sends(t, caller.Here, "good", "a body").Want(t, 202, "")
	}
}

// Answers that were not refused say what is left, too; answers to nobody in
// particular do not.
func TestRates_HeadersOfAnswers(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) { r.Burst, r.AddressRequests = 10*time.Second, 10 })
	got := e.sends(t, caller.Here, "good", "a body").Want(t, 202, "")
	if left := got.Header.Get("RateLimit"); left != `"replica-address-requests";r=99;t=1` {
		t.Errorf("RateLimit is %q", left)
	}
	if policy := got.Header.Get("RateLimit-Policy"); !strings.Contains(policy, `"replica-address-requests";q=100;w=10,`) {
		t.Errorf("RateLimit-Policy is %q", policy)
	}
	for _, other := range []caller.Answer{e.sends(t, caller.Here, "wrong", ""), e.send(t, http.MethodGet, "/livez", "")} {
		if other.Header.Get("RateLimit") != "" || other.Header.Get("RateLimit-Policy") != "" {
			t.Errorf("%d has rate limits: %v", other.Status, other.Header)
		}
	}
}

// What is remembered of clients is bounded, whoever comes. // rule 9
func TestRates_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *Rates) { r.Remembered = 100 })
	for i := range 300 {
		from := fmt.Sprintf("198.51.%d.%d:1", i/250, i%250)
		e.sends(t, from, fmt.Sprint("good ", i), "a body").Want(t, 202, "")
		e.sends(t, from, fmt.Sprint("wrong ", i), ``).Want(t, 401, "unknown_key")
	}
	l := e.limits.Load()
	for name, n := range map[string]int{
		"keys": l.keys.recent.Len(), "clients": l.clients.recent.Len(),
		"failures": l.failures.addresses.Len(), "right keys": l.failures.right.Len(), "wrong keys": l.failures.wrong.Len(),
	} {
		if n != 100 {
			t.Errorf("%d %s are remembered", n, name)
		}
	}
	if forgotten := testutil.ToFloat64(e.metrics.forgottenClients); forgotten != 3*200 {
		t.Errorf("%v are counted as forgotten", forgotten)
	}
}

// However requests come, an address is let in no oftener than its rate and what
// it saved allow, and a key no oftener than its own. // rule 9
func TestRates_NeverMoreThanAllowed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const perAddress, perKey, burst = 5, 8, 2
		e, now := timed(t, func(r *Rates) {
			r.Burst, r.AddressRequests, r.KeyRequests = burst*time.Second, perAddress, perKey
		})
		addresses := []string{caller.Here, caller.There, "203.0.113.9:1"}
		let := make([]int, len(addresses))
		var passed time.Duration
		for range rapid.IntRange(1, 60).Draw(rt, "requests") {
			d := time.Duration(rapid.IntRange(0, 400).Draw(rt, "pause in ms")) * time.Millisecond
			now.Pass(d)
			passed += d
			from := rapid.IntRange(0, len(addresses)-1).Draw(rt, "from")
			if e.sends(t, addresses[from], "good", "").Status != http.StatusTooManyRequests {
				let[from]++
			}
			all := 0
			for i, n := range let {
				all += n
				if most := perAddress * (burst + passed.Seconds()); float64(n) > most+1e-6 {
					rt.Fatalf("%d requests from address %d in %s, at most %v are allowed", n, i, passed, most)
				}
			}
			if most := perKey * (burst + passed.Seconds()); float64(all) > most+1e-6 {
				rt.Fatalf("%d requests of the key in %s, at most %v are allowed", all, passed, most)
			}
		}
	})
}

func TestRates_Validate(t *testing.T) {
	t.Parallel()
	if err := DefaultRates().validate(4 << 20); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for name, spoil := range map[string]func(*Rates){
		"no requests":              func(r *Rates) { r.KeyRequests = 0 },
		"no requests there":        func(r *Rates) { r.AddressRequests = 0 },
		"a body does not fit":      func(r *Rates) { r.AddressBytes = 100 << 10 },
		"no burst":                 func(r *Rates) { r.Burst = 0 },
		"no failures":              func(r *Rates) { r.AuthFailures = 0 },
		"no memory":                func(r *Rates) { r.Remembered = 0 },
		"no factor":                func(r *Rates) { r.HighFactor = 0 },
		"more than can be counted": func(r *Rates) { r.KeyBytes, r.HighFactor = 1<<40, 1<<30 },
	} {
		rates := DefaultRates()
		spoil(&rates)
		if err := rates.validate(4 << 20); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
