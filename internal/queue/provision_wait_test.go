package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

// A service that is started while a cluster has no leader waits, however many
// attempts that takes; a command that somebody waits for ends. // rule 10
func TestProvision_ServiceOutlastsAnElection(t *testing.T) {
	t.Parallel()
	p, b := setupProxied(t, queue.Consumer)
	cfg := b.cfg
	cfg.RequestTimeout = 20 * time.Millisecond
	service := connect(t, cfg, nil, queue.Consumer)
	cfg.SetupPatience = time.Millisecond
	command := connect(t, cfg, nil, queue.Operator)
	asked, err := b.js.Conn().SubscribeSync("$JS.API.STREAM.INFO." + keyStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.Conn().FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	// What nobody answers passes, as what a server without a leader answers does.
	p.hold(toClient, true)
	if err := command.Provision(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the command ends with %v, want its last attempt's deadline", err)
	}
	done := make(chan error, 1)
	go func() { done <- service.Provision(t.Context()) }()
	const many = 12
	for n := range many {
		if _, err := asked.NextMsg(patience); err != nil {
			t.Fatalf("the service asked %d times, want %d: %v", n, many, err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("the service gave up: %v", err)
	default:
	}
	p.hold(toClient, false)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A publisher keeps nothing for a connection that is away, so each of its
// requests fails at once: no reason for an ingest to end. // rule 10
func TestProvision_PublisherOutlastsALostConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	told := make(heard, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := queue.Config{URL: s.nats.URL(), MaxBytes: 64 << 20}
	conn, err := queue.Connect(ctx, cfg, slog.New(told), prometheus.NewRegistry(), queue.Publisher)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	s.stop(t)
	eventually(t, func() string {
		if err := conn.Ready(); err == nil {
			return "the connection stands"
		}
		return ""
	})
	done := make(chan error, 1)
	go func() { done <- conn.Provision(ctx) }()
	select {
	case err := <-done:
		t.Fatalf("the service gave up: %v", err)
	case <-told:
	}
	s.start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// heard is a log that tells when something could not be set up.
type heard chan struct{}

func (heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "queue is not ready to be set up") {
		select {
		case h <- struct{}{}:
		default:
		}
	}
	return nil
}

func (h heard) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h heard) WithGroup(string) slog.Handler { return h }
