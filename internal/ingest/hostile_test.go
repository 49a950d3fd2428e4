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

// trickle sends text again and again, a little at a time and never long enough
// apart for a server that only minds silence, until the server hangs up.
func trickle(conn net.Conn, text string) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
		<-tick.C
	}
}

// A client that is never silent and never done runs into the time for the whole
// of what it sends. // rule 9
func TestHostile_Trickle(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.HeaderTimeout, o.BodyTimeout = 100*time.Millisecond, 100*time.Millisecond })
	address := serveBounded(t, e)
	for name, tc := range map[string]struct {
		begin, more string
		status      int
		code        string
	}{
		"request line": {"P", "O", 0, ""},
		"header":       {"POST " + pathBatch + " HTTP/1.1\r\nHost: t\r\nX-A: ", "x", 0, ""},
		"headers":      {"POST " + pathBatch + " HTTP/1.1\r\nHost: t\r\n", "X-A: b\r\n", 0, ""},
		"sized body":   {head("Content-Length: 1000000"), " ", 408, "body_timeout"},
		"chunked body": {head("Transfer-Encoding: chunked"), "1\r\n \r\n", 408, "body_timeout"},
		"chunk length": {head("Transfer-Encoding: chunked"), "0", 408, "body_timeout"},
		"gzip body":    {head("Content-Length: 1000000", "Content-Encoding: gzip") + "\x1f\x8b", " ", 408, "body_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, in := caller.Dial(t, address, tc.begin)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				trickle(conn, tc.more)
			}()
			if tc.status != 0 {
				if answer := caller.Read(t, in).Want(t, tc.status, tc.code); !answer.Closed {
					t.Error("the connection is kept")
				}
			} else if _, err := io.Copy(io.Discard, in); err != nil {
				t.Logf("the connection ended with %v", err) // a reset, since more was under way
			}
			<-ended
		})
	}
}

// Bodies that are small as sent and grow beyond all limits are refused, many at
// a time, within the room that all bodies share; others are served meanwhile.
//
// rule 9
func TestHostile_Bombs(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) {
		o.MaxInFlightBytes = 3 * (o.Limits.BodyBytes + o.Limits.InflatedBytes)
		o.Rates.HighKeys = []string{"key1"} // or the rates would refuse them first
	})
	address := serveEdge(t, e)
	const inflated = 4 << 20
	// As many events as fit: the number is the limit, not the size.
	tiny := `{"events":[` + strings.Repeat(`{},`, (inflated-20)/3) + `{}]}`
	bombs := map[string]struct{ encoding, body, code string }{
		"gzip":               {"gzip", gzipped(t, strings.Repeat("\x00", 64<<20)), "body_too_large"},
		"zstd":               {"zstd", zstdStream(t, strings.Repeat("\x00", 64<<20)), "body_too_large"},
		"tiny events, gzip":  {"gzip", gzipped(t, tiny), "too_many_events"},
		"tiny events, zstd":  {"zstd", zstdWhole(t, tiny), "too_many_events"},
		"nested, gzip":       {"gzip", gzipped(t, strings.Repeat(`{"a":[`, inflated/6)), "truncated_body"},
		"nested event, zstd": {"zstd", zstdWhole(t, `{"events":[`+strings.Repeat(`[`, inflated/2-10)+strings.Repeat(`]`, inflated/2-10)+`]}`), ""},
	}
	const clients = 6
	type outcome struct {
		name string
		caller.Answer
	}
	answers := make(chan outcome)
	for name, bomb := range bombs {
		_, in := caller.Dial(t, address, head(fmt.Sprint("Content-Length: ", len(bomb.body)), "Content-Encoding: "+bomb.encoding)+bomb.body)
		if got := caller.Read(t, in); got.JSON["code"] != bomb.code && (bomb.code != "" || got.Status != http.StatusAccepted) {
			t.Errorf("%s alone: answered %d %v, want %q", name, got.Status, got.JSON, bomb.code)
		}
	}
	for name, bomb := range bombs {
		for range clients {
			request := head(fmt.Sprint("Content-Length: ", len(bomb.body)), "Content-Encoding: "+bomb.encoding, "Connection: close") + bomb.body
			go func() {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
				if err != nil {
					t.Error(err)
					answers <- outcome{name: name}
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, request) // cut short when it is refused before it is read
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
					answers <- outcome{name: name}
					return
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Error(err)
				}
				answers <- outcome{name, caller.Check(t, http.MethodPost, response, body)}
			}()
		}
	}
	for range clients * len(bombs) {
		got := <-answers
		if used := e.budget.used.Load(); used > e.options.MaxInFlightBytes {
			t.Errorf("%d bytes are in use, the limit is %d", used, e.options.MaxInFlightBytes)
		}
		// Whoever finds no room is refused at once, whatever it brought.
		if code, _ := got.JSON["code"].(string); code != "overloaded" && code != bombs[got.name].code {
			t.Errorf("%s: answered %d %q, want %q", got.name, got.Status, code, bombs[got.name].code)
		}
	}
	caller.Eventually(t, "all room is given back", func() bool { return e.budget.used.Load() == 0 })
	e.post(t, pathBatch, tour(10, "t")).Want(t, 202, "")
}

// Requests that come on one connection without waiting for answers are taken one
// after the other: a flood of them holds the room of one. // rule 9
func TestHostile_PipelinedFlood(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{}, 1)
	const flood = 500
	e := newEdge(t, fates(func(attempt int) fate {
		if attempt == 1 {
			entered <- struct{}{}
			<-gate
		}
		return fate{persist: true}
	}))
	var requests strings.Builder
	for i := range flood {
		body := tour(1, fmt.Sprint("t", i))
		requests.WriteString(head(fmt.Sprint("Content-Length: ", len(body))) + body)
	}
	conn, in := caller.Dial(t, serveEdge(t, e), "")
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, requests.String())
		sent <- err
	}()
	<-entered
	if used := e.budget.used.Load(); used > firstStep {
		t.Errorf("a flood holds %d bytes, one request %d at most", used, firstStep)
	}
	close(gate)
	accepted := 0
	for range flood {
		switch answer := caller.Read(t, in); answer.Status {
		case http.StatusAccepted:
			accepted++
		case http.StatusTooManyRequests: // beyond the key's rate
		default:
			t.Fatalf("answered %d %v", answer.Status, answer.JSON)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if stored := len(e.stored(t)); stored != accepted || accepted == 0 {
		t.Errorf("%d were accepted and %d are stored", accepted, stored)
	}
}
