package lifecycle

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// hangupArgument makes the test binary play the process that reloads.
const hangupArgument = "play-the-process-that-is-hung-up"

// playHungUp says on standard output what SIGHUP asks of it, until it is asked
// to go.
func playHungUp() {
	ctx, stop := SignalContext(context.Background())
	defer stop()
	ctx, hangups := CatchHangups(ctx)
	fmt.Println("ready") //nolint:forbidigo // the parent reads it
	_ = hangups.Each(ctx, func(context.Context) {
		fmt.Println("reload") //nolint:forbidigo // the parent reads it
	})
	fmt.Println(context.Cause(ctx)) //nolint:forbidigo // the parent reads it
	hangups.Stop()
	// A late one, at the worst moment: the status is not to be that of a death.
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGHUP)
}

func startHungUp(t *testing.T, terminal *os.File) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], hangupArgument) //nolint:gosec // this test binary
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if terminal != nil {
		child.Stdin = terminal
		child.SysProcAttr.Setctty = true // the one at descriptor 0
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expectLine(t, lines, "ready")
	return child, lines
}

func expectLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Fatalf("child said %q, want %q", lines.Text(), want)
	}
}

// Requests that come while one is served are served once more, not forgotten
// and not one by one.
func TestHangups_EachJoinsRequests(t *testing.T) {
	t.Parallel()
	h := &Hangups{requests: make(chan struct{}, 1)}
	h.requests <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	served := 0
	if err := h.Each(ctx, func(context.Context) {
		if served++; served == 2 {
			cancel()
			return
		}
		h.requests <- struct{}{} // as the listener does
	}); err != nil || served != 2 {
		t.Errorf("%d served, %v; want 2", served, err)
	}
}
