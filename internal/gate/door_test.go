package gate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/apikey"
)

// testKey is a valid key of tenant acme. It must never appear in a log.
const testKey = "nxr_test_SECRETSECRET"

// pathPost is where the service of these tests takes bodies.
const pathPost = "/posts"

// Two clients of two buildings.
const (
	here  = "203.0.113.7:4711"
	there = "203.0.113.8:4711"
)

// testNow is the fixed time at which clocks of tests begin.
func testNow() time.Time { return time.Date(2025, 12, 2, 14, 30, 20, 123_456_000, time.UTC) }

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

// door is a small service behind a guard: it takes bodies at one path, answers
// probes, and panics where it is asked to.
type door struct {
	*Guard

	echo     *echo.Echo
	registry *prometheus.Registry
	logged   *logBuffer
}

func testOptions() Options {
	return Options{
		Exposure: DefaultExposure(), Rates: DefaultRates(), LargestBody: 4 << 20,
		Service: "test", Routes: []string{"posts", "readyz", "panic"},
		Methods: []string{http.MethodGet, http.MethodPost}, Headers: []string{"X-API-Key"},
		Wording: Wording{Action: "post", Assurance: "Nothing is stored. ", Again: "the same bytes"},
	}
}

func testDeps(registry prometheus.Registerer, logged io.Writer) Deps {
	return Deps{
		Authenticate: authenticateForTest,
		Log:          slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer:   registry,
		Panics:       prometheus.NewCounter(prometheus.CounterOpts{Name: "panics_total", Help: "Panics."}),
		Now:          testNow,
	}
}

// newDoor makes a service; adjust changes what its guard is told.
func newDoor(t testing.TB, adjust ...func(*Deps, *Options)) *door {
	t.Helper()
	d := &door{echo: echo.New(), registry: prometheus.NewRegistry(), logged: &logBuffer{}}
	deps, options := testDeps(d.registry, d.logged), testOptions()
	for _, change := range adjust {
		change(&deps, &options)
	}
	var err error
	if d.Guard, err = New(deps, options); err != nil {
		t.Fatal(err)
	}
	d.echo.Pre(d.Secure())
	d.echo.Use(d.CrossOrigin())
	d.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		_ = d.serve(RouteOther, func(*Exchange) error {
			if errors.Is(err, echo.ErrNotFound) {
				return Refused(NotFound, "There is nothing.")
			}
			return err
		})(c)
	}
	d.echo.POST(pathPost, d.serve("posts", d.take))
	d.echo.OPTIONS(pathPost, d.serve("posts", func(x *Exchange) error {
		x.Offer("POST")
		return nil
	}))
	d.echo.GET("/livez", d.serve(RouteLive, func(x *Exchange) error { return x.Show(http.StatusOK, map[string]string{"status": "alive"}) }))
	d.echo.GET("/readyz", d.serve("readyz", func(x *Exchange) error {
		return x.Show(http.StatusServiceUnavailable, map[string]string{"status": "not_ready"})
	}))
	d.echo.GET("/panic", d.serve("panic", func(*Exchange) error { panic("on purpose") }))
	return d
}

func (d *door) serve(route string, h func(*Exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := new(Exchange)
		d.Enter(x, c, route)
		defer func() {
			if p := recover(); p != nil {
				d.Panicked(x, p)
			}
			d.Leave(x, slog.String("more", "of it"))
		}()
		err := d.Screen(x)
		if err == nil {
			err = h(x)
		}
		if err != nil {
			d.Refuse(x, err)
		}
		return nil
	}
}

// take reads a body as a service does: paid for before, settled after.
func (d *door) take(x *Exchange) error {
	if err := d.Authenticate(x); err != nil {
		return err
	}
	if err := x.TakeBytes(x.Request.ContentLength); err != nil {
		return err
	}
	body, err := io.ReadAll(x.Request.Body)
	x.BodyOver = true
	if err != nil {
		x.Vanished = true
		return err
	}
	x.Settle(int64(len(body)))
	return x.Show(http.StatusAccepted, map[string]string{"tenant": x.Tenant, "key_id": x.KeyID})
}

// Handler is the whole service.
func (d *door) Handler() http.Handler { return d.echo }

