package ingest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/gate"
)

// clock is a time that a test sets forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// here is where a client of these tests is.
const here = "203.0.113.7:4711"

// timed makes an edge with rates that a test reaches, and its clock. The keys
// are testKey and whatever begins with "good"; other keys are wrong.
func timed(t testing.TB, change func(*gate.Rates), more ...func(*Deps, *Options)) (*edge, *clock) {
	t.Helper()
	now := &clock{now: testNow()}
	adjust := func(d *Deps, o *Options) {
		d.Now = now.Now
		d.Authenticate = func(key string) (tenant, keyID string, err error) {
			if strings.HasPrefix(key, "good") {
				return "acme", key, nil
			}
			return authenticateForTest(key)
		}
		change(&o.Rates)
	}
	return newEdge(t, append([]func(*Deps, *Options){adjust}, more...)...), now
}

// sends a post from an address, with a key.
func (e *edge) sends(t testing.TB, from, key, body string, header ...string) reply {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, pathBatch, strings.NewReader(body))
	request.RemoteAddr = from
	request.Header.Set("X-Api-Key", key)
	for pair := range slices.Chunk(header, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	if request.Header.Get("Transfer-Encoding") == "chunked" {
		request.ContentLength = -1
	}
	recorder := httptest.NewRecorder()
	e.Handler().ServeHTTP(recorder, request)
	return readReply(t, http.MethodPost, recorder.Result(), recorder.Body.Bytes())
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
			e.sends(t, here, "good", sent, header...).want(t, 202, "")
			got := e.sends(t, here, "good", sent, header...).want(t, 429, "address_byte_rate")
			wait, err := strconv.Atoi(got.header.Get("Retry-After"))
			if err != nil || wait < 1 || wait > 2 {
				t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
			}
			now.pass(2 * time.Second)
			e.sends(t, here, "good", sent, header...).want(t, 202, "")
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
		e.sends(t, here, "good", large).want(t, 413, "body_too_large")
	}
	e.sends(t, here, "good", tour(1, "t")).want(t, 202, "")
}

func TestSetRates(t *testing.T) {
	t.Parallel()
	e, _ := timed(t, func(r *gate.Rates) { r.Burst, r.AddressRequests = time.Second, 1 })
	e.sends(t, here, "good", tour(1, "t")).want(t, 202, "")
	e.sends(t, here, "good", tour(1, "t")).want(t, 429, "address_request_rate")
	if err := e.SetRates(gate.Rates{}); err == nil {
		t.Error("no rates at all were accepted")
	}
	e.sends(t, here, "good", tour(1, "t")).want(t, 429, "address_request_rate")
	if err := e.SetRates(gate.DefaultRates()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		e.sends(t, here, "good", tour(1, "t")).want(t, 202, "")
	}
}
