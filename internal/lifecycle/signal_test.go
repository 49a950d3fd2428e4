package lifecycle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// childArgument makes the test binary play the process that gets the signals.
const childArgument = "play-the-signalled-process"

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, hangupArgument) {
		playHungUp()
		return
	}
	if slices.Contains(os.Args, childArgument) {
		ctx, stop := SignalContext(context.Background())
		defer stop()
		fmt.Println("ready") //nolint:forbidigo // the parent reads it
		<-ctx.Done()
		fmt.Println(context.Cause(ctx)) //nolint:forbidigo // the parent reads it
		select {}                       // a drain that never ends
	}
	m.Run()
}

// rule 10
func TestSignalContext_FirstSignalEndsTheContextSecondTheProcess(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], childArgument) //nolint:gosec // this test binary
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("child said %q, want ready", lines.Text())
			}
			signalChild(t, child, sig)
			if !lines.Scan() || !strings.Contains(lines.Text(), sig.String()) {
				t.Errorf("cause %q, want %s in it", lines.Text(), sig)
			}
			// The handler is taken away just after the context ended, so the
			// signal is repeated until the process is gone.
			ended := make(chan error, 1)
			go func() { ended <- child.Wait() }()
			for {
				select {
				case err = <-ended:
				default:
					signalChild(t, child, sig)
					continue
				}
				break
			}
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				t.Fatalf("child ended with %v, want a signal", err)
			}
			if status, _ := exit.Sys().(syscall.WaitStatus); status.Signal() != sig {
				t.Errorf("child ended by %v, want %v", exit, sig)
			}
		})
	}
}

func signalChild(t *testing.T, child *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := child.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}
