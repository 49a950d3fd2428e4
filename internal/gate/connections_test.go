package gate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// serveBounded is serveEdge with the limits on connections.
func serveBounded(t *testing.T, e *door) (address string) {
	t.Helper()
	address, _ = listenBounded(t, e)
	return address
}

func listenBounded(t *testing.T, e *door) (address string, bound *boundListener) {
	t.Helper()
	t.Cleanup(func() {
		caller.Eventually(t, "no connection is counted any more", func() bool {
			return testutil.ToFloat64(e.metrics.open) == 0
		})
	})
	server := NewHTTPServer(e.Handler(), &e.options.Exposure, 30*time.Second, 10*time.Second, slog.New(slog.DiscardHandler))
	address = caller.Serve(t, server, func(listener net.Listener) net.Listener {
		bound, _ = e.Limit(listener).(*boundListener)
		return bound
	})
	return address, bound
}

const live = "GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"

// closed waits until the server has closed a connection without an answer.
func closed(t *testing.T, conn net.Conn, in *bufio.Reader) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Whether the client sees an end or a reset is the system's affair.
	if rest, err := io.ReadAll(in); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is not just closed: %q, %v", rest, err)
	}
}

// Connections beyond the limit are told so, and those beyond that are closed;
// who leaves makes room. // rule 9
func TestLimit_Connections(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.MaxConnections = 3 }) // and one more for refusals
	address := serveBounded(t, e)
	conns := make([]net.Conn, 3)
	for i := range conns {
		var in *bufio.Reader
		conns[i], in = caller.Dial(t, address, live)
		caller.Read(t, in).Want(t, 200, "")
	}
	waiting, told := caller.Dial(t, address, "") // occupies the place for refusals
	caller.Eventually(t, "the fourth is in", func() bool { return testutil.ToFloat64(e.metrics.refused) == 1 })
	fifth, in := caller.Dial(t, address, "")
	closed(t, fifth, in)
	if n := testutil.ToFloat64(e.metrics.closed); n != 1 {
		t.Errorf("%v closed connections are counted", n)
	}
	body := "a body"
	if _, err := io.WriteString(waiting, head(fmt.Sprint("Content-Length: ", len(body)))+body); err != nil {
		t.Fatal(err)
	}
	got := caller.Read(t, told).Want(t, 503, "too_many_connections")
	if !got.Closed || got.Header.Get("Retry-After") == "" {
		t.Errorf("closed %v, header %v", got.Closed, got.Header)
	}
	// Who was in before goes on, and who leaves makes room.
	if _, err := io.WriteString(conns[0], live); err != nil {
		t.Fatal(err)
	}
	_ = conns[1].Close()
	caller.Eventually(t, "there is room", func() bool { return testutil.ToFloat64(e.metrics.open) == 2 })
	_, in = caller.Dial(t, address, head(fmt.Sprint("Content-Length: ", len(body)))+body)
	caller.Read(t, in).Want(t, 202, "")
}

// An orchestrator hears that a full server lives.
func TestLimit_LivenessIsAnswered(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.MaxConnections = 1 })
	address, bound := listenBounded(t, e)
	_, in := caller.Dial(t, address, live)
	caller.Read(t, in).Want(t, 200, "")
	_, in = caller.Dial(t, address, live)
	if got := caller.Read(t, in).Want(t, 200, ""); !got.Closed {
		t.Error("a connection beyond the limit is kept")
	}
	caller.Eventually(t, "it is given up", func() bool {
		bound.mu.Lock()
		defer bound.mu.Unlock()
		return bound.refused == 0
	})
	_, in = caller.Dial(t, address, strings.Replace(live, "livez", "readyz", 1))
	caller.Read(t, in).Want(t, 503, "too_many_connections")
}

// One address has its own limit, unless it is a proxy's. // rule 9
func TestLimit_ConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	for name, proxied := range map[string]bool{"client": false, "proxy": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newDoor(t, func(_ *Deps, o *Options) {
				o.MaxConnections, o.MaxConnectionsPerAddress = 100, 2
				if proxied {
					o.TrustedProxies = prefixes("127.0.0.0/8")
				}
			})
			address := serveBounded(t, e)
			var last net.Conn
			for range 2 {
				conn, in := caller.Dial(t, address, live)
				caller.Read(t, in).Want(t, 200, "")
				last = conn
			}
			_, in := caller.Dial(t, address, strings.Replace(live, "livez", "readyz", 1))
			if proxied {
				caller.Read(t, in).Want(t, 503, "")
			} else {
				caller.Read(t, in).Want(t, 503, "too_many_connections")
			}
			// Who leaves makes room.
			_ = last.Close()
			left := 1.0
			if proxied {
				left = 2
			}
			caller.Eventually(t, "it has left", func() bool { return testutil.ToFloat64(e.metrics.open) == left })
			_, in = caller.Dial(t, address, strings.Replace(live, "livez", "readyz", 1))
			caller.Read(t, in).Want(t, 503, "")
		})
	}
}

