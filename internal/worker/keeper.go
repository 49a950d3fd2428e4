package worker

import (
	"context"
	"sync"
	"time"
)

// keeper tells the queue that the messages in the hand of one loop are being
// worked on, so that no other worker gets them. It stops telling for a message
// that is held too long: whatever keeps this worker from writing it may not
// keep another.
type keeper struct {
	interval time.Duration // AckWait / keepAlives
	maxHold  time.Duration
	metrics  *metrics

	// mu guards held and is held while answers are sent, so that none follows
	// the message's last one.
	mu   sync.Mutex
	held map[*held]struct{}
}

func newKeeper(opts Options, m *metrics) *keeper {
	return &keeper{interval: opts.AckWait / keepAlives, maxHold: opts.MaxHold, metrics: m, held: map[*held]struct{}{}}
}

// run keeps messages until ctx ends. A message joins between two rounds, so it
// is first kept at most one interval after it was fetched.
func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(k.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			k.keep()
		case <-ctx.Done():
			return
		}
	}
}

func (k *keeper) keep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for m := range k.held {
		if time.Since(m.fetchedAt) > k.maxHold {
			continue
		}
		if err := m.InProgress(); err != nil {
			k.metrics.answerErrors.WithLabelValues(answerInProgress).Inc()
		}
	}
}

func (k *keeper) add(m *held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[m] = struct{}{}
	k.metrics.inHand.Inc()
}

// drop ends the keeping of m. The caller answers the message afterwards.
func (k *keeper) drop(m *held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.held[m]; ok {
		delete(k.held, m)
		k.metrics.inHand.Dec()
	}
}
