// Package event says what an event and a batch of events are.
//
// A headset's request becomes one [Batch]: the events that were accepted, the
// ones that were rejected and why, and, for session posts, a [Report]. The
// package holds the types, the closed lists of event types and reject codes,
// the limits and the rules that make a value storable; every other package
// speaks in these terms.
//
// It promises three things. What [Event.Check] accepts, PostgreSQL accepts: the
// edge is at least as strict as the tables. The numbers behind [Type], [Class]
// and [Code] are written to disk and never change their meaning. And nothing
// here does I/O, reads a clock or keeps state: values belong to whoever holds
// them, and a Batch is used by one goroutine at a time.
//
// It imports the standard library only.
package event
