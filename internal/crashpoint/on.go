//go:build chaos

package crashpoint

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// armed is what this process is to die of, or to stop at.
type armed struct {
	point Point
	nth   int64
	hits  atomic.Int64
	err   error
}

//nolint:gochecknoglobals // dying is something that a process does, whichever goroutine gets there
var arm = sync.OnceValue(func() *armed { return read(Variable) })

//nolint:gochecknoglobals // as above
var armStop = sync.OnceValue(func() *armed { return read(StopVariable) })

func read(variable string) *armed {
	text := os.Getenv(variable) //nolint:forbidigo // builds for fault runs only, and no configuration of the product
	a := &armed{}
	if text != "" {
		a.point, a.nth, a.err = parse(variable, text)
	}
	return a
}

// At kills the process if this is what [Variable] says, and does not return
// then. If it is what [StopVariable] says, it returns when somebody lets the
// process go on.
func At(p Point) {
	if a := armStop(); a.fires(p) {
		say("stopped at " + p.Nth(int(a.nth)))
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
	}
	if a := arm(); a.fires(p) {
		die("reached " + p.Nth(int(a.nth)))
	}
}

// fires counts a hit and reports whether it is the one. A setting that makes no
// sense kills the process at any point.
func (a *armed) fires(p Point) bool {
	if a.err != nil {
		die(a.err.Error())
	}
	return a.point == p && a.hits.Add(1) == a.nth
}

// say is one write, straight to the file: nothing of ours is left to flush it.
func say(what string) { _, _ = os.Stderr.WriteString(Prefix + what + "\n") }

// die ends the process as a power cut would.
func die(why string) {
	say(why)
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal takes an instant to reach every thread; this one goes no further
}
