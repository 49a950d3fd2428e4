// Cluster runs a command with a PostgreSQL cluster around it that all its tests
// share:
//
//	go run ./test/cluster -- go test ./...
//
// The command finds the cluster through NEXERO_TEST_DATABASE_URL. Its exit code
// is the command's, or 125 when there was no cluster. Signals are handed on; the
// cluster ends and its directory goes when the command has ended or when this
// program dies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/testkit"
)

const (
	// exitNoCluster differs from what a test run returns.
	exitNoCluster = 125
	// exitSignalled is what a shell makes of a command that a signal ended.
	exitSignalled = 128

	stopTimeout = 30 * time.Second
)

// fetchCommand is how the program calls itself to download PostgreSQL.
const fetchCommand = "fetch-postgres"

func main() {
	if len(os.Args) > 1 && os.Args[1] == fetchCommand {
		if err := devstack.FetchMain(os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "cluster:", err)
			os.Exit(1)
		}
		return
	}
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	dir := flags.String("dir", "", "make the cluster's directory below `DIR`, for instance to measure a disk")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: cluster [-dir DIR] [--] command [argument ...]")
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:]) // ends the program when it fails
	if flags.NArg() == 0 {
		flags.Usage()
		os.Exit(exitNoCluster)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	code, err := run(*dir, flags.Args(), log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code, also when the cluster did not stop well:
// what was tested before is not changed by that, but it is never a success.
func run(dir string, args []string, log *slog.Logger) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	ctx := context.Background()
	cluster, err := testkit.StartCluster(ctx, dir, log, fetchCommand)
	if err != nil {
		return exitNoCluster, err
	}
	code, err := command(args, cluster.URL(), signals)

	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if stopErr := cluster.Stop(ctx); stopErr != nil {
		return max(code, 1), errors.Join(err, stopErr)
	}
	return code, err
}

// command runs args and hands on every signal until it ends.
func command(args []string, address string, signals <-chan os.Signal) (int, error) {
	// No context ends the command: that is for the signals to do.
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testkit.URLVariable+"="+address)
	if err := cmd.Start(); err != nil {
		return exitNoCluster, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return exitCode(err)
		case sig := <-signals:
			// Ctrl-C has reached it already; a second one does no harm.
			if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return exitNoCluster, errors.Join(err, cmd.Process.Kill(), <-ended)
			}
		}
	}
}

func exitCode(err error) (int, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		if err != nil {
			return exitNoCluster, err
		}
		return 0, nil
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignalled + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