func authenticateForTest(key string) (tenant, keyID string, err error) {
	switch {
	case key == testKey:
		return "acme", "key1", nil
	case strings.HasPrefix(key, "good"):
		return "acme", key, nil
	case key == "malformed":
		return "", "", fmt.Errorf("parse: %w", apikey.ErrMalformed)
	case key == "revoked":
		return "", "", apikey.ErrRevoked
	case key == "expired":
		return "", "", apikey.ErrExpired
	case key == "reader":
		return "", "", apikey.ErrScope
	case key == "away":
		return "", "", apikey.ErrUnavailable
	case key == "odd":
		return "", "", errors.New("something else")
	}
	return "", "", apikey.ErrUnknown
}

// timed makes a service with rates that a test reaches, and its clock.
func timed(t testing.TB, change func(*Rates), more ...func(*Deps, *Options)) (*door, *clock) {
	t.Helper()
	now := &clock{now: testNow()}
	adjust := func(d *Deps, o *Options) {
		d.Now = now.Now
		change(&o.Rates)
	}
	return newDoor(t, append([]func(*Deps, *Options){adjust}, more...)...), now
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	json   map[string]any
	// closed says that the server will not take another request.
	closed bool
}

// send makes a request with headers in pairs and checks what holds for every
// answer.
func (d *door) send(t testing.TB, method, target, body string, header ...string) reply {
	t.Helper()
	return d.sendFrom(t, "192.0.2.1:1234", method, target, body, header...)
}

func (d *door) sendFrom(t testing.TB, from, method, target, body string, header ...string) reply {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	request.RemoteAddr = from
	for pair := range slices.Chunk(header, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	if request.Header.Get("Transfer-Encoding") == "chunked" {
		request.ContentLength = -1
	}
	recorder := httptest.NewRecorder()
	d.Handler().ServeHTTP(recorder, request)
	return readReply(t, recorder.Result(), recorder.Body.Bytes())
}

// sends a post from an address, with a key.
func (d *door) sends(t testing.TB, from, key, body string, header ...string) reply {
	t.Helper()
	return d.sendFrom(t, from, http.MethodPost, pathPost, body, append([]string{"X-Api-Key", key}, header...)...)
}

func readReply(t testing.TB, response *http.Response, body []byte) reply {
	t.Helper()
	r := reply{status: response.StatusCode, header: response.Header, closed: response.Close}
	if !saneCorrelationID(r.header.Get(CorrelationHeader)) {
		t.Errorf("the answer has the correlation id %q", r.header.Get(CorrelationHeader))
	}
	if r.status == http.StatusNoContent {
		return r
	}
	if got, want := r.header.Get("Content-Length"), strconv.Itoa(len(body)); got != want {
		t.Errorf("Content-Length is %q, the body has %s bytes", got, want)
	}
	if err := json.Unmarshal(body, &r.json); err != nil {
		t.Fatalf("the answer is no JSON object: %v\n%s", err, body)
	}
	if code, _ := r.json["code"].(string); code != "" {
		checkProblem(t, r, code)
	}
	return r
}

// checkProblem checks the members that every refusal has.
func checkProblem(t testing.TB, r reply, code string) {
	t.Helper()
	for _, name := range []string{"correlation_id", "detail", "errors", "message", "status", "title", "type"} {
		if r.json[name] == nil || r.json[name] == "" {
			t.Errorf("a problem has no %s: %v", name, r.json)
		}
	}
	if r.json["status"] != float64(r.status) || r.json["message"] != r.json["detail"] ||
		r.json["correlation_id"] != r.header.Get(CorrelationHeader) || r.json["type"] != "urn:nexero:problem:"+code {
		t.Errorf("a problem does not agree with itself: %v", r.json)
	}
	retry := r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests
	if (r.header.Get("Retry-After") != "") != retry {
		t.Errorf("%d with Retry-After %q", r.status, r.header.Get("Retry-After"))
	}
}

// want checks status and code of a refusal, or of an acceptance with code "".
func (r reply) want(t testing.TB, status int, code string) reply {
	t.Helper()
	if got, _ := r.json["code"].(string); r.status != status || got != code {
		t.Errorf("got %d %q, want %d %q\n%v", r.status, got, status, code, r.json)
	}
	return r
}

// dial opens a connection on which a test writes what it likes.
func dial(t *testing.T, address, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func answerOn(t *testing.T, in *bufio.Reader) reply {
	t.Helper()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, response, body)
}

// head is the beginning of a post up to the headers given.
func head(headers ...string) string {
	return "POST " + pathPost + " HTTP/1.1\r\nHost: test\r\nX-API-Key: " + testKey + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// eventually waits for something that happens on another goroutine.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second) // and not the test's context: cleanups wait, too
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never happened: %s", what)
		}
	}
}
