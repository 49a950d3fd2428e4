package ingest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// serveEdge puts the edge behind a real server, as the composition root does,
// and returns its address.
func serveEdge(t *testing.T, e *edge) string {
	t.Helper()
	return caller.Serve(t, NewHTTPServer(e.Handler(), e.options, e.logged.Logger()), nil)
}

// serveBounded is serveEdge with the limits on connections.
func serveBounded(t *testing.T, e *edge) string {
	t.Helper()
	return caller.Serve(t, NewHTTPServer(e.Handler(), e.options, e.logged.Logger()), e.Limit)
}

// head is the beginning of a post up to the headers given.
func head(headers ...string) string {
	return "POST " + pathBatch + " HTTP/1.1\r\nHost: test\r\nX-API-Key: " + caller.Key + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// The answer is the same whether a body tells its size or not, and one
// connection serves post after post.
func TestConnection_KeptAndChunked(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	body := tour(300, "t")
	var chunked strings.Builder
	for rest := body; rest != ""; {
		n := min(len(rest), 5000)
		fmt.Fprintf(&chunked, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	chunked.WriteString("0\r\n\r\n")
	sized := head(fmt.Sprint("Content-Length: ", len(body))) + body
	conn, in := caller.Dial(t, serveEdge(t, e), sized)
	first := caller.Read(t, in).Want(t, 202, "")
	for _, text := range []string{head("Transfer-Encoding: chunked") + chunked.String(), sized} {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if got := caller.Read(t, in).Want(t, 202, ""); got.JSON["batch_id"] != first.JSON["batch_id"] {
			t.Errorf("another batch id: %v", got.JSON)
		}
	}
}

// A body of unknown size is cut off where its size is too much. // rule 9
func TestConnection_ChunkedWithoutEnd(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	conn, in := caller.Dial(t, serveEdge(t, e), head("Transfer-Encoding: chunked"))
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
	go func() {
		for range 1000 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return // the server hung up, as it should
			}
		}
	}()
	caller.Read(t, in).Want(t, 413, "body_too_large")
}

// A size that is too much is refused before a byte is read or made room for.
// rule 9
func TestConnection_HugeContentLength(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	_, in := caller.Dial(t, serveEdge(t, e), head("Content-Length: 1099511627776"))
	caller.Read(t, in).Want(t, 413, "body_too_large")
}

// A client that leaves in the middle is nobody's error. // rule 9
func TestConnection_ClientVanishes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"within a sized body":   head("Content-Length: 1000") + `{"events":[`,
		"before its body":       head("Content-Length: 1000"),
		"within a chunked body": head("Transfer-Encoding: chunked") + "ff\r\n{",
		"within a gzip body":    head("Content-Length: 1000", "Content-Encoding: gzip") + "\x1f\x8b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			conn, _ := caller.Dial(t, serveEdge(t, e), text)
			caller.Eventually(t, "the request arrives", func() bool { return e.budget.used.Load() > 0 })
			_ = conn.Close()
			caller.Eventually(t, "the request ends", func() bool {
				return e.counted(t, "nexero_ingest_requests_total", "route", routeBatch, "status", "4xx") == 1
			})
			logged := e.logged.String()
			if strings.Contains(logged, `"WARN"`) || strings.Contains(logged, `"ERROR"`) {
				t.Errorf("it was complained about:\n%s", logged)
			}
			if len(e.stored(t)) != 0 {
				t.Error("half a body was stored")
			}
		})
	}
}

// A client that waits for nothing: its batch may be stored all the same.
func TestConnection_ClientVanishesWaiting(t *testing.T) {
	t.Parallel()
	offered := make(chan struct{}, 8)
	e := newEdge(t, fates(func(int) fate {
		offered <- struct{}{}
		return fate{silent: true, persist: true}
	}))
	body := tour(1, "t")
	conn, _ := caller.Dial(t, serveEdge(t, e), head(fmt.Sprint("Content-Length: ", len(body)))+body)
	<-offered
	_ = conn.Close()
	caller.Eventually(t, "the request ends", func() bool {
		return e.counted(t, "nexero_ingest_requests_total", "route", routeBatch, "status", "5xx") == 1
	})
	if len(e.stored(t)) != 1 {
		t.Error("the batch left its envelope")
	}
	if logged := e.logged.String(); strings.Contains(logged, "WARN") {
		t.Errorf("it was complained about:\n%s", logged)
	}
}

