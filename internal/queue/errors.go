package queue

import "errors"

// The errors of this package. They say what is known about a message or about
// the queue and are tested with [errors.Is].
var (
	// ErrFull: the stream refused the message because a byte limit is reached.
	// This attempt stored nothing. Trying again at once is of no use.
	ErrFull = errors.New("queue is full")

	// ErrTooLarge: the server takes no message of this size. Nothing is stored
	// and no repetition will change that.
	ErrTooLarge = errors.New("message is too large for the queue")

	// ErrUnavailable: the queue cannot be reached or takes nothing now. If
	// Publish returns it, this attempt stored nothing.
	ErrUnavailable = errors.New("queue is unavailable")

	// ErrUnknownOutcome: the message may or may not be stored. Publish the same
	// bytes under the same id again until the answer is known.
	ErrUnknownOutcome = errors.New("outcome of publishing is unknown")

	// ErrNoStream: the stream, or the key bucket, does not exist. Nothing but
	// Provision makes it, because one that vanished is lost data and somebody
	// has to look.
	ErrNoStream = errors.New("stream does not exist")

	// ErrIncompatible: something on the server has the right name and settings
	// with which Nexero would lose data. The text says what to do.
	ErrIncompatible = errors.New("incompatible queue on the server")
)
