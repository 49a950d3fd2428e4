package facts

import (
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// Claim is one session in the hands of a roll-up: what is stored of it, what
// came since, and what is to be stored. The database holds its lock and fills
// the first two; who folds fills the last. It belongs to one goroutine.
type Claim struct {
	SessionNo int64
	TenantID  int32
	// Now is the database's time, the same in all claims of one roll-up.
	Now event.Micros

	// New says that the session was never rolled up: what its new rows say is all
	// there is.
	New bool
	// State is what was stored, nil when there is nothing that this build can
	// extend: a new session, or one folded by older definitions. Contributed is
	// what the session has added to the aggregates; it is always there.
	State       *State
	Contributed Contributions
	// Sealed sessions lack raw events and must not be folded anew.
	Sealed bool
	// Recomputes counts how often the session was folded anew since it was last
	// quiet; before RecomputeAt it should not be again.
	Recomputes  int
	RecomputeAt event.Micros
	// Seal asks that the session be sealed: its raw events are about to be
	// dropped, poses with them when ForgetPath is set.
	Seal, ForgetPath bool

	// Events and Reports are what the session's new rows say; without a State, and
	// after Whole, all of its rows, but for the events of one that is not New.
	// Unread events are more than can be folded and were not read; they were
	// received from UnreadFrom to UnreadUntil.
	Events      []Event
	Reports     []Report
	Unread      int64
	UnreadFrom  event.Micros
	UnreadUntil event.Micros
	Whole       bool
	// Properties are those that State or Reports name, as far as they are known.
	Properties map[string]Property

	// Result is what is to be stored.
	Result Result
}

// Result is what a roll-up decided about a session.
type Result struct {
	// Postponed leaves everything as it is: the rows that were new stay new, and
	// the session is not claimed again before Due.
	Postponed bool
	// Due is when the session may be claimed again.
	Due event.Micros
	// What is stored otherwise. Facts are those of State.
	State       *State
	Facts       *Facts
	Contributed Contributions
	Recomputes  int
	RecomputeAt event.Micros
}

// Fold decides about the claims of one roll-up and sets their results. whole
// reads some of the sessions from their first event on, which replaces their
// Events and Reports; a session with Sealed set cannot be read so, and one that
// was cannot be postponed.
type Fold func(claims []*Claim, whole func([]*Claim) error) error

// Rolled is what one roll-up did.
type Rolled struct {
	// Claimed sessions, and which they are: that is told beside an error too.
	Claimed  int
	Sessions []int64
	// Last is where to go on: the last session that was looked at, 0 when there
	// was none after it and the next look is from the start.
	Last int64
	// Postponed sessions were left as they were.
	Postponed int
	// Events were folded, those of recomputed sessions included.
	Events int
	// Ages are, for each new batch that was rolled up, the times from its receipt
	// to COMMIT.
	Ages []time.Duration
}

// Backlog is what waits for a roll-up.
type Backlog struct {
	// Batches of sessions that have not been rolled up, the oldest of which was
	// received Age ago. When there are very many, Batches is an estimate and Age
	// that of an old one.
	Batches int64
	Age     time.Duration
}

// Expired is a partition that retention gives up.
type Expired struct {
	// Partition is the table's name. Poses says that it holds poses, Rejections
	// that it holds rejected events: those are in no session's facts, so that
	// nothing is to be sealed before they are dropped.
	Partition         string
	Poses, Rejections bool
}