// rule 9
func TestConnection_SlowBody(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.BodyTimeout = 50 * time.Millisecond })
	_, in := caller.Dial(t, serveEdge(t, e), head("Content-Length: 1000")+`{"events":[`)
	if got := caller.Read(t, in).Want(t, http.StatusRequestTimeout, "body_timeout"); !got.Closed {
		t.Error("the connection is kept, and the rest of the body would be taken for a request")
	}
}

// The time for a body ends with the body: waiting for the queue longer than
// that must not look as if the client had left.
func TestConnection_BodyTimeIsForTheBody(t *testing.T) {
	t.Parallel()
	e := newEdge(t, fated(fate{after: 300 * time.Millisecond, persist: true}),
		func(_ *Deps, o *Options) { o.BodyTimeout = 100 * time.Millisecond })
	body := tour(1, "t")
	_, in := caller.Dial(t, serveEdge(t, e), head(fmt.Sprint("Content-Length: ", len(body)))+body)
	caller.Read(t, in).Want(t, 202, "")
}

// rule 9
func TestConnection_HeaderFlood(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	conn, in := caller.Dial(t, serveEdge(t, e), "POST "+pathBatch+" HTTP/1.1\r\nHost: test\r\n")
	go func() {
		for i := range 100_000 {
			if _, err := fmt.Fprintf(conn, "X-%d: %s\r\n", i, strings.Repeat("x", 100)); err != nil {
				return
			}
		}
	}()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d", response.StatusCode)
	}
}

// Nothing that a client is or knows gets into the log. // rule 8
func TestLog_HoldsNoSecret(t *testing.T) {
	t.Parallel()
	e := newEdge(t, fates(script(fate{answer: ErrFull})))
	address := serveEdge(t, e)
	own := map[string]bool{}
	for _, text := range []string{
		head("Content-Length: 9") + "BODYMARK{",
		strings.Replace(head("Content-Length: 9"), caller.Key, "nxr_WRONGKEY", 1) + "BODYMARK{",
		strings.Replace(head("Content-Length: 9"), " HTTP/1.1", "?key=QUERYMARK HTTP/1.1", 1) + "BODYMARK{",
		"GET /PATHMARK HTTP/1.1\r\nHost: test\r\n\r\n",
		head("Content-Length: 900") + "BODYMARK{",
		"NOT HTTP BODYMARK\r\n\r\n",
		"\x16\x03\x01BODYMARK",
	} {
		conn, in := caller.Dial(t, address, text)
		own[conn.LocalAddr().String()] = true
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		_, _ = in.ReadByte()
		_ = conn.Close()
	}
	caller.Eventually(t, "all requests end", func() bool { return strings.Count(e.logged.String(), "request answered") == 5 })
	logged := e.logged.String()
	secrets := []string{caller.Key, "SECRETSECRET", "WRONGKEY", "BODYMARK", "QUERYMARK", "PATHMARK", "127.0.0.1"}
	for _, secret := range secrets {
		if strings.Contains(logged, secret) {
			t.Errorf("the log holds %q:\n%s", secret, logged)
		}
	}
	for _, wanted := range []string{`"correlation_id":`, `"tenant":"acme"`, `"key_id":"key1"`, `"route":"tracking_batch"`, `"code":"unknown_key"`} {
		if !strings.Contains(logged, wanted) {
			t.Errorf("the log lacks %s", wanted)
		}
	}
}

