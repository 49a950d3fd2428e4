// Package sim invents what headsets send: visitors who walk furnished floor
// plans at human speeds, look at things, touch some and leave, and headsets with
// the habits that real ones have.
//
// A [Run] is a stream of HTTP requests and knows the truth of each. Visitors
// decide where somebody walks, looks and idles; the headset decides what of it
// is sent, when, how often and in whose words ([Habits]): offline spells, the
// same bytes again, late uploads, clocks that are wrong by hours, crashes, bad
// events, dialects. A [Ledger] adds up the posts that were really made and says
// what a database must hold afterwards, to the last event ([Truth]).
//
// # Promises
//
// Everything follows from [Options]: equal options give equal bytes, in whatever
// order headsets are asked for, and a further headset changes nothing about the
// others. The start changes the times and the session ids and nothing else, so
// two runs of one seed are the same people on two days. Other habits are other
// requests about the same walks.
//
// What is true does not depend on when a post arrives, with two exceptions that
// no client can know: the calendar place of a session whose clock is wrong
// ([Session.ClockAheadMS]), and the server's memory of repeats. No event lies
// later than the end of the run, so a run that is over by now has nothing in
// the future.
//
// # Who owns what
//
// The package does no I/O, reads no clock and starts no goroutine. Streams are
// made while they are read and hold little: what a headset has not sent yet. A
// Run is safe for concurrent use; each stream and each Ledger belongs to one
// goroutine. Plans are tables ([Plans]); their coordinates are centimetres in
// Unreal's world, X forward, Y right, Z up, levels count from 0.
package sim
