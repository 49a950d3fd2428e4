package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A request that does not end is cut off, so that its batch's fate does not
// wait for it, and counted. // rule 10
func TestRequests_CutsOff(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, left := make(chan struct{}), make(chan struct{})
	var requests Requests
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: requests.Count(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = requests.Stop(ctx, server)
	if !errors.Is(err, ErrCutOff) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 under way") {
		t.Errorf("stopped with %v", err)
	}
	<-left
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serve: %v", err)
	}
}
