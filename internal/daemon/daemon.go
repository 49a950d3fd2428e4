// Package daemon is what the mains of the services have in common: command
// line, logger, metrics listener, signals and exit code.
//
// A service's main names its configuration and how to build the service from
// it; everything around that is the same for all and stands here once.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/version"
)

// Exit codes of a service.
const (
	// ExitOK is a service that served and stopped in order.
	ExitOK = 0
	// ExitFailed is a service that failed, or could not stop in order.
	ExitFailed = 1
	// ExitUsage is a command line or a setting that makes no sense.
	ExitUsage = 2
)

// healthTimeout bounds --check-health.
const healthTimeout = 3 * time.Second

// Service is a built service that was not started yet, with configuration T.
type Service[T any] struct {
	// Run serves until its context ends, and returns when it has drained.
	Run func(ctx context.Context) error
	// StopDeadline is the longest time that Run takes after its context has
	// ended, all that it stops one after the other included. 0 is a little more
	// than the drain timeout.
	StopDeadline time.Duration
	// Checks are what must hold for it to be ready.
	Checks []obs.Check
	// Reload takes over the settings that may change while the service runs,
	// which are those tagged so. It is called by one goroutine at a time, while
	// Run runs. After an error the service runs on as before. Nil for a service
	// without such settings; the log level is not its business.
	Reload func(ctx context.Context, cfg *T) error
}

// Program is a service as its main describes it, with configuration T.
type Program[T any] struct {
	// Name is the program's name in help and log lines.
	Name string
	// Common returns the settings that every service has.
	Common func(cfg *T) (config.Process, config.Log)
	// Build connects what the service needs. It waits for a queue that does
	// not answer yet, until ctx ends.
	Build func(ctx context.Context, cfg *T, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (Service[T], error)
}

// Main runs p with a command line and an environment until a signal ends it,
// and returns the exit code.
func Main[T any](p Program[T], args, env []string, stdout, stderr io.Writer) int {
	cfg, action, err := config.Parse[T](p.Name, args, env, stdout)
	if err != nil {
		complain(stderr, p.Name, err)
		return ExitUsage
	}
	switch action {
	case config.ActionHelp:
		return ExitOK
	case config.ActionVersion:
		err = printLine(stdout, version.Get().String())
	case config.ActionCheckConfig:
		err = config.Print(stdout, cfg)
	case config.ActionCheckHealth:
		process, _ := p.Common(cfg)
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		defer cancel()
		err = obs.CheckHealth(ctx, process.MetricsListen)
	case config.ActionRun:
		err = serve(p, cfg, func() (*T, error) {
			fresh, _, err := config.Parse[T](p.Name, args, env, io.Discard)
			return fresh, err
		}, stderr)
	}
	if err != nil {
		complain(stderr, p.Name, err)
		return ExitFailed
	}
	return ExitOK
}

func printLine(w io.Writer, line string) error {
	_, err := fmt.Fprintln(w, line)
	return err
}

// complain tells a person on a terminal what the exit code cannot. It begins with
// the program's name, which is also how an error of the service begins, and of the
// package that is called like it; it is said once.
func complain(stderr io.Writer, name string, err error) {
	text := err.Error()
	for again := true; again; {
		text, again = strings.CutPrefix(text, name+": ")
	}
	// Without a standard error there is nobody to tell.
	_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, text)
}

// serve runs p with cfg; load reads the configuration anew.
func serve[T any](p Program[T], cfg *T, load func() (*T, error), stderr io.Writer) (err error) {
	process, logging := p.Common(cfg)
	level := new(slog.LevelVar)
	level.Set(logging.Level)
	log, err := obs.NewLogger(stderr, obs.Logging{
		Format: obs.Format(logging.Format), Level: level, Terminal: obs.IsTerminal(stderr),
		Service: p.Name, Version: version.Get().Version, Environment: process.Environment,
	})
	if err != nil {
		return err
	}
	registry, err := obs.NewRegistry(version.Get())
	if err != nil {
		return err
	}
	reports, err := NewReports(p.Name, &process, registry)
	if err != nil {
		return err
	}
	// Last of all: what ends the process is reported too.
	defer func() {
		reports.Report("the service failed", err)
		flushing, cancel := context.WithTimeout(context.Background(), obs.StopReports)
		defer cancel()
		reports.Stop(flushing)
	}()
	return run(p, &process, reports.Logger(log), registry, &Reloader[T]{
		Load: load, Running: cfg,
		Level: level, LevelOf: func(cfg *T) slog.Level { _, logging := p.Common(cfg); return logging.Level },
	})
}

// run builds the service, runs it until a signal comes, and stops everything in
// order. It completes the reloader, which has the configuration to run with.
func run[T any](p Program[T], process *config.Process, log *slog.Logger, registry *prometheus.Registry, reloader *Reloader[T]) (err error) {
	ctx, cancel := lifecycle.SignalContext(context.Background())
	defer cancel()
	ctx, hangups := lifecycle.CatchHangups(ctx)
	defer hangups.Stop()
	group := lifecycle.NewGroup(log)
	defer func() { err = errors.Join(err, group.Close()) }()
	tracing, err := NewTracing(ctx, p.Name, process, log, registry)
	if err != nil {
		return err
	}
	// It outlives whatever makes spans.
	if process.Telemetry.TraceEndpoint != "" {
		group.Add(lifecycle.Service{Name: "traces", Stop: tracing.Stop, Deadline: obs.StopTracing})
	}
	service, err := p.Build(ctx, reloader.Running, log, registry, tracing.Tracer())
	if err != nil {
		if ctx.Err() != nil {
			// A start that is called off has not failed: nothing was taken on yet.
			log.LogAttrs(ctx, slog.LevelInfo, "stopped before it was ready",
				slog.String("reason", context.Cause(ctx).Error()), slog.Any("waited_for", err))
			return nil
		}
		return err
	}
	if err := registry.Register(obs.NewReadiness(service.Checks)); err != nil {
		return fmt.Errorf("register readiness: %w", err)
	}
	metrics, err := obs.Listen(ctx, process.MetricsListen, registry, service.Checks, log)
	if err != nil {
		return err
	}
	// Metrics come first, so that they stop last: a drain can be watched.
	group.Add(lifecycle.Service{Name: "metrics", Run: metrics.Run})
	group.Add(lifecycle.Service{
		Name: p.Name, Run: service.Run,
		Deadline: cmp.Or(service.StopDeadline, process.DrainTimeout) + time.Second,
	})
	reloader.Apply, reloader.Log = service.Reload, log
	group.Add(reloader.Service(hangups))
	return group.Run(ctx)
}
