package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/version"
)

// exitUsage is a command line or a setting that makes no sense. For verify it
// must differ from a mismatch, which pages someone.
const exitUsage = 2

// findPatience is how long a command waits for a pipeline that is starting.
const findPatience = 60 * time.Second

func newRoot(env []string) *cobra.Command {
	root := &cobra.Command{
		Use:           "nexero",
		Short:         "Event pipeline for VR property tours",
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	// A command line that makes no sense exits like a setting that does not.
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{code: exitUsage, err: err} })
	root.AddCommand(
		newUp(env, demoTours()), newStatus(env), newReplay(env), newSimulate(env), newVerify(env), newMigrate(env), newKeys(env), newQueue(env),
	)
	return root
}

// operator is what an operator's command has to work with.
type operator struct {
	cfg *config.CLI
	log *slog.Logger
}

// operate makes a command's RunE: it loads the configuration and passes it on.
func operate(command *cobra.Command, env []string, do func(cmd *cobra.Command, o operator, args []string) error) *cobra.Command {
	if positional := command.Args; positional != nil {
		command.Args = func(cmd *cobra.Command, args []string) error {
			if err := positional(cmd, args); err != nil {
				return &exitError{code: exitUsage, err: err}
			}
			return nil
		}
	}
	// A mistake in the tags of the configuration is a bug that any run shows.
	registered := config.Register[config.CLI](command.Flags())
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if registered != nil {
			return &exitError{code: exitUsage, err: registered}
		}
		cfg, err := config.Load[config.CLI](cmd.Flags(), env)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		stderr := cmd.ErrOrStderr()
		log, err := obs.NewLogger(stderr, obs.Logging{
			Format: obs.Format(cfg.Log.Format), Level: max(cfg.Log.Level, slog.LevelWarn), Terminal: obs.IsTerminal(stderr),
		})
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return do(cmd, operator{cfg: cfg, log: log}, args)
	}
	return command
}

// running finds the pipeline in the data directory.
func (o operator) running(ctx context.Context) (local.RunFile, error) {
	return local.FindRunFile(ctx, o.cfg.Local.DataDir, findPatience)
}

// databaseURL is the configured database, else the running pipeline's.
func (o operator) databaseURL(ctx context.Context) (string, error) {
	if url := o.cfg.Database.URL.Reveal(); url != "" {
		return url, nil
	}
	run, err := o.running(ctx)
	if err != nil {
		return "", err
	}
	if run.DatabaseURL == "" {
		return "", fmt.Errorf("the pipeline in %s has no database; set NEXERO_DATABASE_URL", o.cfg.Local.DataDir)
	}
	return run.DatabaseURL, nil
}

// connectQueue connects to the configured queue, else to the running pipeline's.
func (o operator) connectQueue(ctx context.Context) (*queue.Conn, error) {
	url := o.cfg.Queue.URL.Reveal()
	if url == "" {
		run, err := o.running(ctx)
		if err != nil {
			return nil, err
		}
		if url = run.NATSURL; url == "" {
			return nil, fmt.Errorf("the pipeline in %s has no queue; set NEXERO_NATS_URL", o.cfg.Local.DataDir)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Queue.RequestTimeout)
	defer cancel()
	return queue.Connect(ctx, queue.Config{
		URL: url, CredsFile: o.cfg.Queue.CredsFile, Replicas: o.cfg.Queue.Replicas,
		MaxBytes: int64(o.cfg.Queue.MaxBytes), AckWait: o.cfg.Queue.AckWait, RequestTimeout: o.cfg.Queue.RequestTimeout,
	}, o.log, nil, queue.Operator)
}
