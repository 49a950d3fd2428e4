// Command nexero runs the whole pipeline on one machine and holds the
// operator's commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // the days of properties are the same on every machine

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/lifecycle"
)

func main() {
	if code, called := fetchMain(os.Args, os.Stdout); called {
		os.Exit(code)
	}
	ctx, cancel := lifecycle.SignalContext(context.Background())
	code := run(ctx, os.Args[1:], config.Environ(), os.Stdin, os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command := newRoot(env) //nolint:contextcheck // a command gets its context when it is executed
	command.SetArgs(args)
	command.SetIn(stdin)
	command.SetOut(stdout)
	command.SetErr(stderr)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	// Without a standard error there is nobody to tell.
	_, _ = fmt.Fprintf(stderr, "nexero: %v\n", err)
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	return 1
}
