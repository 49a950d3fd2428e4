package testkit_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// ownerFlag makes the test binary a program that owns a cluster and is killed.
const ownerFlag = "-testkit-owner="

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], ownerFlag) {
		panic(ownCluster(strings.TrimPrefix(os.Args[1], ownerFlag)))
	}
	testkit.Main(m)
}

// ownCluster starts a cluster and kills its own process.
func ownCluster(dir string) error {
	if _, err := testkit.StartCluster(context.Background(), dir, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func query(t *testing.T, url, text string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), text).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

func TestNATS_HasJetStreamOfItsOwn(t *testing.T) {
	t.Parallel()
	for range 2 {
		conn, err := nats.Connect(testkit.NATS(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := js.AccountInfo(t.Context()); err != nil || info.Streams != 0 {
			t.Errorf("account: %+v, %v, want no streams", info, err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
			t.Error(err)
		}
	}
}

func TestDatabase_HasTheSchemaOfTheProgram(t *testing.T) {
	t.Parallel()
	url := testkit.Database(t)
	if got := query(t, url, "SELECT count(*)::text FROM nexero.batches"); got != "0" {
		t.Errorf("%s batches, want 0", got)
	}
	current, newest, err := postgres.SchemaVersion(t.Context(), url)
	if err != nil || current != newest || newest == 0 {
		t.Errorf("schema version %d of %d, %v", current, newest, err)
	}
	if err := postgres.Migrate(t.Context(), url, testkit.Logger(t)); err != nil {
		t.Errorf("migrate again: %v", err)
	}
}

// rule 3: tests run against what the worker demands.
func TestDatabase_IsDurable(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyDatabase(t)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if got := query(t, url, "SHOW "+setting); got != "on" {
			t.Errorf("%s is %s, want on", setting, got)
		}
	}
	if got := query(t, url, "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'nexero'"); got != "0" {
		t.Errorf("%s schemas nexero in an empty database", got)
	}
}

//nolint:tparallel // the group ends when its tests have
func TestDatabase_IsDroppedWithTheTest(t *testing.T) {
	t.Parallel()
	admin := testkit.EmptyDatabase(t) // any database tells
	var mu sync.Mutex
	names := map[string]bool{}
	t.Run("users", func(t *testing.T) {
		for i := range 3 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				url := testkit.Database(t)
				// A connection that stays open does not keep the database.
				if _, err := pgx.Connect(t.Context(), url); err != nil {
					t.Fatal(err)
				}
				name := query(t, url, "SELECT current_database()")
				mu.Lock()
				defer mu.Unlock()
				names[name] = true
			})
		}
	})
	if len(names) != 3 {
		t.Errorf("names %v, want 3 different ones", names)
	}
	for name := range names {
		if got := query(t, admin, "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestCluster_EndsWithItsOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := openPath(dir); err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // ourselves
	owner := exec.CommandContext(t.Context(), os.Args[0], ownerFlag+dir)
	text, err := owner.CombinedOutput() // ends when nobody holds its output any more
	if owner.ProcessState == nil || owner.ProcessState.ExitCode() != -1 {
		t.Fatalf("owner: %v, %s", err, text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return // a server that still ran would have kept its files
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%v is still there", left)
		}
	}
}

// openPath lets the server's user pass through a test's directory, which is made
// for its owner alone.
func openPath(dir string) error {
	for range 2 {
		if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // nothing can be listed
			return err
		}
		dir = dir[:strings.LastIndexByte(dir, '/')]
	}
	return nil
}

func TestLogger_WritesEveryLevel(t *testing.T) {
	t.Parallel()
	log := testkit.Logger(t)
	if diff := cmp.Diff(true, log.Enabled(t.Context(), slog.LevelDebug)); diff != "" {
		t.Error(diff)
	}
}
