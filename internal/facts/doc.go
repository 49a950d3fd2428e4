// Package facts turns the events of one session into what they mean: visits of
// zones, looks, interactions, time on the floor, the path, and a summary.
//
// It is a pure fold. [Of] folds a whole session; [State.Extend] adds events to
// a state that was stored, with the same result as folding everything at once,
// or says [ErrRecompute] and changes nothing. [State.Facts] reads the facts off
// a state, and [Facts.Contributions] says what the session adds to each
// aggregate row: integers under a key, so that late events, a property that
// becomes known later, a new formula and an erasure are one operation, a
// difference of two lists ([Difference]).
//
// A customer's sessions mean something together ([CustomerContributions]): the
// customer is the second unit, and is added by the same differences.
//
// # Promises
//
// The state is a function of the set of events and reports, whatever the order
// and the batches in which they came; equal sets give equal bytes
// ([State.Append]). Nothing that is summed is a float. Nothing here does I/O,
// reads a clock or keeps memory of its own: a State belongs to one goroutine.
//
// The caller promises one thing: no event is folded twice. Events of kinds that
// fold in any order are not told apart from their own repeats.
//
// # Order and time
//
// Events are folded in the order of the client's time, its sequence number,
// time of receipt, batch and position in the body; in SQL:
//
//	ORDER BY occurred_at - coalesce(clock_shift_ms, 0) * interval '1 ms',
//	         client_seq NULLS FIRST, received_at, batch_no, event_index
//
// Most kinds of events mean the same wherever they stand and may come late: a
// look is stamped with its start and sent at its end. Only poses, gaze samples,
// zone and idle events have to come in order.
//
// Lengths are differences of the client's times in whole milliseconds. One
// correction, the median of the shifts that the edge applied, places the session
// and its visits in the calendar; single events (poses, looks, interactions,
// counts) lie where their own corrected time is. A clock that was set by more
// than a day within the session leaves no client time to go by; then the
// corrected times are used for everything.
//
// # Definitions
//
// A visit lasts from enter to exit. Zones may nest and overlap. A missing exit
// is closed by the first later enter of another zone on the same level, or by
// the session's end. Entering a zone again within 1 s of leaving it continues
// the visit. Dwell is the visit's length minus idle time: stretches of more than
// 60 s without any event, and what lies between idle_start and idle_end (the
// next zone event ends it too, should idle_end be lost).
//
// A look is a gaze that brings its length, or a run of samples of one target
// with holes of at most 200 ms that lasts at least 300 ms; a sample without a
// target is a hole. A length of 0 is no length. An event belongs to the zone that
// it names, else to the innermost visit in which it falls.
//
// Each pose weighs min(time to the next pose, 1 s) for its cell of 25 cm; the
// last one weighs nothing. Levels default to 0.
//
// Names longer than [MaxNameBytes] are shortened, customer and property too.
//
// A session folds the events within 24 h of its first one and at most 500,000 of
// them; the others are counted ([Facts.OverLimit]) and nothing else.
package facts
