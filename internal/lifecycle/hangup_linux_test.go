package lifecycle

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A hang-up asks to reload, again and again, with a terminal and without, and
// ends nothing.
func TestCatchHangups_Reloads(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		t.Run(fmt.Sprintf("terminal %v", terminal), func(t *testing.T) {
			t.Parallel()
			var slave *os.File
			if terminal {
				_, slave = openTerminal(t)
			}
			child, lines := startHungUp(t, slave)
			for range 3 {
				signalChild(t, child, syscall.SIGHUP)
				expectLine(t, lines, "reload")
			}
			signalChild(t, child, syscall.SIGTERM)
			expectLine(t, lines, "terminated signal received")
			if err := child.Wait(); err != nil {
				t.Errorf("child ended with %v", err)
			}
		})
	}
}

// A program whose terminal is closed goes, in order. // rule 10
func TestCatchHangups_EndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	child, lines := startHungUp(t, slave)
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	expectLine(t, lines, ErrHungUp.Error())
	if err := child.Wait(); err != nil {
		t.Errorf("child ended with %v", err)
	}
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
