package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// Database is the database that URL names; it is made at the first start.
	Database = "nexero"

	loopback = "127.0.0.1"
)

// PostgresConfig says how the private PostgreSQL server runs.
type PostgresConfig struct {
	// DataDir holds the cluster and what is needed to find it again. It is made
	// when missing. As root it must be reachable by an unprivileged user.
	// Required.
	DataDir string
	// BinDir holds the server's programs; empty searches the machine.
	BinDir string
	// FetchCommand is the arguments with which this program calls [FetchMain] and
	// does nothing else. Set, binaries are downloaded when the machine has none.
	FetchCommand []string
	// CacheDir keeps downloaded binaries; empty is the user's cache directory, and
	// for root one below /var/cache.
	CacheDir string
	// Port is the port to listen on; 0 takes the one it had before, else a free
	// one, and so does a port that is taken.
	Port int
	// Settings are server parameters on top of the defaults, as in
	// postgresql.conf. They apply to a server that is started, not to one that
	// is found running.
	Settings map[string]string
	// Log gets the server's messages. Required.
	Log *slog.Logger
}

// Postgres is a PostgreSQL server on loopback that belongs to this process. Its
// methods are safe for concurrent use.
type Postgres struct {
	files    files
	lock     *dirLock
	log      *slog.Logger
	password string
	port     int
	process  *process

	stopping sync.Once
	stopped  chan struct{}
	stopErr  error // valid once stopped is closed
}

// StartPostgres starts the server of cfg.DataDir, makes its cluster first if
// there is none, and returns when it takes connections: after a crash that can
// take as long as recovery does. A server that outlived the process that started
// it is taken over. It fails with ErrInUse when a living process owns the
// directory and with ErrNoPostgres when no server program fits.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	p, err := startPostgres(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start postgresql on %s: %w", cfg.DataDir, err)
	}
	return p, nil
}

// startPostgres owns the lock from the moment it is taken: on every way out it is
// either free or belongs to the server that is returned.
func startPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	files, err := openFiles(cfg.DataDir, account)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(files.dir)
	if err != nil {
		return nil, err
	}
	p := &Postgres{files: files, lock: lock, log: cfg.Log.With("component", "postgresql"), stopped: make(chan struct{})}
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if err := p.ensureDatabase(ctx); err != nil {
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// start takes over a server or launches one. The order matters: nothing is looked
// for, made or started before the directory proved to be ours.
func (p *Postgres) start(ctx context.Context, cfg PostgresConfig) error {
	major, err := p.files.major()
	if err != nil {
		return err
	}
	bin, err := p.findOrFetch(ctx, cfg, major)
	if err != nil {
		return err
	}
	if major == 0 {
		p.log.InfoContext(ctx, "making a postgresql cluster", "data_dir", p.files.dir, "version", bin.major)
		if err := p.files.create(ctx, bin); err != nil {
			return fmt.Errorf("make cluster: %w", err)
		}
	}
	if p.password, err = p.files.password(); err != nil {
		return err
	}
	found, err := p.attach(ctx)
	if err != nil || found {
		return err
	}
	return p.launch(ctx, bin, cmp.Or(cfg.Port, p.files.lastPort()), cfg.Settings)
}

// findOrFetch prefers any fitting server of the machine to a download. A given
// directory is the only place.
func (p *Postgres) findOrFetch(ctx context.Context, cfg PostgresConfig, major int) (binaries, error) {
	places := search{account: p.files.account, binDir: cfg.BinDir, major: major, patterns: places()}
	bin, err := places.find(ctx)
	if err == nil || len(cfg.FetchCommand) == 0 || cfg.BinDir != "" {
		return bin, err
	}
	fetcher, fetchErr := newFetcher(p.files.account, cfg)
	if fetchErr == nil {
		p.log.InfoContext(ctx, "no postgresql server here, downloading one", "cache_dir", fetcher.dir)
		places.binDir, fetchErr = fetcher.fetch(ctx, major)
	}
	if fetchErr != nil {
		return binaries{}, errors.Join(err, fetchErr)
	}
	return places.find(ctx)
}

// defaults suit a developer's machine. Durability is not among what may be
// traded: the server's own defaults keep it.
func defaults() map[string]string {
	return map[string]string{
		"autovacuum_naptime": "15s",
		"checkpoint_timeout": "15min",
		"max_wal_size":       "2GB",
		// Its messages become ours: no second time stamp, and no statement or
		// key, which may hold what clients sent.
		"log_error_verbosity":     "terse",
		"log_line_prefix":         "",
		"log_min_error_statement": "panic",
		"shared_buffers":          "256MB",
		"timezone":                "UTC",
	}
}

// arguments is the server's command line. What makes the server private comes
// last and cannot be overridden.
func (p *Postgres) arguments(port int, settings map[string]string) []string {
	all := defaults()
	maps.Copy(all, settings)
	maps.Copy(all, map[string]string{
		"listen_addresses":        loopback,
		"logging_collector":       "off",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
	})
	args := []string{"-D", p.files.cluster()}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}

// launch starts the server on a wanted port or, when that is taken or 0, on a
// free one. Nobody can hold a free port for it, so a lost race is repeated.
func (p *Postgres) launch(ctx context.Context, bin binaries, port int, settings map[string]string) error {
	if err := p.awaitVacancy(ctx); err != nil {
		return err
	}
	const attempts = 5
	var err error
	for range attempts {
		if port, err = freePort(ctx, port); err != nil {
			return err
		}
		var proc *process
		proc, err = spawn(ctx, p.files, p.log, bin.path("postgres"), p.arguments(port, settings))
		if err != nil {
			return err
		}
		p.port, p.process = port, proc
		if err = p.awaitReady(ctx); err == nil {
			proc.wanted.Store(true)
			p.log.InfoContext(ctx, "postgresql started", "port", port, "pid", proc.pid, "version", bin.major)
			return p.files.rememberPort(port)
		}
		err = errors.Join(err, proc.stop(context.WithoutCancel(ctx), p.log))
		if !proc.said("Address already in use") {
			return err
		}
		port = 0
	}
	return err
}

// freePort returns wanted if it is free, else any free port.
func freePort(ctx context.Context, wanted int) (int, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(wanted)))
	if errors.Is(err, syscall.EADDRINUSE) && wanted != 0 {
		listener, err = listen.Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	}
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(errors.New("find a free port: not a tcp listener"), listener.Close())
	}
	return address.Port, listener.Close()
}

// URL is the address of the database nexero, with the password: treat it as a
// secret.
func (p *Postgres) URL() string { return p.DatabaseURL(Database) }

// DatabaseURL is the address of another database of the server.
func (p *Postgres) DatabaseURL(name string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, p.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(p.port)),
		Path:     "/" + name,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID is the number of the server's first process.
func (p *Postgres) PID() int { return p.process.pid }

// Stop ends the server: open transactions are rolled back, everything is
// written, the directory is free. When ctx ends first, or after 30 seconds, the
// server is ended at once; it then recovers at the next start, and Stop says so.
// It can be called again, then waiting for the same stop.
func (p *Postgres) Stop(ctx context.Context) error {
	p.stopping.Do(func() {
		go func() {
			defer close(p.stopped)
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if p.stopErr = p.process.stop(ctx, p.log); p.process.running() {
				return // its directory is not free
			}
			p.stopErr = errors.Join(p.stopErr, p.lock.release())
		}()
	})
	<-p.stopped // bounded: see process.stop
	if p.stopErr != nil {
		return fmt.Errorf("stop postgresql: %w", p.stopErr)
	}
	return nil
}
