package front

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// open listens for server and serves until somebody stops it.
func open(t *testing.T, server *http.Server, certFile, keyFile string) (f *Front, served chan error) {
	t.Helper()
	exposure := &config.Exposure{TLSCertFile: certFile, TLSKeyFile: keyFile}
	f, err := Open(t.Context(), "127.0.0.1:0", exposure, server, func(l net.Listener) net.Listener { return l }, testkit.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	go func() { served <- f.Serve() }()
	return f, served
}

// A request that does not end is cut off, so that nothing behind the server
// waits for it. // rule 10
func TestFront_CutsOff(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})}
	f, served := open(t, server, "", "")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.Addr())
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
	if err := f.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped with %v", err)
	}
	select {
	case <-left:
	case <-time.After(20 * time.Second):
		_ = server.Close()
		t.Fatal("the request goes on")
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A guest answers its own paths and no others, over the host's TLS.
func TestFront_Host(t *testing.T) {
	t.Parallel()
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Who", text) })
	}
	certFile, keyFile, pool := testkit.Certificate(t, t.TempDir(), 1)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: says("host")}
	exposure := &config.Exposure{TLSCertFile: certFile, TLSKeyFile: keyFile}
	f, err := Open(t.Context(), "127.0.0.1:0", exposure, server, func(l net.Listener) net.Listener { return l }, testkit.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	f.Host(func(path string) bool { return strings.HasPrefix(path, "/guest") }, says("guest"))
	served := make(chan error, 1)
	go func() { served <- f.Serve() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	for path, want := range map[string]string{"/guest/1": "guest", "/": "host"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Who"); got != want {
			t.Errorf("%s is answered by the %s, want the %s", path, got, want)
		}
	}
	if err := errors.Join(f.Stop(t.Context()), <-served); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// An address that is somebody else's, and half a certificate, are said at once.
func TestOpen_Fails(t *testing.T) {
	t.Parallel()
	all := func(l net.Listener) net.Listener { return l }
	if _, err := Open(t.Context(), "192.0.2.1:1", &config.Exposure{}, &http.Server{ReadHeaderTimeout: time.Minute}, all, testkit.Logger(t)); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("an address of another machine: %v", err)
	}
	exposure := &config.Exposure{TLSCertFile: "nowhere", TLSKeyFile: "nowhere"}
	if _, err := Open(t.Context(), "127.0.0.1:0", exposure, &http.Server{ReadHeaderTimeout: time.Minute}, all, testkit.Logger(t)); err == nil || !strings.Contains(err.Error(), "TLS certificate") {
		t.Errorf("no certificate: %v", err)
	}
}

// Who was let in is answered before Stop returns. // rule 10
func TestFront_LetsRequestsEnd(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		w.WriteHeader(http.StatusAccepted)
	})}
	f, served := open(t, server, "", "")
	answered := make(chan int, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(f.URL())
		if err != nil {
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- f.Stop(context.Background()) }() //nolint:usetesting // it outlasts the test's context
	// It serves nobody new from then on, and ends when the request has.
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	close(leave)
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
	if status := <-answered; status != http.StatusAccepted {
		t.Errorf("the request is answered %d", status)
	}
}

// What accepts connections is what the guard made of the listener.
func TestOpen_LimitsConnections(t *testing.T) {
	t.Parallel()
	var mine net.Listener
	server := &http.Server{ReadHeaderTimeout: time.Minute}
	f, err := Open(t.Context(), "127.0.0.1:0", &config.Exposure{}, server, func(l net.Listener) net.Listener {
		mine = struct{ net.Listener }{l}
		return mine
	}, testkit.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if f.listener != mine {
		t.Error("the listener is another")
	}
	if err := mine.Close(); err != nil {
		t.Error(err)
	}
}
