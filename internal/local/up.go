package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/ingestd"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queryd"
	"github.com/nexero-vr/nexero/internal/version"
	"github.com/nexero-vr/nexero/internal/workerd"
)

// The parts that a process can run.
const (
	serviceNATS     = "nats"
	servicePostgres = "postgres"
	serviceIngest   = "ingest"
	serviceWorker   = "worker"
	serviceQuery    = "query"
)

// readyInterval is how often a starting pipeline looks whether it is ready.
const readyInterval = 20 * time.Millisecond

// lockPatience is how long a start waits for a data directory.
const lockPatience = 2 * time.Second

// storeDeadline is how long a stopping PostgreSQL or NATS server may take. A
// checkpoint after a heavy load takes its time.
const storeDeadline = 60 * time.Second

// Options are what Up needs beside the configuration.
type Options struct {
	// FetchCommand is how this program calls [devstack.FetchMain]; empty for a
	// program that cannot download PostgreSQL.
	FetchCommand []string
	// Ready is called once, when everything serves, with what run.json says. It
	// may take its time: nothing waits for it but the stop, which ends ctx.
	Ready func(ctx context.Context, run RunFile)
	// Reloader takes changed settings at each of Hangups, both nil for none. Up
	// sets its Apply.
	Reloader *daemon.Reloader[config.Up]
	Hangups  *lifecycle.Hangups
}

// Up runs the chosen services until ctx ends and stops them in order. That ctx
// ends while they start is no error.
func Up(ctx context.Context, cfg *config.Up, log *slog.Logger, options Options) (err error) {
	lock, err := lockDataDir(ctx, cfg.Local.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	// A run file from before a crash must not be taken for this process's own.
	if err := (RunFile{}).remove(cfg.Local.DataDir); err != nil {
		return fmt.Errorf("local: remove the old run file: %w", err)
	}
	registry, err := obs.NewRegistry(version.Get())
	if err != nil {
		return err
	}
	reports, err := daemon.NewReports("nexero", &cfg.Process, registry)
	if err != nil {
		return err
	}
	defer func() {
		reports.Report("the pipeline failed", err)
		flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), obs.StopReports)
		defer cancel()
		reports.Stop(flushing)
	}()
	log = reports.Logger(log)
	p := &pipeline{
		cfg: cfg, log: log, registry: registry, group: lifecycle.NewGroup(log),
		fetchCommand: options.FetchCommand, run: RunFile{PID: os.Getpid()},
	}
	// After Run this does nothing.
	defer func() { err = errors.Join(err, p.group.Close()) }() //nolint:contextcheck // it must outlast ctx
	if err := p.observe(ctx); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{
		p.startNATS, p.startPostgres, p.startWorker, p.startQuery, p.startIngest, p.startMetrics,
	} {
		if err := start(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // a start that is called off has not failed
			}
			return err
		}
	}
	p.group.Add(lifecycle.Service{
		Name: "run file",
		Run: func(ctx context.Context) error {
			if !p.awaitReady(ctx) {
				return nil
			}
			if err := p.run.write(cfg.Local.DataDir); err != nil {
				return err
			}
			options.Ready(ctx, p.run)
			<-ctx.Done()
			return nil
		},
		Stop: func(context.Context) error { return p.run.remove(cfg.Local.DataDir) },
	})
	if options.Reloader != nil {
		options.Reloader.Apply = p.reload
		p.group.Add(options.Reloader.Service(options.Hangups))
	}
	return p.group.Run(ctx)
}

// reload takes over the settings that may change while the parts run.
func (p *pipeline) reload(ctx context.Context, cfg *config.Up) error {
	var errs []error
	if p.ingest != nil {
		edge := cfg.Ingest()
		errs = append(errs, p.ingest.Reload(ctx, &edge))
	}
	if p.query != nil {
		reads := cfg.Query()
		errs = append(errs, p.query.Reload(ctx, &reads))
	}
	return errors.Join(errs...)
}

// observe starts traces, where they are asked for. They outlive whatever makes
// spans.
func (p *pipeline) observe(ctx context.Context) error {
	tracing, err := daemon.NewTracing(ctx, "nexero", &p.cfg.Process, p.log, p.registry)
	if err != nil {
		return err
	}
	p.tracer = tracing.Tracer()
	if p.cfg.Process.Telemetry.TraceEndpoint != "" {
		p.group.Add(lifecycle.Service{Name: "traces", Stop: tracing.Stop, Deadline: obs.StopTracing})
	}
	return nil
}

// lockDataDir makes the data directory if need be and takes it for this process.
func lockDataDir(ctx context.Context, dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // an unprivileged PostgreSQL must pass through
		return nil, fmt.Errorf("local: make the data directory: %w", err)
	}
	lock := flock.New(filepath.Join(dir, lockFileName))
	// Who looks for a run file shares the lock for an instant, so one failure
	// says nothing.
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	locked, err := lock.TryLockContext(ctx, pollInterval)
	switch {
	case locked:
		return lock, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("local: %s is used by another process; stop it, or choose another --data-dir", dir)
	default:
		return nil, fmt.Errorf("local: lock the data directory: %w", err)
	}
}

// pipeline is what one Up builds.
type pipeline struct {
	cfg      *config.Up
	log      *slog.Logger
	registry *prometheus.Registry
	group    *lifecycle.Group
	tracer   trace.Tracer
	checks   []obs.Check
	run      RunFile
	// query is nil where this process does not read, ingest where it takes no posts.
	query  *queryd.Query
	ingest *ingestd.Ingest

	fetchCommand []string
}

func (p *pipeline) runs(service string) bool {
	return slices.Contains(p.cfg.Parts.Services, service)
}

