package deploy

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

// The server that compose starts keeps what it acknowledges, takes the largest
// envelope, asks for the password and has room for everything that the services
// set up on it. It is started here as the file says, on another port and
// directory.
//
// rule 1, rule 8
func TestNATS_RunsAsConfigured(t *testing.T) {
	p := project(t)
	// As in the container, which is why no other test runs at the same time.
	t.Setenv("NATS_PASSWORD", *p.Services["nats"].Environment["NATS_PASSWORD"])
	options, err := server.ProcessConfigFile(filepath.Join(root, "deploy", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !options.SyncAlways {
		t.Error("what is acknowledged is not on disk: sync_interval is not always")
	}
	if options.MaxPayload != devstack.DefaultMaxPayload {
		t.Errorf("max_payload is %d, tested is %d", options.MaxPayload, devstack.DefaultMaxPayload)
	}
	if options.StoreDir != "/data" || options.Port != 4222 || options.HTTPHost != "127.0.0.1" || options.HTTPPort != 8222 {
		t.Errorf("store %s, port %d, health on %s:%d: docker-compose.yml says otherwise", options.StoreDir, options.Port, options.HTTPHost, options.HTTPPort)
	}

	options.StoreDir, options.Host, options.Port, options.HTTPPort, options.NoSigs, options.NoLog = t.TempDir(), "127.0.0.1", server.RANDOM_PORT, 0, true, true
	nats, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	})
	if config := nats.JetStreamConfig(); config == nil || !config.SyncAlways {
		t.Fatalf("the server runs with %+v", config)
	}
	settings := configured(t, p, "ingest").queue
	connect := func(password string) (*queue.Conn, error) {
		return queue.Connect(t.Context(), queue.Config{
			URL:      "nats://nexero:" + password + "@" + nats.Addr().String(),
			Replicas: settings.Replicas, MaxBytes: int64(settings.MaxBytes),
			AckWait: settings.AckWait, RequestTimeout: settings.RequestTimeout,
		}, slog.New(slog.DiscardHandler), nil, queue.Operator)
	}
	conn, err := connect(chosen()["NATS_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Provision(t.Context()); err != nil {
		t.Errorf("the services could not set up the queue: %v", err)
	}
	if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if conn, err := connect("guessed"); err == nil {
		t.Errorf("a wrong password is let in: %v", conn.Close(t.Context()))
	}
}
