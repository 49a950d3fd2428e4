package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// running is a service with what the group keeps about it.
type running struct {
	Service

	// ctx is Run's: it lives as long as the service and ends by cancel alone.
	ctx    context.Context
	cancel context.CancelFunc
	// done is nil until the service is started and closed when Run has
	// returned; err is written before that and read after.
	done chan struct{}
	err  error
	// overdue says that the service itself was left behind. Its error can hold
	// ErrOverdue for another reason: a part of it was, and it has returned.
	overdue bool
}

// start runs the service and reports its end to ended, which has room for it.
func (r *running) start(ended chan<- *running) {
	if r.Run == nil {
		return
	}
	r.done = make(chan struct{})
	go func() {
		r.err = r.Run(r.ctx)
		// The end of its own context is how a service is told to stop; handing
		// that back bare is no failure. Wrapped, it may be the reason of one: a
		// drain that was cut off.
		if r.err == context.Canceled && r.ctx.Err() != nil { //nolint:errorlint // bare on purpose
			r.err = nil
		}
		close(r.done)
		ended <- r
	}()
}

// stop drains the service, ends its context and waits for both to return
// within the deadline. The order matters: a context that ended first would cut
// off the drain.
func (r *running) stop(ctx context.Context) error {
	defer r.cancel()
	ctx, cancel := context.WithTimeout(ctx, r.Deadline)
	defer cancel()
	var errs []error
	if r.Stop != nil {
		stopped := make(chan error, 1)
		go func() { stopped <- r.Stop(ctx) }()
		select {
		case err := <-stopped:
			errs = append(errs, wrapStop(err))
		case <-ctx.Done():
			r.cancel()
			select {
			case err := <-stopped:
				errs = append(errs, wrapStop(err))
			case <-time.After(lastGrace):
				r.overdue = true
				errs = append(errs, fmt.Errorf("stop %w of %s", ErrOverdue, r.Deadline))
			}
		}
	}
	r.cancel()
	return errors.Join(append(errs, r.wait(ctx))...)
}

// wait returns Run's error once it has returned.
func (r *running) wait(ctx context.Context) error {
	if r.done == nil {
		return nil
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		select {
		case <-r.done:
		case <-time.After(lastGrace):
			r.overdue = true
			return fmt.Errorf("run %w of %s", ErrOverdue, r.Deadline)
		}
	}
	return r.err
}

func wrapStop(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("stop: %w", err)
}
