package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/sim"
	"github.com/nexero-vr/nexero/internal/version"
)

// newUp makes the command; its demo plays tours.
func newUp(env []string, tours sim.Options) *cobra.Command {
	command := &cobra.Command{
		Use:   "up",
		Short: "Run the pipeline, or part of it, in this process",
		Long: `Run the pipeline in one process, with a private NATS server and a private
PostgreSQL in the data directory, until Ctrl-C. What is stored is kept.

With --services only some parts run; they find the others through
NEXERO_NATS_URL and NEXERO_DATABASE_URL.

With --demo it then posts invented tours through its own HTTP address, waits
until they are in the aggregates, checks them against what was invented and
prints the tables that analysts read. Every start invents other tours, so the
next one adds to this. On a terminal only warnings are logged in the meantime,
unless --log-level says otherwise.`,
		Args: cobra.NoArgs,
	}
	registered := config.Register[config.Up](command.Flags())
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		if registered != nil {
			return registered
		}
		cfg, err := config.Load[config.Up](cmd.Flags(), env)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return runUp(cmd, env, cfg, tours)
	}
	return command
}

func runUp(cmd *cobra.Command, env []string, cfg *config.Up, tours sim.Options) error {
	if cfg.Parts.Demo {
		if err := demoFits(cfg); err != nil {
			return &exitError{code: exitUsage, err: err}
		}
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	reloader, err := newUpReloader(cmd, env, cfg, obs.IsTerminal(stderr))
	if err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	log, err := obs.NewLogger(stderr, obs.Logging{
		Format: obs.Format(cfg.Log.Format), Level: reloader.Level, Terminal: obs.IsTerminal(stderr),
		Version: version.Get().Version, Environment: cfg.Process.Environment,
	})
	if err != nil {
		return err
	}
	reloader.Log = log
	ctx, hangups := lifecycle.CatchHangups(cmd.Context())
	defer hangups.Stop()
	look := newLook(stdout, env)
	if cfg.Parts.Demo {
		stop, err := announce(ctx, stdout, cfg)
		if err != nil {
			return err
		}
		defer stop()
	}
	err = local.Up(ctx, cfg, log, local.Options{
		FetchCommand: []string{fetchCommand},
		Reloader:     reloader, Hangups: hangups,
		Ready: func(ctx context.Context, run local.RunFile) {
			p := &printer{w: stdout}
			if cfg.Parts.Demo {
				d := demo{cfg: cfg, run: run, log: log, printer: p, bars: stderr, look: look}
				if err := d.play(ctx, tours); ctx.Err() == nil && err != nil {
					p.line("\n%s\nThe demo did not get through: %v\nThe pipeline runs nevertheless.\n", look.alarm("Sorry."), err)
				}
			}
			if ctx.Err() != nil {
				return // it stops: addresses are of no use
			}
			welcome(p, look, cfg.Local.DataDir, run)
			if p.err != nil {
				log.LogAttrs(ctx, slog.LevelWarn, "welcome not printed", slog.Any("error", p.err))
			}
		},
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; stop what listens there, or choose another --listen or --metrics-listen", err)
	}
	return err
}

// demoFits says why tours cannot be shown to be invented and counted here.
func demoFits(cfg *config.Up) error {
	if cfg.Process.Environment == "production" {
		return errors.New("--demo posts invented tours, which must not meet real ones: it does not run with --environment production")
	}
	for _, service := range []string{"ingest", "worker"} {
		if !slices.Contains(cfg.Parts.Services, service) {
			return fmt.Errorf("--demo needs the service %s in --services", service)
		}
	}
	return nil
}

// upLevel is the lowest level that is logged. In a demo a person reads what is
// printed, and routine would push it out of sight.
func upLevel(cmd *cobra.Command, env []string, cfg *config.Up, terminal bool) (slog.Level, error) {
	if !cfg.Parts.Demo || !terminal {
		return cfg.Log.Level, nil
	}
	chosen, err := config.Chosen[config.Up](cmd.Flags(), env, "log_level")
	if err != nil || chosen {
		return cfg.Log.Level, err
	}
	return max(cfg.Log.Level, slog.LevelWarn), nil
}

// newUpReloader returns what takes changed settings; its Log is still missing.
func newUpReloader(cmd *cobra.Command, env []string, cfg *config.Up, terminal bool) (*daemon.Reloader[config.Up], error) {
	// A copy, since the pipeline notes in cfg where its private servers are.
	running := *cfg
	r := &daemon.Reloader[config.Up]{Running: &running, Level: new(slog.LevelVar)}
	lowest, err := upLevel(cmd, env, cfg, terminal)
	if err != nil {
		return nil, err
	}
	r.Level.Set(lowest)
	r.Load = func() (*config.Up, error) {
		fresh, err := config.Load[config.Up](cmd.Flags(), env)
		if err != nil {
			return nil, err
		}
		fresh.Log.Level, err = upLevel(cmd, env, fresh, terminal)
		return fresh, err
	}
	running.Log.Level = lowest
	r.LevelOf = func(cfg *config.Up) slog.Level { return cfg.Log.Level }
	return r, nil
}

// announce says that something happens, since the first start takes seconds, and
// sees to it that the stop is noticed as well: stop prints the last line.
func announce(ctx context.Context, w io.Writer, cfg *config.Up) (stop func(), err error) {
	if _, err := fmt.Fprintf(w, "Nexero starts: %s; data in %s\n", strings.Join(cfg.Parts.Services, ", "), cfg.Local.DataDir); err != nil {
		return nil, err
	}
	// Whoever reads along may be gone by then, which is no reason not to stop.
	noticed := context.AfterFunc(ctx, func() { _, _ = fmt.Fprintln(w, "\nStopping. What was acknowledged stays.") })
	return func() {
		if !noticed() {
			_, _ = fmt.Fprintf(w, "Stopped. The data is still in %s.\n", cfg.Local.DataDir)
		}
	}, nil
}

// welcome tells a person how to get in.
func welcome(p *printer, look look, dataDir string, run local.RunFile) {
	p.line("\n%s Ctrl-C stops it; nothing is deleted.\n\n", look.bold("Nexero is up."))
	for _, line := range []struct{ label, value string }{
		{"post to", run.URL},
		{"read from", run.QueryURL},
		{"with key", run.APIKey},
		{"metrics", run.MetricsURL},
		{"queue", run.NATSURL},
		{"data in", dataDir},
		{"database", psql(run.DatabaseURL)},
	} {
		if line.value != "" {
			p.line("  %-9s %s\n", line.label, line.value)
		}
	}
	if run.DatabaseURL != "" {
		p.line("  %-9s %s\n", "in it", tryQuery)
	}
	if run.URL != "" {
		p.line(tryPost, "try it", run.URL, run.APIKey, time.Now().UTC().Format(time.RFC3339))
	}
	if run.DatabaseURL != "" && run.NATSURL != "" {
		p.line("\n  %-9s %s verify --data-dir '%s'\n", "check it", os.Args[0], dataDir)
	}
	p.line("\n")
}

// What a person can copy.
const (
	tryQuery = `\dv+ analytics.*    lists the views; docs/analytics.md explains them
            SELECT day, property, zone, visits, dwell_p50_s
            FROM analytics.zones_daily ORDER BY day DESC, visits DESC LIMIT 10;`
	tryPost = `
  %-9s curl %s/api/v1/unreal/tracking/batch \
              -H 'X-API-Key: %s' \
              -d '{"session_id":"first-tour","events":[
                   {"event_type":"zone_enter","zone_name":"kitchen",
                    "timestamp":"%s"}]}'
`
)

func psql(url string) string {
	if url == "" {
		return ""
	}
	return "psql '" + url + "'"
}
