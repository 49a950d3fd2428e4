package devstack

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

func startNATS(t *testing.T, cfg NATSConfig) *NATS {
	t.Helper()
	cfg.Log = testLog(t)
	server, err := StartNATS(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNATS(t, server) })
	return server
}

func stopNATS(t *testing.T, server *NATS) {
	t.Helper()
	if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestNATS_KeepsMessagesOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startNATS(t, NATSConfig{StoreDir: dir})
	if err := publish(t.Context(), server.URL(), 3); err != nil {
		t.Fatal(err)
	}
	stopNATS(t, server)
	stopNATS(t, server) // a second time is the same stop

	server = startNATS(t, NATSConfig{StoreDir: dir})
	if got := stored(t, server.URL()); got != 3 {
		t.Errorf("%d messages after a restart, want 3", got)
	}
}

// rule 1: what was acknowledged survives the death of the process.
func TestNATS_KeepsMessagesOverAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, kill := startChild(t, "nats", dir)
	kill()
	server := startNATS(t, NATSConfig{StoreDir: dir})
	if got := stored(t, server.URL()); got != killedMessages {
		t.Errorf("%d messages after a kill, want %d", got, killedMessages)
	}
}

// rule 1
func TestNATS_SyncsEveryMessage(t *testing.T) {
	t.Parallel()
	server := startNATS(t, NATSConfig{StoreDir: t.TempDir()})
	if js := server.server.JetStreamConfig(); js == nil || !js.SyncAlways {
		t.Errorf("jetstream runs with %+v, want it to sync always", js)
	}
}

func TestNATS_HasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startNATS(t, NATSConfig{StoreDir: dir})
	_, err := StartNATS(t.Context(), NATSConfig{StoreDir: dir, Log: testLog(t)})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second start: %v, want ErrInUse with our process id", err)
	}
}

func TestNATS_AsksForThePassword(t *testing.T) {
	t.Parallel()
	server := startNATS(t, NATSConfig{StoreDir: t.TempDir(), Password: "correct horse/battery@staple"})
	conn, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatalf("with the password: %v", err)
	}
	conn.Close()
	if _, err = nats.Connect(server.server.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without the password: %v, want an authorization error", err)
	}
}

func TestNATS_FailsInsteadOfRunningWithoutJetStream(t *testing.T) {
	t.Parallel()
	blocked := t.TempDir()
	if err := os.WriteFile(filepath.Join(blocked, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		cfg  NATSConfig
		want string
	}{
		"store cannot be opened": {t.Context(), NATSConfig{StoreDir: blocked}, "storage directory is not a directory"},
		"no store directory":     {t.Context(), NATSConfig{}, "no store directory"},
		"open to the network":    {t.Context(), NATSConfig{StoreDir: t.TempDir(), Host: "0.0.0.0"}, "not a loopback address"},
		"cancelled":              {cancelled, NATSConfig{StoreDir: t.TempDir()}, context.Canceled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := test.cfg
			cfg.Log = slog.New(slog.DiscardHandler)
			server, err := StartNATS(test.ctx, cfg)
			if err == nil {
				stopNATS(t, server)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
