package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Status is a look at the stream and its consumer.
type Status struct {
	// Messages and Bytes are what the stream stores, delivered or not.
	Messages, Bytes uint64
	// MaxBytes is the stream's limit.
	MaxBytes int64
	// FirstSequence and LastSequence are the stream's own numbers; the last
	// one stays when messages go.
	FirstSequence, LastSequence uint64
	// Oldest is when the oldest stored message was stored; zero when empty.
	Oldest time.Time
	// LostMessages and LostBytes are what the server knows to have lost to
	// damaged files. Anything but zero calls for an operator.
	LostMessages int
	LostBytes    uint64
	// Replicas is how many copies the stream has, and Leader the name of the
	// server that answers for it, empty while there is none.
	Replicas int
	Leader   string

	// ConsumerMissing says that the rest is zero because there is no consumer.
	// The next Fetch makes one.
	ConsumerMissing bool
	// Pending messages are not delivered yet.
	Pending uint64
	// AckPending messages are delivered and not acknowledged; Redelivered are
	// those among them that were delivered more than once.
	AckPending, Redelivered int
	// WaitingPulls is how many requests of workers wait for messages.
	WaitingPulls int
}

// Status asks the server for the state of the queue: [ErrNoStream] or
// [ErrUnavailable] if it cannot tell.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, StreamName)
	if err != nil {
		return Status{}, streamError("look at "+StreamName, err)
	}
	info := stream.CachedInfo()
	status := Status{
		Messages:      info.State.Msgs,
		Bytes:         info.State.Bytes,
		MaxBytes:      info.Config.MaxBytes,
		FirstSequence: info.State.FirstSeq,
		LastSequence:  info.State.LastSeq,
		Replicas:      info.Config.Replicas,
	}
	if status.Messages > 0 {
		status.Oldest = info.State.FirstTime
	}
	if lost := info.State.Lost; lost != nil {
		status.LostMessages, status.LostBytes = len(lost.Msgs), lost.Bytes
	}
	if info.Cluster != nil {
		status.Leader = info.Cluster.Leader
	}
	consumer, err := c.js.Consumer(ctx, StreamName, ConsumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		status.ConsumerMissing = true
		return status, nil
	}
	if err != nil {
		return Status{}, streamError("look at consumer", err)
	}
	state := consumer.CachedInfo()
	status.Pending = state.NumPending
	status.AckPending = state.NumAckPending
	status.Redelivered = state.NumRedelivered
	status.WaitingPulls = state.NumWaiting
	return status, nil
}

// OldestMessage is when the oldest message that is still queued was stored; ok
// is false when the queue is empty. Nothing that a queued batch needs, such as
// its ledger row, may be dropped before this time.
func (c *Conn) OldestMessage(ctx context.Context) (oldest time.Time, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, StreamName)
	if err != nil {
		return time.Time{}, false, streamError("look for the oldest message of "+StreamName, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return time.Time{}, false, nil
	}
	return state.FirstTime, true, nil
}

// Peek calls see for up to n stored messages, oldest first, delivered or not,
// and leaves them where they are. It ends early at the end of the stream or at
// see's first error, which it returns.
func (c *Conn) Peek(ctx context.Context, n int, see func(sequence uint64, storedAt time.Time, data []byte) error) error {
	// Without this look a missing stream would read as an empty one.
	look, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	stream, err := c.js.Stream(look, StreamName)
	cancel()
	if err != nil {
		return streamError("peek at "+StreamName, err)
	}
	from := stream.CachedInfo().State.FirstSeq
	for range n {
		get, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		// With a subject this means "at or after": holes, which in a work queue
		// can be millions long, are skipped by the server.
		m, err := stream.GetMsg(get, max(from, 1), jetstream.WithGetMsgSubject(Subject))
		cancel()
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return streamError(fmt.Sprintf("peek at %d", from), err)
		}
		if err := see(m.Sequence, m.Time, m.Data); err != nil {
			return err
		}
		from = m.Sequence + 1
	}
	return nil
}

// Keys opens the bucket of API keys and the stream beneath it: [ErrNoStream] if
// Provision has not made it. The bucket must not be made or updated through the
// library's own functions, which switch stale reads on.
func (c *Conn) Keys(ctx context.Context) (bucket jetstream.KeyValue, stream jetstream.Stream, err error) {
	// Services need it at their start, and a server that says nothing for a
	// moment is no reason to end one.
	err = c.repeat(ctx, func(ctx context.Context) (err error) {
		bucket, stream, err = c.keysOnce(ctx)
		return err
	})
	return bucket, stream, err
}

func (c *Conn) keysOnce(ctx context.Context) (jetstream.KeyValue, jetstream.Stream, error) {
	stream, err := c.js.Stream(ctx, keyStream)
	if err != nil {
		return nil, nil, streamError("open "+keyStream, err)
	}
	bucket, err := c.js.KeyValue(ctx, KeyBucket)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: open bucket %s: %w", ErrUnavailable, KeyBucket, err)
	}
	return bucket, stream, nil
}