func (p *pipeline) startNATS(ctx context.Context) error {
	if !p.runs(serviceNATS) {
		p.run.NATSURL = p.cfg.Queue.URL.Reveal()
		return nil
	}
	password, err := keptSecret(filepath.Join(p.cfg.Local.DataDir, natsPasswordName), func() (string, error) { return rand.Text(), nil })
	if err != nil {
		return fmt.Errorf("local: password of the queue: %w", err)
	}
	server, err := devstack.StartNATS(ctx, devstack.NATSConfig{
		StoreDir: filepath.Join(p.cfg.Local.DataDir, "nats"),
		Password: password,
		MaxStore: int64(p.cfg.Queue.MaxBytes) + int64(p.cfg.Intake.SessionStateBytes) + keyBucketRoom,
		Log:      p.log,
	})
	if err != nil {
		return err
	}
	p.group.Add(lifecycle.Service{Name: "nats", Stop: server.Stop, Deadline: storeDeadline})
	p.run.NATSURL = server.URL()
	return p.cfg.Queue.URL.UnmarshalText([]byte(server.URL()))
}

// natsPasswordName is the file with the queue's password. Other users of the
// machine reach its port too.
const natsPasswordName = "nats-password"

// keyBucketRoom is what the store has beyond the event stream's limit, so that
// keys can be changed while the queue is full.
const keyBucketRoom = 1 << 30

func (p *pipeline) startPostgres(ctx context.Context) error {
	if !p.runs(servicePostgres) {
		p.run.DatabaseURL = p.cfg.Database.URL.Reveal()
		return nil
	}
	server, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{
		DataDir:      filepath.Join(p.cfg.Local.DataDir, "postgres"),
		FetchCommand: p.fetchCommand,
		Log:          p.log,
	})
	if err != nil {
		return err
	}
	p.group.Add(lifecycle.Service{Name: "postgres", Stop: server.Stop, Deadline: storeDeadline})
	p.run.DatabaseURL = server.URL()
	if err := p.cfg.Database.URL.UnmarshalText([]byte(server.URL())); err != nil {
		return err
	}
	// A private database belongs to this program, so its schema follows it.
	return postgres.Migrate(ctx, server.URL(), p.log)
}

func (p *pipeline) startWorker(ctx context.Context) error {
	if !p.runs(serviceWorker) {
		return nil
	}
	if err := p.needs(serviceWorker, "NEXERO_NATS_URL", p.run.NATSURL); err != nil {
		return err
	}
	if err := p.needs(serviceWorker, "NEXERO_DATABASE_URL", p.run.DatabaseURL); err != nil {
		return err
	}
	cfg := p.cfg.Worker()
	w, err := workerd.New(ctx, &cfg, p.log.With(slog.String("service", serviceWorker)), p.labelled(serviceWorker), p.tracer)
	if err != nil {
		return err
	}
	p.checks = append(p.checks, w.Checks()...)
	p.group.Add(lifecycle.Service{Name: serviceWorker, Run: w.Run, Deadline: w.StopDeadline() + time.Second})
	return nil
}

func (p *pipeline) startIngest(ctx context.Context) error {
	if !p.runs(serviceIngest) {
		return nil
	}
	if err := p.needs(serviceIngest, "NEXERO_NATS_URL", p.run.NATSURL); err != nil {
		return err
	}
	cfg := p.cfg.Ingest()
	i, err := ingestd.New(ctx, &cfg, p.log.With(slog.String("service", serviceIngest)), p.labelled(serviceIngest), p.tracer)
	if err != nil {
		return err
	}
	p.ingest = i
	p.checks = append(p.checks, i.Checks()...)
	p.group.Add(lifecycle.Service{Name: serviceIngest, Run: i.Run, Deadline: i.StopDeadline() + time.Second})
	if p.run.APIKey, err = p.ensureKey(ctx); err != nil {
		return err
	}
	if err := p.favour(i.Favour); err != nil {
		return err
	}
	p.run.URL = i.URL()
	return p.hostQuery(i)
}

// favour gives the pipeline's own key the higher rates of a service: what runs
// beside the pipeline, such as a replay, is no client to guard it from.
func (p *pipeline) favour(service func(keyID string) error) error {
	keyID, err := apikey.Parse(p.run.APIKey)
	if err != nil {
		return err
	}
	return service(keyID)
}

func (p *pipeline) startMetrics(ctx context.Context) error {
	// On a free port unless one was chosen: run.json says which.
	address := cmp.Or(p.cfg.Process.MetricsListen, "127.0.0.1:0")
	if err := p.registry.Register(obs.NewReadiness(p.checks)); err != nil {
		return fmt.Errorf("register readiness: %w", err)
	}
	server, err := obs.Listen(ctx, address, p.registry, p.checks, p.log)
	if err != nil {
		return err
	}
	p.group.Add(lifecycle.Service{Name: "metrics", Run: server.Run})
	p.run.MetricsURL = "http://" + server.Addr() + "/metrics"
	return nil
}

// awaitReady waits until every service could do its work, and reports whether
// that came before the end of ctx. Who finds a run file may post at once.
func (p *pipeline) awaitReady(ctx context.Context) bool {
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		waiting := slices.ContainsFunc(p.checks, func(c obs.Check) bool { return c.Ready() != nil })
		if !waiting {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// needs reports a service that cannot run alone.
func (p *pipeline) needs(service, variable, value string) error {
	if value != "" {
		return nil
	}
	return fmt.Errorf("local: the service %s needs %s, or the service that provides it in --services", service, variable)
}

// labelled keeps the metrics of two services in one process apart.
func (p *pipeline) labelled(service string) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, p.registry)
}
