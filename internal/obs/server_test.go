package obs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/version"
)

// serve runs a server on a free port until the test ends and returns its
// address.
func serve(t *testing.T, checks ...Check) string {
	t.Helper()
	registry, err := NewRegistry(version.Build{Version: "v1.2.3", Commit: "abc", Go: "go1.26"})
	if err != nil {
		t.Fatal(err)
	}
	server, err := Listen(t.Context(), "127.0.0.1:0", registry, checks, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := server.Close(); err != nil {
			t.Errorf("Close after Run: %v", err)
		}
	})
	return server.Addr()
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestServer_Metrics(t *testing.T) {
	t.Parallel()
	status, body := get(t, "http://"+serve(t)+"/metrics")
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	for _, part := range []string{
		`nexero_build_info{commit="abc",go_version="go1.26",version="v1.2.3"} 1`,
		"go_goroutines", "process_start_time_seconds",
	} {
		if !strings.Contains(body, part) {
			t.Errorf("metrics lack %s", part)
		}
	}
}

func TestServer_Readiness(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	address := serve(t,
		Check{Name: "queue", Ready: func() error { return nil }},
		Check{Name: "database", Ready: func() error {
			if down.Load() {
				return errors.New("refuses connections")
			}
			return nil
		}},
	)
	for _, test := range []struct {
		down   bool
		path   string
		status int
		want   readiness
	}{
		{false, "/readyz", http.StatusOK, readiness{"ready", map[string]string{"queue": "ok", "database": "ok"}}},
		{true, "/readyz", http.StatusServiceUnavailable, readiness{"not ready", map[string]string{"queue": "ok", "database": "refuses connections"}}},
		{true, "/livez", http.StatusOK, readiness{Status: "alive"}},
	} {
		down.Store(test.down)
		status, body := get(t, "http://"+address+test.path)
		var got readiness
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v in %q", test.path, err, body)
		}
		if diff := cmp.Diff(test.want, got); status != test.status || diff != "" {
			t.Errorf("%s, down %v: status %d, want %d (-want +got):\n%s", test.path, test.down, status, test.status, diff)
		}
		err := CheckHealth(t.Context(), address)
		if (err != nil) != test.down {
			t.Errorf("CheckHealth with down %v: %v", test.down, err)
		}
		if test.down && !strings.Contains(err.Error(), "refuses connections") {
			t.Errorf("CheckHealth = %q, want the reason in it", err)
		}
	}
}

func TestServer_Off(t *testing.T) {
	t.Parallel()
	server, err := Listen(t.Context(), "", nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := server.Addr(); got != "" {
		t.Errorf("Addr() = %q, want none", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(server.Run(ctx), server.Close()); err != nil {
		t.Errorf("Run, Close: %v", err)
	}
	if err := CheckHealth(t.Context(), server.Addr()); err == nil {
		t.Error("CheckHealth without an address passed")
	}
}

func TestListen_AddressTaken(t *testing.T) {
	t.Parallel()
	first, err := Listen(t.Context(), "127.0.0.1:0", nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), first.Addr(), nil, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an address was bound twice")
	}
	// Never run: Close frees the address, and can be called again.
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
	if _, err := first.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close the listener says %v, want net.ErrClosed", err)
	}
}

func TestCheckHealth_UnspecifiedHostIsAskedOnLoopback(t *testing.T) {
	t.Parallel()
	address := serve(t)
	port := address[strings.LastIndexByte(address, ':'):]
	for _, host := range []string{"", "0.0.0.0"} {
		if err := CheckHealth(t.Context(), host+port); err != nil {
			t.Errorf("CheckHealth(%q): %v", host+port, err)
		}
	}
	if err := CheckHealth(t.Context(), "no-port"); err == nil {
		t.Error("an address without a port was taken")
	}
}
