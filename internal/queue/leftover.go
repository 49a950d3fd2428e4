package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// leftoverInterval lies between two looks for leftovers.
	leftoverInterval = 3 * time.Second
	// leftoverTimeout bounds a look: somebody waits for the messages of a fetch.
	leftoverTimeout = time.Second
)

// leftovers are messages that are stored although they were acknowledged. A
// server that cannot write takes acknowledgements and removes nothing; started
// again with room on its disk, it believes its consumer and never delivers what
// it kept, which then fills the queue for ever. The zero value is ready.
type leftovers struct {
	mu     sync.Mutex // guards what follows, and is held during a look
	looked time.Time
	// suspect is the first stored sequence, when the last look found it
	// acknowledged; else 0. One look proves nothing: the message may be on its
	// way out, or the two answers of a look may be of two instants.
	suspect uint64
}

// deliverLeftovers has leftovers delivered again, and with them what other
// workers hold: whoever loads them knows both from the ledger. It looks once in
// a while and leaves what it cannot find out to the next look.
func (c *Conn) deliverLeftovers(ctx context.Context) {
	l := &c.leftovers
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if time.Since(l.looked) < leftoverInterval {
		return
	}
	defer func() { l.looked = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, leftoverTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, StreamName)
	if err != nil {
		return
	}
	consumer, err := c.js.Consumer(ctx, StreamName, ConsumerName)
	if err != nil {
		return
	}
	state, floor := stream.CachedInfo().State, consumer.CachedInfo().AckFloor.Stream
	was := l.suspect
	l.suspect = 0
	if state.Msgs == 0 || state.FirstSeq > floor {
		return
	}
	if was != state.FirstSeq {
		l.suspect = state.FirstSeq
		return
	}
	_, err = c.js.ResetConsumerToSequence(ctx, StreamName, ConsumerName, state.FirstSeq)
	c.log.LogAttrs(ctx, slog.LevelWarn, "messages are stored that were acknowledged; everything stored comes once more",
		slog.Uint64("first_sequence", state.FirstSeq), slog.Uint64("acknowledged_up_to", floor), slog.Any("error", err))
}