// rule 9
func TestLimit_HeaderFields(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.MaxHeaders = 20 })
	address := serveBounded(t, e)
	many := func(n int) string {
		return head(strings.TrimSuffix(strings.Repeat("X-A: b\r\n", n), "\r\n"), "Content-Length: 2") + "{}"
	}
	_, in := caller.Dial(t, address, many(18)) // and key and length
	caller.Read(t, in).Want(t, 202, "")
	_, in = caller.Dial(t, address, many(19))
	caller.Read(t, in).Want(t, 431, "too_many_headers")
}

// rule 9
func TestLimit_HeaderBytes(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{4 << 10, 16 << 10} {
		e := newDoor(t, func(_ *Deps, o *Options) { o.MaxHeaderBytes = limit })
		address := serveBounded(t, e)
		for size, want := range map[int]int{
			limit - 1:   http.StatusOK,
			limit + 100: http.StatusRequestHeaderFieldsTooLarge,
			64 << 10:    http.StatusRequestHeaderFieldsTooLarge,
		} {
			before, after := "GET /livez?", " HTTP/1.1\r\nHost: test\r\n\r\n"
			_, in := caller.Dial(t, address, before+strings.Repeat("x", size-len(before)-len(after))+after)
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("a header of %d bytes with a limit of %d: %v", size, limit, err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("a header of %d bytes with a limit of %d: answered %d, want %d", size, limit, response.StatusCode, want)
			}
		}
	}
}

// A header that does not come, and a connection that nobody uses, are given up.
// rule 9
func TestLimit_HeaderAndIdleTime(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.HeaderTimeout, o.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
	address := serveBounded(t, e)
	slow, in := caller.Dial(t, address, "POST "+pathPost+" HTTP/1.1\r\nHost: te")
	closed(t, slow, in)
	silent, in := caller.Dial(t, address, "")
	closed(t, silent, in)
	idle, in := caller.Dial(t, address, live)
	caller.Read(t, in).Want(t, 200, "")
	closed(t, idle, in)
}

// A client that still sends a body sees why it is refused: its connection is
// not cut off under the answer. // rule 9
func TestLimit_RefusalReachesTheSender(t *testing.T) {
	t.Parallel()
	e := newDoor(t, func(_ *Deps, o *Options) { o.MaxConnections = 1 })
	address := serveBounded(t, e)
	_, in := caller.Dial(t, address, live)
	caller.Read(t, in).Want(t, 200, "")
	_, in = caller.Dial(t, address, head("Content-Length: 1000000")+strings.Repeat(" ", 300<<10))
	caller.Read(t, in).Want(t, 503, "too_many_connections")
}

// HTTP/2 is not spoken: one connection would be many requests.
func TestHTTPServer_SpeaksHTTP1(t *testing.T) {
	t.Parallel()
	server := NewHTTPServer(http.NotFoundHandler(), new(DefaultExposure()), 0, 0, slog.New(slog.DiscardHandler))
	if server.Protocols == nil || !server.Protocols.HTTP1() || server.Protocols.HTTP2() || server.Protocols.UnencryptedHTTP2() {
		t.Errorf("the server speaks %v", server.Protocols)
	}
}

// The server's own complaints lose the address that they name. // rule 8
func TestHTTPServer_ComplaintsNameNobody(t *testing.T) {
	t.Parallel()
	logged := new(caller.Log)
	log := logged.Logger()
	server := NewHTTPServer(http.NotFoundHandler(), new(DefaultExposure()), 0, 0, log)
	server.ErrorLog.Print("http: TLS handshake error from 10.1.2.3:5678: EOF")
	server.ErrorLog.Print("http: panic serving 10.1.2.3:5678: boom")
	got := logged.String()
	if strings.Contains(got, "10.1.2.3") || !strings.Contains(got, "TLS handshake error") || !strings.Contains(got, "http: panic") {
		t.Errorf("logged:\n%s", got)
	}
}
