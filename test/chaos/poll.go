package main

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is how often a condition is looked at.
const pollInterval = 50 * time.Millisecond

// overdueError is a wait that was in vain.
type overdueError struct {
	what     string
	patience time.Duration
	last     error // of the condition, may be nil
}

func (e *overdueError) Error() string {
	if e.last == nil {
		return fmt.Sprintf("waited %s for %s in vain", e.patience, e.what)
	}
	return fmt.Sprintf("waited %s for %s in vain: %v", e.patience, e.what, e.last)
}

func (e *overdueError) Unwrap() error { return e.last }

// poll waits until a condition holds, at most for patience: then it fails with
// an [overdueError]. A condition's error says why it does not hold yet.
func poll(ctx context.Context, patience time.Duration, what string, condition func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		holds, err := condition()
		if holds {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-deadline.C:
			return &overdueError{what: what, patience: patience, last: err}
		}
	}
}

// pause waits and reports whether it was not called off.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
