package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/devstack"
)

// database is the stand's PostgreSQL: devstack finds and starts it, faults end
// it behind devstack's back. Its methods may be called at the same time.
type database struct {
	dir      string
	port     int
	settings map[string]string
	log      *slog.Logger

	mu     sync.Mutex
	server *devstack.Postgres
	frozen []int // processes that were stopped
}

func newDatabase(dir string, addresses *addresses, log *slog.Logger) (*database, error) {
	address, err := addresses.take()
	if err != nil {
		return nil, err
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	return &database{dir: dir, port: port, log: log, settings: map[string]string{
		"shared_buffers": "64MB",
		// Its disk is small; see databaseDiskBytes.
		"max_wal_size": "96MB", "min_wal_size": "32MB",
		// Locks and what holds them are looked at after each round.
		"deadlock_timeout": "500ms",
		// A client that connects while the server ends, and says nothing because
		// its line is held, is waited for so long. Nothing else ends it, and a
		// minute is longer than faults wait for an end.
		"authentication_timeout": "8s",
	}}, nil
}

// start starts the server, after its end with the recovery that it needs.
func (d *database) start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		if alive(d.server.PID()) {
			return nil
		}
		// It has ended; this gives its directory free.
		if err := d.server.Stop(ctx); err != nil {
			d.log.WarnContext(ctx, "postgresql had ended badly", "error", err)
		}
		d.server = nil
	}
	server, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{
		DataDir: d.dir, Port: d.port, Settings: d.settings, Log: d.log,
	})
	if err != nil {
		return err
	}
	d.server = server
	return nil
}

// address is where the server listens, whether or not it is there.
func (d *database) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)) }

// url is where clients find the database nexero. It is empty before the first
// start.
func (d *database) url() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return ""
	}
	return d.server.URL()
}

// endPatience is longer than pg_ctl itself waits: a stop in order writes all that
// is in memory, and the disk may have other work to do.
const endPatience = 90 * time.Second

// end ends the server by a signal to its first process: SIGINT stops it in
// order, SIGQUIT is `pg_ctl stop -m immediate`, SIGKILL is what it looks like.
func (d *database) end(ctx context.Context, sig syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	pid := d.server.PID()
	if err := signalPID(pid, sig); err != nil {
		return fmt.Errorf("%s to postgresql: %w", sig, err)
	}
	return poll(ctx, endPatience, "the end of postgresql", func() (bool, error) { return !alive(pid), nil })
}

// killBackend kills the server process of one client, the pick-th modulo their
// number: PostgreSQL then ends all others and recovers by itself.
//
// A server that is away, by another fault, has none: that is no error.
func (d *database) killBackend(ctx context.Context, pick int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*lookPatience)
	defer cancel()
	db, err := d.connect(ctx)
	if err != nil {
		return nil
	}
	defer func() { _ = db.Close(ctx) }()
	rows, err := db.Query(ctx, `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid`)
	if err != nil {
		return nil
	}
	clients, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(clients) == 0 {
		return nil
	}
	return signalPID(clients[pick%len(clients)], syscall.SIGKILL)
}

// freeze stops all processes of the server where they are.
func (d *database) freeze(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	// The first process goes first: it would start others.
	first := d.server.PID()
	d.frozen = append(d.frozen, first)
	if err := signalPID(first, syscall.SIGSTOP); err != nil {
		return err
	}
	others, err := children(ctx, first)
	errs := []error{err}
	for _, pid := range others {
		d.frozen = append(d.frozen, pid)
		errs = append(errs, signalPID(pid, syscall.SIGSTOP))
	}
	return errors.Join(errs...)
}

// thaw lets them go on.
func (d *database) thaw() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, pid := range d.frozen {
		errs = append(errs, signalPID(pid, syscall.SIGCONT))
	}
	d.frozen = nil
	return errors.Join(errs...)
}

// running reports whether the server is there and not frozen.
func (d *database) running() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server != nil && len(d.frozen) == 0 && alive(d.server.PID())
}

// connect opens a connection of the harness's own, which the caller closes.
func (d *database) connect(ctx context.Context) (*pgx.Conn, error) {
	settings, err := pgx.ParseConfig(d.url())
	if err != nil {
		return nil, err
	}
	settings.ConnectTimeout = lookPatience
	settings.RuntimeParams["application_name"] = "chaos"
	return pgx.ConnectConfig(ctx, settings)
}

// stop ends the server in order.
func (d *database) stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return nil
	}
	err := d.server.Stop(ctx)
	d.server = nil
	return err
}

// signalPID reaches a process that may have ended meanwhile.
func signalPID(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// alive reports whether a process is there. devstack waits for its server, so a
// dead one does not stay as a zombie.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// children are the processes that a process has started itself.
func children(ctx context.Context, parent int) ([]int, error) {
	output, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for line := range strings.Lines(string(output)) {
		var pid, of int
		if _, err := fmt.Sscan(line, &pid, &of); err == nil && of == parent {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
