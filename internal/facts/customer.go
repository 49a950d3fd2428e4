package facts

import (
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// CustomerSession is what a customer's facts need to know of one of the
// customer's sessions. A session without a start is none: nothing says on which
// day it was.
type CustomerSession struct {
	// PropertyID is where it was, "" while unknown.
	PropertyID string
	// Start and End are as in Facts. Either may be declared, so the end may lie
	// before the start or in the future.
	Start, End event.Micros
}

// RepeatAfter is how long before a session's start an earlier one must have
// ended for the customer to be a repeat visitor.
const RepeatAfter = 30 * time.Minute

// NoEnd is the first end of no sessions: no start lies after it.
const NoEnd = event.Latest

// FirstEnd returns when the first of the sessions had ended, NoEnd without any.
func FirstEnd(sessions []CustomerSession) event.Micros {
	first := NoEnd
	for i := range sessions {
		first = min(first, max(sessions[i].Start, sessions[i].End))
	}
	return first
}

// CustomerContributions returns what a customer adds to the aggregates, given
// all sessions of the customer in the tenant that are kept, in any order, and
// the first end of those that are not, or NoEnd. properties are those that are
// known.
//
// A customer counts once for each property and day on which a session began. The
// customer is a repeat visitor there if one of these sessions began RepeatAfter
// or longer after the end of another session, at whatever property. A session
// that ends before it starts counts as ended when it started, since it has no
// length; one whose end is still to come counts as ended then, whatever time it
// is now. So an older session that arrives late, or an end that moves, can change
// what later sessions mean.
func CustomerContributions(firstEnd event.Micros, sessions []CustomerSession, properties map[string]Property) Contributions {
	if len(sessions) == 0 {
		return nil
	}
	// No session starts after its own end, so whether any other one had ended in
	// time is whether the first end of all lies far enough back.
	repeatFrom := min(firstEnd, FirstEnd(sessions)) + event.Micros(RepeatAfter.Microseconds())
	repeats := make(map[Key]bool)
	for i := range sessions {
		s := &sessions[i]
		key := Key{Table: CustomersDaily, Property: s.PropertyID, Day: localDay(s.Start, properties[s.PropertyID].zone())}
		repeats[key] = repeats[key] || s.Start >= repeatFrom
	}
	rows := make(Contributions, 0, len(repeats))
	for key, repeat := range inOrder(repeats, func(a, b Key) int { return a.Compare(&b) }) {
		rows = append(rows, Row{Key: key, Refs: 1, Sums: []int64{int64(bit(repeat))}})
	}
	return rows
}

// WithDeparted joins what a customer adds by sessions that are kept, own, with
// what deleted sessions of the customer had added. Both are lists of
// CustomerContributions.
//
// A key that only deleted sessions had is past: it stays in the aggregates for
// good. One that both have counts once, so it is the customer's while a session
// that is kept has it: result has it, as a repeat visit if either was one, and
// shared is the deleted sessions' half of it, to be given as departed the next
// time. Without that a key would come to be 0 customers with a repeat visit when
// the last session that is kept leaves it.
func WithDeparted(own, departed Contributions) (result, shared, past Contributions) {
	if len(departed) == 0 {
		return own, nil, nil
	}
	result = make(Contributions, 0, len(own))
	for len(own) > 0 && len(departed) > 0 {
		switch order := own[0].Compare(&departed[0].Key); {
		case order < 0:
			result, own = append(result, own[0]), own[1:]
		case order > 0:
			past, departed = append(past, departed[0]), departed[1:]
		default:
			result, shared = append(result, either(&own[0], &departed[0])), append(shared, departed[0])
			own, departed = own[1:], departed[1:]
		}
	}
	return append(result, own...), shared, append(past, departed...)
}

// Either returns what a customer adds who is in a or in b: each key once, as a
// repeat visit if it is one in a or in b.
func Either(a, b Contributions) Contributions {
	result, _, rest := WithDeparted(a, b)
	return Add(result, rest) // no key is in both
}

func either(a, b *Row) Row {
	return Row{Key: a.Key, Refs: 1, Sums: []int64{max(a.Sums[0], b.Sums[0])}}
}