// A refusal does not wait for a body that nobody reads. // rule 9
func TestConnection_RefusalIsNotDelayedByTheBody(t *testing.T) {
	t.Parallel()
	// The server's own time for reading is far longer than the test's.
	for name, tc := range map[string]struct {
		text   string
		status int
		code   string
	}{
		"no key":       {strings.Replace(head("Content-Length: 1000"), caller.Key, "", 1), 401, "missing_key"},
		"may not post": {strings.Replace(head("Content-Length: 1000"), caller.Key, "misplaced", 1), 403, "insufficient_scope"},
		"too large":    {head("Content-Length: 1048577"), 413, "body_too_large"},
		"encoding":     {head("Content-Length: 1000", "Content-Encoding: br"), 415, "unsupported_encoding"},
		"no keys":      {strings.Replace(head("Content-Length: 1000"), caller.Key, "away", 1), 503, "keys_unavailable"},
		"no path":      {strings.Replace(head("Content-Length: 1000"), pathBatch, "/nothing", 1), 404, "not_found"},
		"chunked":      {strings.Replace(head("Transfer-Encoding: chunked"), caller.Key, "", 1), 401, "missing_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			conn, in := caller.Dial(t, serveEdge(t, e), tc.text)
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if got := caller.Read(t, in).Want(t, tc.status, tc.code); !got.Closed {
				t.Error("the connection is kept, and the rest of the body would be taken for a request")
			}
		})
	}
}

// A refusal of a post that was read leaves the connection open.
func TestConnection_RefusalAfterTheBodyKeepsIt(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	text := head("Content-Length: 10") + `{"events":`
	conn, in := caller.Dial(t, serveEdge(t, e), text)
	for range 2 {
		if caller.Read(t, in).Want(t, 400, "truncated_body").Closed {
			t.Fatal("the connection is closed")
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
}

// A header that promises a large body holds next to nothing. // rule 9
func TestConnection_HeadersHoldNoBudget(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.MaxInFlightBytes = o.Limits.BodyBytes + o.Limits.InflatedBytes })
	address := serveEdge(t, e)
	const clients = 20
	for range clients {
		caller.Dial(t, address, head("Content-Length: 1048576"))
	}
	caller.Eventually(t, "all are in", func() bool { return e.budget.used.Load() >= clients*leastCharge })
	if used := e.budget.used.Load(); used != clients*leastCharge {
		t.Errorf("%d headers hold %d bytes", clients, used)
	}
	e.post(t, pathBatch, tour(300, "t")).Want(t, 202, "")
}

// Memory follows what arrives, and ends with just the size that was stated.
// rule 9
func TestReceive_ChargesWhatArrives(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	const size = 200<<10 + 7
	conn, in := caller.Dial(t, serveEdge(t, e), head(fmt.Sprint("Content-Length: ", size))+"{")
	caller.Eventually(t, "the first step", func() bool { return e.budget.used.Load() == firstStep })
	if _, err := io.WriteString(conn, strings.Repeat(" ", 100<<10)); err != nil {
		t.Fatal(err)
	}
	caller.Eventually(t, "the second step", func() bool { return e.budget.used.Load() == 2*firstStep })
	if _, err := io.WriteString(conn, strings.Repeat(" ", size-100<<10-2)); err != nil {
		t.Fatal(err)
	}
	caller.Eventually(t, "the last step", func() bool { return e.budget.used.Load() == size })
	if _, err := io.WriteString(conn, "}"); err != nil {
		t.Fatal(err)
	}
	caller.Read(t, in).Want(t, 400, "missing_events")
}

// A body that comes too slowly for a stopping server is refused in time, so
// that the stop is clean. // rule 10
func TestStopAccepting_HurriesBodies(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	address := serveEdge(t, e)
	_, before := caller.Dial(t, address, head("Content-Length: 1000")+"{")
	caller.Eventually(t, "it arrives", func() bool { return e.budget.used.Load() >= leastCharge })
	e.StopAccepting(time.Millisecond)
	_, after := caller.Dial(t, address, head("Content-Length: 1000")+"{")
	for _, in := range []*bufio.Reader{before, after} {
		got := caller.Read(t, in).Want(t, 503, "stopping")
		if !got.Closed || got.Header.Get("Retry-After") == "" {
			t.Errorf("closed %v, header %v", got.Closed, got.Header)
		}
	}
}
