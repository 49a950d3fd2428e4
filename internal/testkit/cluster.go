package testkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/nexero-vr/nexero/internal/devstack"
)

// URLVariable names the environment variable with the address of the run's
// cluster: any database of it, as a user who may create others.
const URLVariable = "NEXERO_TEST_DATABASE_URL"

// Cluster is a PostgreSQL server in a directory of its own that is made for
// tests and thrown away. It ends with the process that started it.
type Cluster struct {
	server   *devstack.Postgres
	dir      string
	guard    *exec.Cmd
	guardEnd io.WriteCloser // the guard acts when this closes without a word
}

// StartCluster starts a cluster in a new directory below parent; an empty parent
// lets it choose. A machine without PostgreSQL gets a copy downloaded if
// fetchCommand says how this program calls [devstack.FetchMain]. The caller stops
// the cluster.
func StartCluster(ctx context.Context, parent string, log *slog.Logger, fetchCommand ...string) (*Cluster, error) {
	if parent == "" {
		parent = fastParent()
	}
	dir, err := os.MkdirTemp(parent, "nexero-cluster-")
	if err != nil {
		return nil, fmt.Errorf("start test cluster: %w", err)
	}
	c := &Cluster{dir: dir}
	if err := c.start(ctx, log, fetchCommand); err != nil {
		return nil, fmt.Errorf("start test cluster: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	return c, nil
}

// start fills c. When it fails nothing is left but the directory.
func (c *Cluster) start(ctx context.Context, log *slog.Logger, fetchCommand []string) error {
	// The server may run as another user, who has to pass through.
	if err := os.Chmod(c.dir, 0o711); err != nil { //nolint:gosec // x only: nothing can be listed
		return err
	}
	// The guard comes first, so that there is no moment without one.
	if err := c.startGuard(ctx); err != nil {
		return err
	}
	server, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{
		DataDir:      filepath.Join(c.dir, "data"),
		FetchCommand: fetchCommand,
		Settings:     settings(),
		Log:          log,
	})
	if err != nil {
		return errors.Join(err, c.guardEnd.Close(), c.guard.Wait())
	}
	c.server = server
	return nil
}

// fastParent is a file system in memory when there is a roomy one: cloning a
// database makes hundreds of small files, five times as fast there as on a disk.
// It loses nothing that tests rely on, since a killed server's files stay.
// Empty is the system's directory for temporary files.
func fastParent() string {
	const memory, roomy = "/dev/shm", 2 << 30
	var stat syscall.Statfs_t
	if runtime.GOOS != "linux" || syscall.Statfs(memory, &stat) != nil {
		return ""
	}
	if stat.Bavail*uint64(stat.Bsize) < roomy {
		return ""
	}
	return memory
}

// settings are for many short-lived databases. What the worker demands of a
// database, fsync and synchronous_commit, stays on.
func settings() map[string]string {
	return map[string]string{
		"autovacuum_naptime": "1h",
		"checkpoint_timeout": "1h",
		"max_connections":    "300",
		"max_wal_senders":    "0",
		"max_wal_size":       "512MB",
		"shared_buffers":     "128MB",
		"wal_level":          "minimal",
	}
}

// guardScript waits for a word from us. Without one we are dead, and it ends the
// server that runs in our directory and removes the directory.
const guardScript = `
read -r word && exit 0
dir=$1
runs() { pid=$(head -n 1 "$dir/data/cluster/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
for signal in INT QUIT; do
	runs && kill -s "$signal" "$pid"
	for i in 1 2 3 4 5 6 7 8 9 10; do runs || break; sleep 1; done
done
rm -rf "$dir"
`

// startGuard starts the process that outlives us. It is in a session of its own,
// so that Ctrl-C does not reach it.
func (c *Cluster) startGuard(ctx context.Context) error {
	//nolint:gosec // the script is ours, and so is its argument
	guard := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", guardScript, "nexero-cluster-guard", c.dir)
	guard.Dir = "/"
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return err
	}
	c.guard, c.guardEnd = guard, stdin
	return nil
}

// URL is the address of the cluster's maintenance database, for URLVariable.
func (c *Cluster) URL() string { return c.server.DatabaseURL("postgres") }

// Stop ends the server and removes its directory.
func (c *Cluster) Stop(ctx context.Context) error {
	err := c.server.Stop(ctx)
	if err == nil {
		err = os.RemoveAll(c.dir)
	}
	if err == nil {
		_, err = io.WriteString(c.guardEnd, "done\n")
	}
	// Without the word the guard tries what we could not do.
	return errors.Join(err, c.guardEnd.Close(), c.guard.Wait())
}
