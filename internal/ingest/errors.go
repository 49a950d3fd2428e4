package ingest

import "errors"

// Errors that a [Publisher] answers with. Any other error, a context's
// included, is treated as ErrUnknownOutcome, which is always safe.
var (
	// ErrFull means that the queue has no room: the message is certainly not
	// stored, and trying again at once would not help.
	ErrFull = errors.New("ingest: the queue is full")
	// ErrTooLarge means that the queue never takes a message of this size.
	ErrTooLarge = errors.New("ingest: the queue refuses messages of this size")
	// ErrUnknownOutcome means that the message may or may not be stored. It is
	// published again with the same bytes and id until nobody waits any more.
	ErrUnknownOutcome = errors.New("ingest: the queue did not say whether the message is stored")
)

// Errors of the group commit itself.
var (
	// ErrOverloaded means that too many bytes wait for the queue already.
	ErrOverloaded = errors.New("ingest: too many batches wait for the queue")
	// ErrDraining means that the server is stopping and takes nothing new.
	ErrDraining = errors.New("ingest: the server is stopping")
	// errWaitOver means that the caller's context ended before the queue
	// answered. The batch may be stored all the same.
	errWaitOver = errors.New("ingest: the queue did not answer in time")
)
