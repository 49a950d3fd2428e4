package postgres_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// A server that is starting up, or is a standby that takes no connections, is
// waited for. This one waits for a primary that never comes.
func TestClassify_ServerThatIsStarting(t *testing.T) {
	t.Parallel()
	dir := serverDir(t)
	config := devstack.PostgresConfig{DataDir: dir, Log: testkit.Logger(t)}
	server, err := devstack.StartPostgres(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	url := server.URL()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster", "standby.signal"), nil, 0o666); err != nil { //nolint:gosec // for the server's account
		t.Fatal(err)
	}
	config.Settings = map[string]string{"hot_standby": "off"}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := devstack.StartPostgres(ctx, config)
		ended <- err
	}()
	store := (&fixture{TB: t, url: url}).open(postgres.Config{})
	for {
		// Until it listens, the connection is refused.
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			_ = conn.Close(t.Context())
			t.Fatal("the standby takes connections")
		}
		if postgres.Classify(err) != postgres.ClassRetry {
			t.Fatalf("%v is of class %v, want one to retry", err, postgres.Classify(err))
		}
		if stateOf(err) == "57P03" {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the standby ended: %v", err)
		default:
		}
	}
	_, err = store.Load(t.Context(), sealed(t))
	if stateOf(err) != "57P03" || postgres.Classify(err) != postgres.ClassRetry {
		t.Errorf("%v is SQLSTATE %q of class %v, want one to retry", err, stateOf(err), postgres.Classify(err))
	}
	stop()
	if err := <-ended; err == nil {
		t.Error("the start of a server that never gets ready succeeded")
	}
}

// serverDir is a directory that a server can reach that does not run as we do.
func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nexero-starting-") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}
