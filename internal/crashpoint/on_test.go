//go:build chaos

package crashpoint

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// walk makes this test binary a process that passes points, one line of stdout
// for each that it survived.
const walk = "CRASHPOINT_TEST_WALK"

func TestMain(m *testing.M) {
	switch os.Getenv(walk) { //nolint:forbidigo // set by run, no configuration of the product
	case "":
		m.Run()
	case "alone":
		defer fmt.Println("deferred") //nolint:forbidigo // what this process has to say
		for n := range 5 {
			At(LoadInCopy)
			At(LoadCopied)
			fmt.Println("passed", n+1) //nolint:forbidigo // as above
		}
	case "together":
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					At(WorkerAcked)
				}
			})
		}
		all.Wait()
		fmt.Println("passed") //nolint:forbidigo // as above
	}
}

// run walks with a setting and returns what the process printed and how it ended.
func run(t *testing.T, way, setting string) (stdout, stderr string, status syscall.WaitStatus) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), //nolint:forbidigo // as a parent
		walk+"="+way, Variable+"="+setting)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// How it ended is what is tested.
	_ = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("no wait status: %v", cmd.ProcessState)
	}
	return out.String(), errs.String(), status
}

func TestAt_KillsAtTheNthTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, setting  string
		stdout, stderr string
		killed         bool
	}{
		{"the first", LoadInCopy.Nth(1), "", "crashpoint: reached load-in-copy:1\n", true},
		{"the third", LoadInCopy.Nth(3), "passed 1\npassed 2\n", "crashpoint: reached load-in-copy:3\n", true},
		{"the second of the two", LoadCopied.Nth(2), "passed 1\n", "crashpoint: reached load-copied:2\n", true},
		{"never reached", LoadInCopy.Nth(6), "passed 1\npassed 2\npassed 3\npassed 4\npassed 5\ndeferred\n", "", false},
		{"another point", LoadLedger.Nth(1), "passed 1\npassed 2\npassed 3\npassed 4\npassed 5\ndeferred\n", "", false},
		{"nothing set", "", "passed 1\npassed 2\npassed 3\npassed 4\npassed 5\ndeferred\n", "", false},
		{"no such point", "nowhere:1", "", "crashpoint: CHAOS_CRASH=\"nowhere:1\": there is no such point\n", true},
		{"no count", "load-in-copy", "", "crashpoint: CHAOS_CRASH=\"load-in-copy\": name:n is wanted, with n from 1\n", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := run(t, "alone", test.setting)
			if stdout != test.stdout || stderr != test.stderr {
				t.Errorf("printed %q and %q, want %q and %q", stdout, stderr, test.stdout, test.stderr)
			}
			if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != test.killed || !killed && status.ExitStatus() != 0 {
				t.Errorf("ended with signal %v, exit status %d", status.Signal(), status.ExitStatus())
			}
		})
	}
}

// However many get there at once, one says so, and nobody goes on to the end.
func TestAt_CountsOverAllGoroutines(t *testing.T) {
	t.Parallel()
	stdout, stderr, status := run(t, "together", WorkerAcked.Nth(8000))
	if stdout != "" || strings.Count(stderr, "\n") != 1 || status.Signal() != syscall.SIGKILL {
		t.Errorf("printed %q and %q, ended with %v", stdout, stderr, status.Signal())
	}
	if stdout, stderr, status = run(t, "together", WorkerAcked.Nth(8001)); stdout != "passed\n" || stderr != "" || status != 0 {
		t.Errorf("printed %q and %q, ended with %v", stdout, stderr, status)
	}
}

// A process that is stopped goes on where it was when somebody lets it.
func TestAt_StopsUntilItMayGoOn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), //nolint:forbidigo // as a parent
		walk+"=alone", StopVariable+"="+LoadInCopy.Nth(3))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	// Nothing is reaped of a process that only stopped.
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("status %v, %v; want it stopped", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "passed 1\npassed 2\npassed 3\npassed 4\npassed 5\ndeferred\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if got, want := errs.String(), Prefix+"stopped at load-in-copy:3\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}
