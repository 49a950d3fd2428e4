package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/version"
)

func newUp(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "up",
		Short: "Run the pipeline, or part of it, in this process",
		Long: `Run the pipeline in one process, with a private NATS server and a private
PostgreSQL in the data directory, until Ctrl-C. What is stored is kept.

With --services only some parts run; they find the others through
NEXERO_NATS_URL and NEXERO_DATABASE_URL.`,
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
		stderr := cmd.ErrOrStderr()
		log, err := obs.NewLogger(stderr, obs.Logging{
			Format: obs.Format(cfg.Log.Format), Level: cfg.Log.Level, Terminal: obs.IsTerminal(stderr),
			Version: version.Get().Version, Environment: cfg.Process.Environment,
		})
		if err != nil {
			return err
		}
		return local.Up(cmd.Context(), cfg, log, local.Options{
			FetchCommand: []string{fetchCommand},
			Ready: func(run local.RunFile) {
				if err := welcome(cmd.OutOrStdout(), cfg.Local.DataDir, run); err != nil {
					log.LogAttrs(cmd.Context(), slog.LevelWarn, "welcome not printed", slog.Any("error", err))
				}
			},
		})
	}
	return command
}

// welcome tells a person how to get in.
func welcome(w io.Writer, dataDir string, run local.RunFile) error {
	if _, err := fmt.Fprintf(w, "\nNexero is up. Data is in %s. Ctrl-C stops it; nothing is deleted.\n\n", dataDir); err != nil {
		return err
	}
	for _, line := range []struct{ label, value string }{
		{"post to", run.URL},
		{"with key", run.APIKey},
		{"metrics", run.MetricsURL},
		{"database", psql(run.DatabaseURL)},
		{"queue", run.NATSURL},
	} {
		if line.value == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %-9s %s\n", line.label, line.value); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(w, tryIt(run))
	return err
}

// tryIt is a command that posts one event, for a person to copy.
func tryIt(run local.RunFile) string {
	if run.URL == "" {
		return "\n"
	}
	return fmt.Sprintf(`
  try it    curl %s/api/v1/unreal/tracking/batch -H 'X-API-Key: %s' \
              -d '{"session_id":"first-tour","events":[{"event_type":"zone_enter","timestamp":"%s","zone_name":"kitchen"}]}'

`, run.URL, run.APIKey, time.Now().UTC().Format(time.RFC3339))
}

func psql(url string) string {
	if url == "" {
		return ""
	}
	return "psql '" + url + "'"
}
