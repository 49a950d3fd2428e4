package worker

import (
	"context"
	"sync"
	"time"
)

// allLoops stands for every loop in the state of a trouble that they share.
const allLoops = -1

// newerLayout holds all loops back after a message that only a newer build can
// read: fetching on would turn such messages around for ever, while the newer
// worker of a rolling upgrade may take them. It is tried again slowly.
type newerLayout struct {
	// mu guards seen, and is held while the state follows it.
	mu sync.Mutex
	// seen is when the latest such message was met, zero when none is known.
	seen time.Time
}

// meet notes that such a message is there.
func (n *newerLayout) meet(ctx context.Context, s *state, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = time.Now()
	s.enter(ctx, troubleNewer, allLoops, err)
}

// pause waits until fetching may be tried and reports whether ctx lives.
func (n *newerLayout) pause(ctx context.Context, s *state) bool {
	for ctx.Err() == nil {
		left := n.left(ctx, s)
		if left <= 0 {
			return true
		}
		wait(ctx, left) // another loop may meet one meanwhile: look again
	}
	return false
}

// left returns how long fetching must pause yet. The trouble is over when twice
// the delay has brought no such message, since each comes back after one.
func (n *newerLayout) left(ctx context.Context, s *state) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen.IsZero() {
		return 0
	}
	since := time.Since(n.seen)
	if since >= 2*versionDelay {
		n.seen = time.Time{}
		s.leave(ctx, troubleNewer, allLoops)
	}
	return versionDelay - since
}
