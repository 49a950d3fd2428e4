package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestConnect_WaitsForTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	url := s.nats.URL()
	s.stop(t)
	type result struct {
		conn *queue.Conn
		err  error
	}
	connected := make(chan result, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		conn, err := queue.Connect(ctx, queue.Config{URL: url}, testkit.Logger(t), nil, queue.Publisher)
		connected <- result{conn, err}
	}()
	s.start(t)
	got := <-connected
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := got.conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConnect_GivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	s.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := queue.Connect(ctx, queue.Config{URL: s.nats.URL()}, testkit.Logger(t), prometheus.NewRegistry(), queue.Publisher)
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// rule 8: neither a refusal nor a slip in the configuration shows a password.
func TestConnect_RefusalsHideThePassword(t *testing.T) {
	t.Parallel()
	const secret = "a-password-nobody-sees"
	s := startServer(t, devstack.NATSConfig{Password: secret + "-really"})
	wrong := strings.Replace(s.nats.URL(), secret+"-really", secret, 1)
	for name, cfg := range map[string]queue.Config{
		"wrong password":   {URL: wrong},
		"malformed url":    {URL: "nats://nexero:" + secret + "@[::1:4222"},
		"no url":           {},
		"four replicas":    {URL: wrong, Replicas: 4},
		"no credentials":   {URL: wrong, CredsFile: t.TempDir() + "/missing.creds"},
		"tiny byte limit":  {URL: wrong, MaxBytes: 1},
		"negative timeout": {URL: wrong, RequestTimeout: -1},
	} {
		conn, err := queue.Connect(t.Context(), cfg, testkit.Logger(t), nil, queue.Publisher)
		if err == nil {
			t.Errorf("%s: connected", name)
			_ = conn.Close(t.Context())
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the password", name)
		}
	}
	connect(t, queue.Config{URL: s.nats.URL()}, nil, queue.Publisher)
}

func TestReady(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{MaxPayload: 1 << 20})
	cfg := queue.Config{URL: s.nats.URL(), MaxBytes: 64 << 20, LargestMessage: 1 << 20}
	conn := connect(t, cfg, nil, queue.Publisher)
	if err := conn.Ready(); !errors.Is(err, queue.ErrNoStream) {
		t.Errorf("without a stream: got %v, want ErrNoStream", err)
	}
	if err := conn.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	becomes(t, conn, nil)

	cfg.LargestMessage++
	demanding := connect(t, cfg, nil, queue.Operator)
	if err := demanding.Ready(); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("max_payload below the largest message: got %v, want ErrTooLarge", err)
	}
	s.stop(t)
	becomes(t, conn, queue.ErrUnavailable)
	s.start(t)
	becomes(t, conn, nil)
}

func becomes(t *testing.T, conn *queue.Conn, want error) {
	t.Helper()
	eventually(t, func() string {
		if err := conn.Ready(); !errors.Is(err, want) {
			return "ready says " + strings.TrimSpace(errorText(err))
		}
		return ""
	})
}

func errorText(err error) string {
	if err == nil {
		return "nothing"
	}
	return err.Error()
}

// Closing ends what belongs to the connection and nothing else: TestMain looks
// for goroutines, and the registry takes the next connection.
func TestClose(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	cfg := queue.Config{URL: s.nats.URL(), MaxBytes: 64 << 20}
	reg := prometheus.NewRegistry()
	first := open(t, cfg, reg, queue.Consumer)
	if _, err := queue.Connect(t.Context(), cfg, testkit.Logger(t), reg, queue.Consumer); err == nil {
		t.Error("two connections of one purpose share a registry")
	}
	if err := first.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothing(t, first)
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.Publish(t.Context(), "id-1", []byte("x")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("publish on a closed connection: got %v, want ErrUnavailable", err)
	}
	if _, err := first.Fetch(t.Context(), 1, 0, 0); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("fetch on a closed connection: got %v, want ErrUnavailable", err)
	}
	// Also while the server is away.
	second := open(t, cfg, reg, queue.Consumer)
	nothing(t, second)
	s.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := second.Close(ctx); err != nil && ctx.Err() != nil {
		t.Errorf("close without a server took all its time: %v", err)
	}
}
