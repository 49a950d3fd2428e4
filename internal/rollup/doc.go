// Package rollup keeps facts and aggregates up to date: it decides which
// sessions and customers are rolled up when, extends or recomputes their facts,
// and sees to it that raw days are dropped only after their sessions are sealed.
//
// # Promises
//
// Any number of goroutines and processes may roll up at once. What one of them
// does is one transaction of the [Store]: the session's facts and the difference
// that they make to the aggregates are stored together or not at all, and no new
// row is folded twice or forgotten. The Store owns the transaction, its locks
// and the order of its statements; this package owns the decisions. They are a
// function of the [facts.Claim] alone, so a roll-up that was lost is made again
// with the same end.
//
// # When
//
// A session is rolled up at most every [Options.Interval] while it is live, so
// its facts are about that old. New events that only extend it cost what they
// are. One that belongs before what was folded costs the whole session again,
// so the pause until the next such recompute doubles with each, up to five
// minutes: reading again costs about as much as the session, however long its
// events come out of order. After half an hour of silence that is forgotten. A
// session that is full, with hundreds of thousands of events, is read again
// only for what has waited half an hour.
//
// While the queue is behind, roll-ups yield to loads, each loop for
// [Options.YieldLimit] at most: events in PostgreSQL are safe, and catching up
// is cheaper in one go. How far they lag is a metric.
//
// # Errors
//
// Deps.Classify sorts the Store's errors. [ClassRetry]: back off and try again,
// with fewer sessions. [ClassStop]: end Run. A session that fails by itself,
// because the Store refuses it or because it is too much for it while others
// work, is left alone for five minutes at a time: its touches stay, so it is
// behind and not forgotten, and it costs its neighbours nothing.
//
// # Days
//
// A day of raw events that retention gives up is dropped in three steps, each
// in a transaction of its own, each safe to repeat: its sessions are rolled up
// and sealed, the partition is detached, the table is dropped. A sealed session
// is never folded from raw events again; later events are folded alone and
// added ([facts.State.Absorb]). Sessions themselves are deleted long after, by
// Deps.ForgetSessions, a few at a time. What goes wrong there is logged and comes
// again an hour later; it stops nothing else.
//
// # Who owns what
//
// A [Roller] owns its goroutines: [Options.Loops] for sessions, and one each
// for customers, days and the look at what waits. [Roller.Run] waits for all.
package rollup
