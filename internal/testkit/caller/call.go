package caller

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Call makes a request from an address, with headers in pairs, one with an empty
// value being left out, and checks the answer. Transfer-Encoding: chunked hides
// the body's size.
func Call(t testing.TB, service http.Handler, from, method, target, body string, header ...string) Answer {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	request.RemoteAddr = from
	for pair := range slices.Chunk(header, 2) {
		request.Header.Del(pair[0])
		if pair[1] != "" {
			request.Header.Set(pair[0], pair[1])
		}
	}
	if request.Header.Get("Transfer-Encoding") == "chunked" {
		request.ContentLength = -1
	}
	recorder := httptest.NewRecorder()
	service.ServeHTTP(recorder, request)
	a := Check(t, method, recorder.Result(), recorder.Body.Bytes())
	if allowed := a.Header.Get("Access-Control-Allow-Origin"); allowed != "" && request.Header.Get("Origin") == "" {
		t.Errorf("who is no page is told that pages of %s may read", allowed)
	}
	return a
}

// Serve serves on loopback until the test ends and returns the address. bound, if
// not nil, is put around the listener.
func Serve(t testing.TB, server *http.Server, bound func(net.Listener) net.Listener) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	if bound != nil {
		listener = bound(listener)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return address
}

// Dial opens a connection on which a test writes what it likes, and writes text.
func Dial(t testing.TB, address, text string) (net.Conn, *bufio.Reader) {
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

// Read reads the next answer of a connection, which was not to a HEAD.
func Read(t testing.TB, in *bufio.Reader) Answer {
	t.Helper()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if len(response.TransferEncoding) > 0 {
		t.Errorf("the answer is sent as %v", response.TransferEncoding)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Check(t, http.MethodGet, response, body)
}
