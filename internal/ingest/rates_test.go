package ingest

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// timed makes an edge with rates that a test reaches, and its clock.
func timed(t testing.TB, change func(*gate.Rates), more ...func(*Deps, *Options)) (*edge, *caller.Clock) {
	t.Helper()
	now := caller.NewClock(caller.Now())
	adjust := func(d *Deps, o *Options) {
		d.Now = now.Now
		change(&o.Rates)
	}
	return newEdge(t, append([]func(*Deps, *Options){adjust}, more...)...), now
}

// sends a post from an address, with a key.
func (e *edge) sends(t testing.TB, from, key, body string, header ...string) caller.Answer {
	t.Helper()
	return caller.Call(t, e.Handler(), from, http.MethodPost, pathBatch, body, append([]string{"X-Api-Key", key}, header...)...)
}

// What a body grows to counts, although only its size as sent is known before.
// rule 9
func TestRates_InflatedBytesAreOwed(t *testing.T) {
	t.Parallel()
	body := tour(500, "t")
	for name, header := range map[string][]string{
		"gzip": {"Content-Encoding", "gzip"}, "zstd": {"Content-Encoding", "zstd"}, "chunked": {"Transfer-Encoding", "chunked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, now := timed(t, func(r *gate.Rates) { r.Burst, r.AddressBytes = time.Second, int64(len(body)) },
				func(_ *Deps, o *Options) {
					o.Limits.BodyBytes, o.Limits.InflatedBytes = int64(len(body)), int64(len(body))
				})
			sent := body
			switch name {
			case "gzip":
				sent = gzipped(t, body)
			case "zstd":
				sent = zstdWhole(t, body)
			}
			e.sends(t, caller.Here, "good", sent, header...).Want(t, 202, "")
			got := e.sends(t, caller.Here, "good", sent, header...).Want(t, 429, "address_byte_rate")
			wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
			if err != nil || wait < 1 || wait > 2 {
				t.Errorf("Retry-After is %q", got.Header.Get("Retry-After"))
			}
			now.Pass(2 * time.Second)
			e.sends(t, caller.Here, "good", sent, header...).Want(t, 202, "")
		})
	}
}

// A refusal for another reason than the rate is not paid for in bytes: the
// body was not read.
func TestRates_UnreadBodiesCostNothing(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *gate.Rates) { r.Burst, r.AddressBytes, r.AddressRequests = time.Second, 4<<20, 1000 })
	large := strings.Repeat(" ", 1<<20+1)
	for range 20 {
		e.sends(t, caller.Here, "good", large).Want(t, 413, "body_too_large")
	}
	e.sends(t, caller.Here, "good", tour(1, "t")).Want(t, 202, "")
}

func TestSetRates(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *gate.Rates) { r.Burst, r.AddressRequests = time.Second, 1 })
	e.sends(t, caller.Here, "good", tour(1, "t")).Want(t, 202, "")
	e.sends(t, caller.Here, "good", tour(1, "t")).Want(t, 429, "address_request_rate")
	if err := e.SetRates(gate.Rates{}); err == nil {
		t.Error("no rates at all were accepted")
	}
	e.sends(t, caller.Here, "good", tour(1, "t")).Want(t, 429, "address_request_rate")
	if err := e.SetRates(gate.DefaultRates()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		e.sends(t, caller.Here, "good", tour(1, "t")).Want(t, 202, "")
	}
}
