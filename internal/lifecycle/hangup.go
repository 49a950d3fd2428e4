package lifecycle

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ErrHungUp is the cause of a context that ended because the terminal that the
// process was started on is gone.
var ErrHungUp = errors.New("the terminal hung up")

// Hangups are what SIGHUP asks of a process. A service is asked to read its
// configuration again. A program on a terminal that was closed is asked to go:
// nobody is left who could end it with Ctrl-C.
type Hangups struct {
	requests chan struct{}
	quit     chan struct{}
	done     chan struct{} // closed when the goroutine has ended
	signals  chan os.Signal
	cancel   context.CancelCauseFunc
}

// CatchHangups makes sure that SIGHUP no longer ends the process, from now on for
// good: a process that is still starting, or stopping already, would otherwise
// die of a request to reload. The context ends with parent, and
// with [ErrHungUp] when the process had a terminal and a SIGHUP finds it gone.
func CatchHangups(parent context.Context) (context.Context, *Hangups) {
	ctx, cancel := context.WithCancelCause(parent)
	h := &Hangups{
		// Room for one: requests that come while one waits are the same request.
		requests: make(chan struct{}, 1),
		quit:     make(chan struct{}), done: make(chan struct{}),
		signals: make(chan os.Signal, 1), cancel: cancel,
	}
	signal.Notify(h.signals, syscall.SIGHUP)
	go h.listen(hasTerminal())
	return ctx, h
}

func (h *Hangups) listen(hadTerminal bool) {
	defer close(h.done)
	for {
		select {
		case <-h.signals:
		case <-h.quit:
			return
		}
		// The kernel takes the terminal away before it sends the signal, so an
		// operator's own kill -HUP is told apart from it.
		if hadTerminal && !hasTerminal() {
			h.cancel(ErrHungUp)
			continue
		}
		select {
		case h.requests <- struct{}{}:
		default:
		}
	}
}

// Each calls do for each request until ctx ends; requests that come together
// are one. It is the Run of a [Service].
func (h *Hangups) Each(ctx context.Context, do func(ctx context.Context)) error {
	for {
		select {
		case <-h.requests:
			do(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Stop ends the goroutine; whatever SIGHUP asks for from then on is dropped. It
// is called once, last of all.
//
// SIGHUP is not given back to the system: one that was sent before the signal
// that stopped the process may arrive after it, and would end with a bad status
// what has just stopped in order.
func (h *Hangups) Stop() {
	close(h.quit)
	<-h.done
	h.cancel(nil)
}

// hasTerminal reports whether the process has a controlling terminal.
func hasTerminal() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	return terminal.Close() == nil
}
