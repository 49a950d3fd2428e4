package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/config"
)

// tenant is whose headsets post.
const tenant = "chaos"

// How many there are of each.
const (
	ingests = 2
	workers = 3
)

// stand is one whole pipeline in processes, with data of its own.
type stand struct {
	dir      string
	programs programs
	log      *slog.Logger
	logFile  io.Closer
	addrs    *addresses
	extra    []string // settings of all services

	nats     *natsServer
	queue    *process
	cluster  *cluster // nil: there is one NATS server
	database *database
	services []*service

	// natsDisk and databaseDisk are nil where nothing can be mounted.
	natsDisk, databaseDisk *disk

	// expiredDays is how many days that are over tours were sent to; expires says
	// that something of this round is to be given up before its books are balanced.
	// Both belong to the run's goroutine.
	expiredDays int
	expires     bool
	// damaged are messages that nobody can read, and whether the queue confirmed
	// them. It belongs to the run's goroutine.
	damaged map[string]bool

	key   string // of the headsets
	keyID string

	mu      sync.Mutex
	alone   []string // processes that ended and nobody had asked for it
	revoked []debt   // keys that nobody may post with any more
	// refusals are what PostgreSQL was made to refuse in this round.
	refusals []refusal
}

// newStand makes a stand in a new directory below parent and starts it. What
// was started has ended again when it fails.
// extra are settings on top of those that every stand has.
func newStand(ctx context.Context, programs programs, parent string, clustered bool, extra ...string) (s *stand, err error) {
	dir, err := os.MkdirTemp(parent, "stand-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs as another user when we are root, and has to pass.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // nothing in it is open to others
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(dir, "postgres.log"))
	if err != nil {
		return nil, err
	}
	s = &stand{
		dir: dir, programs: programs, addrs: newAddresses(), logFile: logFile, extra: extra,
		log: slog.New(slog.NewJSONHandler(logFile, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if clustered {
		s.cluster = &cluster{}
	}
	if err := s.startStores(ctx); err != nil {
		return nil, errors.Join(err, s.destroy(context.WithoutCancel(ctx)))
	}
	if err := s.startServices(ctx); err != nil {
		return nil, errors.Join(err, s.destroy(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *stand) startStores(ctx context.Context) (err error) {
	if err := s.mountDisks(ctx); err != nil {
		return err
	}
	if s.nats, err = newNATSServer(s.dir, s.addrs); err != nil {
		return err
	}
	if s.database, err = newDatabase(filepath.Join(s.dir, "postgres"), s.addrs, s.log); err != nil {
		return err
	}
	s.queue = s.newProcess("nats", "nats-server", []string{"-c", s.nats.configPath}, nil)
	if err := s.startQueue(ctx); err != nil {
		return err
	}
	return s.database.start(ctx)
}

func (s *stand) startServices(ctx context.Context) error {
	if _, err := s.nexero(ctx, "migrate"); err != nil {
		return err
	}
	var err error
	if s.key, s.keyID, err = s.newKey(ctx, "headsets"); err != nil {
		return err
	}
	for n := range ingests {
		if err := s.addService(ctx, kindIngest, n); err != nil {
			return err
		}
	}
	for n := range workers {
		if err := s.addService(ctx, kindWorker, n); err != nil {
			return err
		}
	}
	if err := s.addService(ctx, kindQuery, 0); err != nil {
		return err
	}
	return s.raise(ctx)
}

// newKey makes an API key that may post for the tenant.
func (s *stand) newKey(ctx context.Context, name string) (key, id string, err error) {
	output, err := s.nexero(ctx, "keys", "create", "--tenant", tenant, "--name", name, "--scopes", "post,read")
	if err != nil {
		return "", "", err
	}
	key = strings.TrimSpace(output)
	parts := strings.Split(key, "_")
	if len(parts) < 4 {
		return "", "", fmt.Errorf("a key has %d parts", len(parts))
	}
	return key, parts[2], nil
}

// newProcess describes a process of the stand; it does not start it.
func (s *stand) newProcess(name, program string, args, settings []string) *process {
	return &process{
		name: name, program: s.programs.path(program), args: args,
		env:     append(cleanEnvironment(), settings...),
		logPath: filepath.Join(s.dir, name+".log"), endedAlone: s.endedAlone,
	}
}

// cleanEnvironment is the harness's own without any setting of the programs'.
func cleanEnvironment() []string {
	return slices.DeleteFunc(config.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "NEXERO_") })
}

func (s *stand) endedAlone(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = append(s.alone, fmt.Sprintf("%s ended by itself (%v), see %s.log", name, err, name))
}

// takeAlone returns what ended by itself since the last call.
func (s *stand) takeAlone() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	alone := s.alone
	s.alone = nil
	return alone
}

// all are the processes of the stand that are not PostgreSQL's, in the order in
// which they are started.
func (s *stand) all() []*process {
	var all []*process
	if s.queue != nil {
		all = append(all, s.queue)
	}
	if s.cluster != nil {
		all = append(all, s.cluster.peers...)
	}
	for _, service := range s.services {
		if service.process != nil {
			all = append(all, service.process)
		}
	}
	return all
}

// of returns the services of a kind.
func (s *stand) of(k kind) []*service {
	return slices.DeleteFunc(slices.Clone(s.services), func(v *service) bool { return v.kind != k })
}

// raisePatience bounds the wait until everything is ready. PostgreSQL may have
// to recover, and a service waits for both stores.
const raisePatience = 90 * time.Second

// raise starts what is dead, lets go on what is frozen, and waits until all of
// it is ready.
func (s *stand) raise(ctx context.Context) error {
	if err := s.database.thaw(); err != nil {
		return err
	}
	for _, p := range s.all() {
		if err := p.thaw(); err != nil {
			return err
		}
	}
	for _, service := range s.services {
		for _, on := range service.lines {
			on.Pass()
		}
	}
	if err := s.raiseQueue(); err != nil {
		return err
	}
	if err := s.database.start(ctx); err != nil {
		return err
	}
	for _, service := range s.services {
		if err := service.start(); err != nil {
			return err
		}
	}
	for _, service := range s.services {
		if err := poll(ctx, raisePatience, service.name+" to be ready", func() (bool, error) {
			err := service.ready(ctx)
			return err == nil, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// stopPatience is how long a service may take to stop: its drain time-out and
// what its last steps need.
const stopPatience = drainTimeout + 10*time.Second

// stopServices asks all services to stop at once, and says which did not leave
// in order.
func (s *stand) stopServices(ctx context.Context) []string {
	faults := make([]string, len(s.services))
	var group sync.WaitGroup
	for i, service := range s.services {
		group.Go(func() {
			status, err := service.terminate(ctx, stopPatience)
			switch {
			case err != nil:
				faults[i] = fmt.Sprintf("after SIGTERM %v", err)
			case status != 0:
				faults[i] = fmt.Sprintf("after SIGTERM %s exits %d, see %s.log", service.name, status, service.name)
			}
		})
	}
	group.Wait()
	return slices.DeleteFunc(faults, func(fault string) bool { return fault == "" })
}

// destroy ends everything at once. The data stays. What has ended is left alone,
// so it can be called again.
func (s *stand) destroy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	if s.database != nil {
		errs = append(errs, s.database.thaw())
	}
	for _, service := range s.services {
		for _, on := range service.lines {
			on.Stop()
		}
	}
	s.cluster.stop()
	for _, p := range slices.Backward(s.all()) {
		errs = append(errs, p.kill(ctx))
	}
	if s.database != nil {
		errs = append(errs, s.database.stop(ctx))
	}
	errs = append(errs, s.unmountDisks())
	if err := s.logFile.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// remove takes the data away.
func (s *stand) remove() error { return os.RemoveAll(s.dir) }
