package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
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
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{code: exitUsage, err: fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newUp(env, demoTours()), newStatus(env), newReplay(env), newSimulate(env), newVerify(env), newMigrate(env),
		newKeys(env), newTenants(env), newProperties(env), newQueue(env), newRejected(env),
	)
	for _, command := range append(root.Commands(), root) {
		if command.HasSubCommands() {
			group(command)
		}
	}
	return root
}

// group completes a command that only holds others: alone it shows its help, and
// a word that is none of them is an error.
func group(command *cobra.Command) {
	command.SuggestionsMinimumDistance = 2
	command.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := fmt.Sprintf("see %s --help", cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return &exitError{code: exitUsage, err: fmt.Errorf("%s has no command %q; %s", cmd.CommandPath(), args[0], hint)}
	}
	command.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// operator is what an operator's command has to work with.
type operator struct {
	cfg *config.CLI
	log *slog.Logger
}

// operate makes a command's RunE: it loads the configuration and passes it on.
func operate(command *cobra.Command, env []string, do func(cmd *cobra.Command, o operator, args []string) error) *cobra.Command {
	same := func(cfg *config.CLI) *config.CLI { return cfg }
	return operateWith(command, env, same, func(cmd *cobra.Command, o operator, _ *config.CLI, args []string) error {
		return do(cmd, o, args)
	})
}

// operateWith does the same for a command with settings of its own; cli returns
// the part that all of them have.
func operateWith[T any](
	command *cobra.Command, env []string, cli func(*T) *config.CLI, do func(cmd *cobra.Command, o operator, cfg *T, args []string) error,
) *cobra.Command {
	if positional := command.Args; positional != nil {
		command.Args = func(cmd *cobra.Command, args []string) error {
			if err := positional(cmd, args); err != nil {
				return &exitError{code: exitUsage, err: fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
			}
			return nil
		}
	}
	// What is the command's own comes first in its help, then the settings.
	command.Flags().SortFlags = false
	// A mistake in the tags of the configuration is a bug that any run shows.
	registered := config.Register[T](command.Flags())
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if registered != nil {
			return &exitError{code: exitUsage, err: registered}
		}
		cfg, err := config.Load[T](cmd.Flags(), env)
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		common := cli(cfg)
		stderr := cmd.ErrOrStderr()
		log, err := obs.NewLogger(stderr, obs.Logging{
			Format: obs.Format(common.Log.Format), Level: max(common.Log.Level, slog.LevelWarn), Terminal: obs.IsTerminal(stderr),
		})
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		return do(cmd, operator{cfg: common, log: log}, cfg, args)
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

// setupPatience is how long a command waits for a queue that answers and cannot be
// set up now: an election is over by then.
const setupPatience = 30 * time.Second

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
		URL: url, CredsFile: o.cfg.Queue.CredsFile, Replicas: o.cfg.Queue.Replicas, SetupPatience: setupPatience,
		MaxBytes: int64(o.cfg.Queue.MaxBytes), AckWait: o.cfg.Queue.AckWait, RequestTimeout: o.cfg.Queue.RequestTimeout,
	}, o.log, nil, queue.Operator)
}
