package worker

import (
	"context"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
)

// Source is where messages come from. It delivers at least once. All loops use
// it at the same time.
type Source interface {
	// Fetch waits up to wait for a message and returns as soon as one is there,
	// with what else is there at that moment, at most maxMessages of together
	// at most maxBytes; a single message may be larger. None and no error means
	// that there was none. Messages that come with an error count as delivered.
	Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]Message, error)
}

// Message is one delivery of an envelope.
type Message struct {
	Delivery

	// Data is the envelope. Nobody changes it while the message is held.
	Data []byte
	// Deliveries counts how often the queue has delivered it, this time included.
	Deliveries int
	// StoredAt is when the queue stored it.
	StoredAt time.Time
	// Sequence is its number in the queue, for log lines only.
	Sequence uint64
}

// Delivery is what can be answered to a delivered message. A lost answer is
// harmless: the message comes again.
type Delivery interface {
	// Ack takes the message out of the queue.
	Ack() error
	// Nak gives it back, to be delivered again after delay.
	Nak(delay time.Duration) error
	// InProgress asks for another Options.AckWait before it is delivered again.
	InProgress() error
}

// Store is where batches go. All loops use it at the same time.
type Store interface {
	// Load stores batches in one transaction, each exactly once however often
	// and wherever it is loaded, and returns after COMMIT. A batch may occur
	// more than once in one call. After an error either nothing or everything
	// is stored; loading the same batches again settles it.
	Load(ctx context.Context, batches []envelope.Batch) (Result, error)
	// KeepDamaged stores a message that cannot be loaded, whole, and returns
	// after COMMIT. It is idempotent.
	KeepDamaged(ctx context.Context, message []byte, reason string) error
	// EnsurePartitions makes room for what was received on the day of oldest
	// and later. It is idempotent.
	EnsurePartitions(ctx context.Context, oldest time.Time) error
}

// Result counts what one load did.
type Result struct {
	// Batches were not known before.
	Batches int
	// Repeats are batches that a client sent again, Redelivered ones that the
	// queue did, Reused ones that came under the id of another.
	Repeats, Redelivered, Reused int
	// Rows are the events stored, Refused those that the database did not take.
	Rows, Refused int
}

// Class is what to do about an error of a Store. The zero value is the safe
// one: the message stays.
type Class int

// The classes.
const (
	// ClassRetry is a store that cannot work now: try again later.
	ClassRetry Class = iota
	// ClassStop is a store that will not work until a person changes something.
	ClassStop
	// ClassData is a store that refuses what it was given.
	ClassData
)

// String returns the class's name in logs and metrics.
func (c Class) String() string {
	switch c {
	case ClassRetry:
		return "retry"
	case ClassStop:
		return "stop"
	case ClassData:
		return "data"
	default:
		return "unknown"
	}
}
