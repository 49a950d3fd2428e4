package rollup

import (
	"context"

	"github.com/nexero-vr/nexero/internal/facts"
)

// Store is where facts and aggregates are. All goroutines use it at the same
// time. An error means that nothing was stored, or after a connection broke
// during COMMIT that everything was: either way the next call goes on from
// there.
type Store interface {
	// RollSessions claims at most limit sessions that have new rows and are due,
	// with numbers above after, lets fold decide about them and stores what it
	// decided. It looks at a bounded number of sessions and of their new rows:
	// Last in the result says where to go on, and is 0 when there were no more.
	// Beside an error Sessions says which ones it had claimed.
	RollSessions(ctx context.Context, after int64, limit int, fold facts.Fold) (facts.Rolled, error)
	// RollCustomers does the same for customers one of whose sessions changed,
	// and moves counted changes of quality into their sums. It returns how many
	// customers it rolled up, beside an error how many it had claimed. One that
	// fails alone it leaves alone for a while.
	RollCustomers(ctx context.Context, limit int) (customers int, err error)
	// Backlog tells what waits to be rolled up.
	Backlog(ctx context.Context) (facts.Backlog, error)
}

// Archive is where raw days are. One goroutine uses it at a time, here and in
// any number of processes.
type Archive interface {
	// Expired returns the partitions that retention gives up, oldest first.
	Expired(ctx context.Context) ([]facts.Expired, error)
	// SealSessions does what RollSessions does for sessions with rows in an
	// expired partition that are not sealed yet, due or not, and asks for a seal.
	// None claimed and no error means that all are sealed.
	SealSessions(ctx context.Context, expired facts.Expired, limit int, fold facts.Fold) (facts.Rolled, error)
	// Drop detaches and drops an expired partition all of whose sessions are
	// sealed, and refuses any other. It does nothing when the partition is gone.
	Drop(ctx context.Context, expired facts.Expired) error
}

// Class is what to do about an error of a Store. The zero value is the safe
// one: nothing is given up.
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
