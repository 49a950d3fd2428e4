//go:build chaos

package crashpoint

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// armed is what this process is to die of.
type armed struct {
	point Point
	nth   int64
	hits  atomic.Int64
	err   error
}

//nolint:gochecknoglobals // dying is something that a process does, whichever goroutine gets there
var arm = sync.OnceValue(func() *armed {
	text := os.Getenv(Variable) //nolint:forbidigo // builds for fault runs only, and no configuration of the product
	a := &armed{}
	if text != "" {
		a.point, a.nth, a.err = parse(text)
	}
	return a
})

// At kills the process if this is what [Variable] says. It does not return then.
func At(p Point) {
	a := arm()
	switch {
	case a.err != nil:
		die(a.err.Error())
	case a.point == p && a.hits.Add(1) == a.nth:
		die("reached " + p.Nth(int(a.nth)))
	}
}

// die ends the process as a power cut would. The line is one write, straight to
// the file: nothing of ours is left to flush it.
func die(why string) {
	_, _ = os.Stderr.WriteString(Prefix + why + "\n")
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal takes an instant to reach every thread; this one goes no further
}
