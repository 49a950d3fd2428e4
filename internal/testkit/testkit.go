package testkit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/devstack"
)

// stopTimeout bounds the end of a server when a test is over.
const stopTimeout = 30 * time.Second

// Main runs a package's tests and stops what they shared. A package whose tests
// use a database has
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	if cluster := process.own.Load(); cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		if err := cluster.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		cancel()
	}
	os.Exit(code) //nolint:forbidigo // this is the test binary's main
}

// NATS starts a server with JetStream for this test alone and returns its
// address. It is stopped, and its directory removed, when the test ends.
func NATS(t testing.TB) string {
	t.Helper()
	server, err := devstack.StartNATS(t.Context(), devstack.NATSConfig{StoreDir: t.TempDir(), Log: warnings(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), stopTimeout)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return server.URL()
}

// warnings is Logger without the routine of a server that is not what is tested.
func warnings(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Logger returns a logger whose lines appear with the test's own output.
func Logger(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
