package workerd

import (
	"context"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/queue"
)

const (
	// lookInterval lies between two looks at the queue on behalf of roll-ups.
	lookInterval = time.Second
	// lookTimeout bounds one: a roll-up waits for it.
	lookTimeout = time.Second
)

// backlog tells roll-ups whether the queue is behind, so that loads come first.
type backlog struct {
	status func(ctx context.Context) (queue.Status, error)
	// after is how old the oldest message is then, and messages how many at
	// least wait to be delivered. Age alone would not do: one message that waits
	// for a newer worker would hold up roll-ups for as long as it waits.
	after    time.Duration
	messages int

	mu     sync.Mutex // guards what follows, and is held during a look
	looked time.Time
	last   bool
}

// behind answers from memory but for once in a while. A queue that does not
// answer feeds no loads that roll-ups could be in the way of.
func (b *backlog) behind(ctx context.Context) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.looked.IsZero() && time.Since(b.looked) < lookInterval {
		return b.last
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	status, err := b.status(ctx)
	b.looked = time.Now()
	b.last = err == nil && !status.Oldest.IsZero() &&
		status.Pending >= uint64(b.messages) && time.Since(status.Oldest) > b.after
	return b.last
}
