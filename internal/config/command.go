package config

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// Action is what a command line asks a service to do.
type Action int

// The actions. All but ActionRun end at once.
const (
	// ActionRun is to serve.
	ActionRun Action = iota
	// ActionHelp was done by Parse: the flags have been printed.
	ActionHelp
	// ActionVersion is to print the version.
	ActionVersion
	// ActionCheckConfig is to print the configuration, masked; see [Print].
	ActionCheckConfig
	// ActionCheckHealth is to ask the running process whether it is ready.
	ActionCheckHealth
)

// Parse reads the command line of the service called name, without the
// program's own name, and returns what to do and the configuration for it. Help
// is printed to out. A mistake in the command line or in a setting is an
// error; the configuration is nil then, and after help or version.
func Parse[T any](name string, args, env []string, out io.Writer) (*T, Action, error) {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SetOutput(out)
	fs.SortFlags = false
	fs.Usage = func() {
		_, _ = fmt.Fprintf(out, "Usage: %s [flags]\n\n%s", name, fs.FlagUsages())
	}
	version := fs.Bool("version", false, "print the version and exit")
	checkConfig := fs.Bool("check-config", false, "print the configuration with secrets masked and exit")
	checkHealth := fs.Bool("check-health", false, "ask the running service on "+flagOf("metrics_listen")+" whether it is ready and exit")
	if err := Register[T](fs); err != nil {
		return nil, ActionRun, err
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil, ActionHelp, nil
	case err != nil:
		return nil, ActionRun, fmt.Errorf("config: %w", err)
	case fs.NArg() > 0:
		return nil, ActionRun, fmt.Errorf("config: %q is no flag; %s takes flags only", fs.Arg(0), name)
	case *version:
		return nil, ActionVersion, nil
	}
	loaded, err := Load[T](fs, env)
	switch {
	case err != nil:
		return nil, ActionRun, err
	case *checkConfig:
		return loaded, ActionCheckConfig, nil
	case *checkHealth:
		return loaded, ActionCheckHealth, nil
	default:
		return loaded, ActionRun, nil
	}
}
