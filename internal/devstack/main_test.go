package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// childFlag makes the test binary a program that a test starts and kills.
const childFlag = "-devstack-child="

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], childFlag) {
		if err := child(strings.TrimPrefix(os.Args[1], childFlag), os.Args[2:], os.Stdout); err != nil {
			panic(err) // says it on stderr and exits with 2
		}
		return
	}
	m.Run()
}

// child is a program that owns a server and dies without stopping it.
func child(kind string, args []string, out io.Writer) error {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	switch kind {
	case "nats":
		server, err := StartNATS(ctx, NATSConfig{StoreDir: args[0], Log: log})
		if err != nil {
			return err
		}
		if err := publish(ctx, server.URL(), killedMessages); err != nil {
			return err
		}
		fmt.Fprintln(out, "ready")
	case "postgres":
		server, err := StartPostgres(ctx, PostgresConfig{DataDir: args[0], Log: log})
		if err != nil {
			return err
		}
		if err := execute(ctx, server.URL(), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
			return err
		}
		fmt.Fprintln(out, server.PID())
	case "traced":
		if err := traceSyncs(ctx, args[0], args[1], args[2]); err != nil {
			return err
		}
		fmt.Fprintln(out, "ready")
	case "fetch":
		return fakeFetch(args)
	default:
		return fmt.Errorf("no child %q", kind)
	}
	select {} // until killed
}

// startChild runs child and returns what it printed when it was ready.
func startChild(t *testing.T, kind string, args ...string) (said string, kill func()) {
	t.Helper()
	//nolint:gosec // ourselves
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{childFlag + kind}, args...)...)
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("child said %q, %v", said, err)
	}
	return strings.TrimSpace(said), func() {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says that it was killed
	}
}

const killedMessages = 200

func publish(ctx context.Context, url string, messages int) (err error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}}); err != nil {
		return err
	}
	for i := range messages {
		_, ackErr := js.Publish(ctx, "t", fmt.Appendf(nil, "%d", i))
		err = errors.Join(err, ackErr)
	}
	return err
}

func stored(t *testing.T, url string) uint64 {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "T")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func ask(t *testing.T, url, query string) (answer string) {
	t.Helper()
	err := withConn(t.Context(), url, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query).Scan(&answer)
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// tempDir is a directory that a server can reach that does not run as we do,
// unlike t.TempDir, which is closed to others.
func tempDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"                            // makes a cluster in half the time
	dir, err := os.MkdirTemp(memory, "nexero-devstack-") //nolint:usetesting // see above
	if err != nil {
		dir, err = os.MkdirTemp("", "nexero-devstack-") //nolint:usetesting // see above
	}
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
	return dir
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
