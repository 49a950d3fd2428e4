package devstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// readyWait bounds a server that says nothing. One that says it is starting
	// up is waited for as long as recovery takes.
	readyWait = 60 * time.Second
	// vacancyWait bounds the wait for processes of a server whose first process
	// was killed: they notice within moments.
	vacancyWait = 20 * time.Second

	connectTimeout = 5 * time.Second
)

// attach takes over a server that is already running on the cluster: the one
// that a crash of ours left behind. found is false when there is none.
func (p *Postgres) attach(ctx context.Context) (found bool, err error) {
	file, ok, err := readPostmaster(p.files.cluster())
	if err != nil || !ok || !alive(file.pid) {
		return false, err // a stale file is the server's own business
	}
	if residenceOf(file.pid, p.files.cluster()) == livesElsewhere {
		// After a restart of the machine the number can belong to anybody.
		return false, nil
	}
	p.port, p.process = file.port, &process{pid: file.pid, cluster: p.files.cluster()}
	if err := p.awaitReady(ctx); err != nil {
		if !p.process.running() {
			return false, nil // it was on its way out
		}
		return false, fmt.Errorf("postmaster.pid names process %d: %w", file.pid, err)
	}
	p.log.InfoContext(ctx, "postgresql taken over", "port", p.port, "pid", file.pid)
	return true, nil
}

// awaitVacancy waits until no process of an earlier server works in the cluster,
// and then removes a postmaster.pid that names somebody else: the server itself
// would refuse to start because of it.
func (p *Postgres) awaitVacancy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, vacancyWait)
	defer cancel()
	ticker := time.NewTicker(pollTick)
	defer ticker.Stop()
	for {
		pids, known := processesIn(p.files.cluster())
		if !known {
			return nil // the server makes its own check
		}
		if len(pids) == 0 {
			return p.removeStrangersFile()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %v still work in %s: %w", pids, p.files.cluster(), ctx.Err())
		}
	}
}

// removeStrangersFile is reached only when nobody works in the cluster. A number
// that we know nothing about stays: the server refuses to start and says why.
func (p *Postgres) removeStrangersFile() error {
	file, ok, err := readPostmaster(p.files.cluster())
	if err != nil || !ok || residenceOf(file.pid, p.files.cluster()) != livesElsewhere {
		return err
	}
	return removeFile(filepath.Join(p.files.cluster(), "postmaster.pid"))
}

// awaitReady waits until the server takes connections and proves that it is the
// cluster's: only that one knows our password and reports our directory.
func (p *Postgres) awaitReady(ctx context.Context) error {
	deadline := time.Now().Add(readyWait)
	ticker := time.NewTicker(pollTick)
	defer ticker.Stop()
	for {
		dir, err := p.reportedDir(ctx)
		switch {
		case err == nil && dir == p.files.cluster():
			return nil
		case err == nil:
			return fmt.Errorf("port %d belongs to the server of %s", p.port, dir)
		case !p.process.running():
			return fmt.Errorf("the server ended: %s", p.process.output.last())
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !startingUp(err) && time.Now().After(deadline):
			return fmt.Errorf("not ready after %s: %w", readyWait, err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// reportedDir asks whoever listens on our port for the directory it serves.
func (p *Postgres) reportedDir(ctx context.Context) (dir string, err error) {
	err = withConn(ctx, p.DatabaseURL("postgres"), func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir)
	})
	return dir, err
}

// startingUp tells whether the server asks to come again later.
func startingUp(err error) bool {
	const cannotConnectNow = "57P03"
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == cannotConnectNow
}
