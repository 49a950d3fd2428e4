package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// testKey is a valid key of tenant acme. It must never appear in a log.
const testKey = "nxr_test_SECRETSECRET"

// testNow is the fixed time of receipt.
func testNow() time.Time { return time.Date(2025, 12, 2, 14, 30, 20, 123_456_000, time.UTC) }

// edge is a server with a model queue behind it.
type edge struct {
	*Server

	queue    *modelQueue
	states   *modelStates
	registry *prometheus.Registry
	logged   *logBuffer
}

// logBuffer collects log lines of all levels.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newEdge makes an edge whose queue takes everything; adjust changes that.
func newEdge(t testing.TB, adjust ...func(*Deps, *Options)) *edge {
	t.Helper()
	e := &edge{queue: newModelQueue(nil), states: newModelStates(), registry: prometheus.NewRegistry(), logged: &logBuffer{}}
	options := DefaultOptions()
	deps := Deps{
		Publisher:    e.queue,
		Sessions:     e.states,
		Authenticate: authenticateForTest,
		Log:          slog.New(slog.NewJSONHandler(e.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer:   e.registry,
		Ready:        map[string]func() error{ReadyQueue: func() error { return nil }},
		Now:          testNow,
		Version:      "1.2.3",
	}
	for _, change := range adjust {
		change(&deps, &options)
	}
	if queue, ok := deps.Publisher.(*modelQueue); ok {
		e.queue = queue
	}
	if states, ok := deps.Sessions.(*modelStates); ok {
		e.states = states
	}
	deps.Decoder = unreal.NewDecoder(options.Limits, nil)
	server, err := New(deps, options)
	if err != nil {
		t.Fatal(err)
	}
	e.Server = server
	t.Cleanup(func() {
		// The test's context has ended: what is still in flight is cut short.
		_ = server.Drain(t.Context())
		<-server.committer.idle
		// Handlers whose client is gone end on their own.
		eventually(t, "the budget is given back", func() bool { return server.budget.used.Load() == 0 })
	})
	return e
}

func authenticateForTest(key string) (tenant, keyID string, err error) {
	switch key {
	case testKey:
		return "acme", "key1", nil
	case "malformed":
		return "", "", fmt.Errorf("parse: %w", apikey.ErrMalformed)
	case "revoked":
		return "", "", apikey.ErrRevoked
	case "reader":
		return "", "", apikey.ErrScope
	case "away":
		return "", "", apikey.ErrUnavailable
	case "odd":
		return "", "", errors.New("something else")
	}
	return "", "", apikey.ErrUnknown
}

// fated gives the queue a fate for every attempt.
func fated(f fate) func(*Deps, *Options) {
	return fates(func(int) fate { return f })
}

// fates gives the queue's attempts their fates.
func fates(next func(attempt int) fate) func(*Deps, *Options) {
	return func(d *Deps, _ *Options) { d.Publisher = newModelQueue(next) }
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	json   map[string]any
	// closed says that the server will not take another request.
	closed bool
}

// send makes a request and checks what holds for every answer: one JSON object
// with its length, no redirect, no trace of the software, a correlation id.
func (e *edge) send(t testing.TB, method, target, body string, header map[string]string) reply {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	request.Header.Set("X-Api-Key", testKey)
	for name, value := range header {
		request.Header.Del(name)
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	recorder := httptest.NewRecorder()
	e.Handler().ServeHTTP(recorder, request)
	return readReply(t, method, recorder.Result(), recorder.Body.Bytes())
}

func readReply(t testing.TB, method string, response *http.Response, body []byte) reply {
	t.Helper()
	r := reply{status: response.StatusCode, header: response.Header, closed: response.Close}
	if r.status >= 300 && r.status < 400 {
		t.Errorf("a redirect: %d", r.status)
	}
	for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin"} {
		if r.header.Get(name) != "" {
			t.Errorf("the answer has the header %s: %s", name, r.header.Get(name))
		}
	}
	if id := r.header.Get(gate.CorrelationHeader); id == "" || len(id) > 64 {
		t.Errorf("the answer has the correlation id %q", r.header.Get(gate.CorrelationHeader))
	}
	if r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "" && r.header.Get("Cache-Control") == "" {
		t.Error("a 503 without Retry-After")
	}
	if r.status == http.StatusNoContent || method == http.MethodHead {
		if len(body) != 0 {
			t.Errorf("an answer that has no body has %q", body)
		}
		return r
	}
	if got, want := r.header.Get("Content-Length"), strconv.Itoa(len(body)); got != want {
		t.Errorf("Content-Length is %q, the body has %s bytes", got, want)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	if err := json.Unmarshal(body, &r.json); err != nil {
		t.Fatalf("the answer is no JSON object: %v\n%s", err, body)
	}
	if r.status >= 400 && method == http.MethodPost {
		checkProblem(t, r)
	}
	return r
}

// checkProblem checks the members that every refusal has.
func checkProblem(t testing.TB, r reply) {
	t.Helper()
	got := slices.Sorted(maps.Keys(r.json))
	got = slices.DeleteFunc(got, func(name string) bool { return name == "received_keys" })
	want := []string{"code", "correlation_id", "detail", "errors", "message", "status", "title", "type"}
	if !slices.Equal(got, want) {
		t.Errorf("a problem has the members %v, want %v", got, want)
	}
	if r.json["status"] != float64(r.status) || r.json["message"] != r.json["detail"] || r.json["detail"] == "" ||
		r.json["correlation_id"] != r.header.Get(gate.CorrelationHeader) {
		t.Errorf("a problem does not agree with itself: %v", r.json)
	}
	if _, ok := r.json["errors"].([]any); !ok {
		t.Errorf("errors is %v, not a list", r.json["errors"])
	}
	if r.status == http.StatusUnprocessableEntity {
		t.Error("422 makes old clients drop what could be accepted")
	}
}

func (e *edge) post(t testing.TB, path, body string) reply {
	t.Helper()
	return e.send(t, http.MethodPost, path, body, map[string]string{"Content-Type": "application/json"})
}

// want checks status and code of a refusal, or of an acceptance with code "".
func (r reply) want(t testing.TB, status int, code string) reply {
	t.Helper()
	if got, _ := r.json["code"].(string); r.status != status || got != code {
		t.Errorf("got %d %q, want %d %q\n%v", r.status, got, status, code, r.json)
	}
	return r
}

// stored returns all batches in the queue, in order.
func (e *edge) stored(t testing.TB) []envelope.Batch {
	t.Helper()
	if _, wrong := e.queue.batches(); wrong != nil {
		t.Error(wrong)
	}
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	var all []envelope.Batch
	for _, id := range e.queue.ids {
		batches, err := envelope.Open(e.queue.stored[id])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batches...)
	}
	return all
}

// tour is a batch of n events as a headset sends it; mark tells tours apart.
func tour(n int, mark string) string {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"event_type":"zone_enter","timestamp":%d.5,"zone_name":"room %d",`+
			`"position":{"x":1.5,"y":-2,"z":160},"rotation":{"pitch":0,"yaw":90,"roll":0},"session_id":%q}`,
			testNow().Unix()-int64(n)+int64(i), i, mark)
	}
	return fmt.Sprintf(`{"session_id":%q,"sent_at":%d.25,"events":[%s]}`, mark, testNow().Unix(), strings.Join(events, ","))
}
