package ingestd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"
)

// The parts of a drain make up the time for it. // rule 10
func TestBudget(t *testing.T) {
	t.Parallel()
	for drain, want := range map[time.Duration]time.Duration{
		time.Second:      500 * time.Millisecond,
		2 * time.Second:  time.Second,
		4 * time.Second:  time.Second,
		20 * time.Second: 5 * time.Second,
	} {
		serving, commit := budget(drain)
		if commit != want || serving+commit != drain {
			t.Errorf("%s is divided into %s and %s", drain, serving, commit)
		}
		if i := (&Ingest{drain: drain}); i.StopDeadline() < drain+2*closeTimeout {
			t.Errorf("the stop of %s of draining may take %s", drain, i.StopDeadline())
		}
	}
}

// A request that does not end is cut off, so that its batch's fate does not
// wait for it. // rule 10
func TestStopHTTP_CutsOff(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, left := make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})}
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
	if err := stopHTTP(ctx, server); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped with %v", err)
	}
	<-left
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serve: %v", err)
	}
}
