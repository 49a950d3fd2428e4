package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/migrations"
)

// shared is what the tests of this process have in common: one cluster or the
// address of one, and the template made in it.
type shared struct {
	cluster  func() (string, error) // address of the maintenance database
	template func() (string, error) // name of the migrated template
	own      atomic.Pointer[Cluster]
	serial   atomic.Int64
}

//nolint:gochecknoglobals // a test process has one cluster, whichever test asks first
var process = newShared()

func newShared() *shared {
	s := &shared{}
	s.cluster = sync.OnceValues(s.openCluster)
	s.template = sync.OnceValues(s.makeTemplate)
	return s
}

// setupTimeout bounds the cluster and its template, which a test of the process
// waits for once.
const setupTimeout = 2 * time.Minute

// Database returns the address of a database with the current schema that
// nobody else uses. It is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	template, err := process.template()
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	return process.clone(t, template)
}

// EmptyDatabase returns the address of a database without any schema that nobody
// else uses. It is dropped when the test ends.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	return process.clone(t, "template0")
}

// clone makes a database for one test. The name holds our process id, because the
// packages of a run share the cluster.
func (s *shared) clone(t testing.TB, template string) string {
	t.Helper()
	admin, err := s.cluster()
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), s.serial.Add(1))
	if err := devstack.CloneDatabase(t.Context(), admin, template, name); err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := devstack.DropDatabase(context.WithoutCancel(t.Context()), admin, name); err != nil {
			t.Errorf("test database: %v", err)
		}
	})
	return withDatabase(admin, name)
}

// openCluster takes the run's cluster, else starts one for this process. Its
// messages have no test to go to; a failure to start quotes them.
func (s *shared) openCluster() (string, error) {
	if address := os.Getenv(URLVariable); address != "" { //nolint:forbidigo // set by test/cluster, no configuration of the product
		return address, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	cluster, err := StartCluster(ctx, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	s.own.Store(cluster)
	return cluster.URL(), nil
}

// makeTemplate migrates a database that tests are cloned from. Its name holds a
// hash of the migrations and packages that run at the same time make it once.
func (s *shared) makeTemplate() (string, error) {
	admin, err := s.cluster()
	if err != nil {
		return "", err
	}
	name, err := templateName()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return "", err
	}
	err = buildTemplate(ctx, conn, admin, name)
	return name, errors.Join(err, conn.Close(ctx))
}

// buildTemplate makes the template unless it is there. Being marked as a template
// is the last step, so a marked one is complete; closing it to connections keeps
// CREATE DATABASE from finding a visitor.
func buildTemplate(ctx context.Context, conn *pgx.Conn, admin, name string) error {
	// Held until the connection closes.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return err
	}
	var ready bool
	const query = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)"
	if err := conn.QueryRow(ctx, query, name).Scan(&ready); err != nil || ready {
		return err
	}
	// One that is no template yet was left by a process that died on the way.
	if err := devstack.DropDatabase(ctx, admin, name); err != nil {
		return err
	}
	if err := devstack.CreateDatabase(ctx, admin, name); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, withDatabase(admin, name), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}

// templateName changes with every migration, so a cluster that outlives a run
// never hands out an old schema.
func templateName() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.Files, path)
		fmt.Fprintf(hash, "%s %d\n", path, len(text))
		hash.Write(text)
		return err
	})
	return "template_" + hex.EncodeToString(hash.Sum(nil)[:8]), err
}

// withDatabase is address with another database.
func withDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Path = "/" + name
	return u.String()
}
