// Package worker takes messages from the queue, has their batches stored and
// acknowledges them: gather, write, ack.
//
// It promises four things, in the order in which they win over each other.
//
// Nothing is acknowledged before it is kept. A message is acknowledged after
// Store.Load has committed all its batches, or after Store.KeepDamaged has
// committed its bytes because nothing can load them. There is no third way out
// of the queue. What the worker cannot or may not write it gives back.
//
// Nothing is lost by stopping. After the end of its context a worker fetches
// nothing, lets what it holds commit within Options.DrainTimeout and gives the
// rest back. Being killed at any instruction costs a redelivery, which the
// ledger behind Store.Load recognises.
//
// Nothing waits for its neighbour longer than it must. Messages are written
// together; when that fails they are written in ever smaller groups, so that
// one message that is locked, refused or fatal is soon alone. One that was
// delivered too often starts alone.
//
// Everything is bounded: messages, bytes, events and age of a gather, the time
// of a write, and how long a message is held before another worker gets it.
//
// # Who owns what
//
// A [Worker] owns its loops. Each loop is one goroutine that gathers and
// writes in turn, so that with two of them one gathers while the other writes,
// and one more that tells the queue that the messages in hand are being worked
// on. One further goroutine makes partitions. [Worker.Run] waits for all.
//
// # Errors
//
// Deps.Classify sorts the store's errors. [ClassRetry]: back off, fetch
// nothing, try the same messages again. [ClassStop]: give everything back and
// end Run. [ClassData]: isolate the message, then its batches; load all those
// that the store takes and, when it refuses one by itself twice, keep the
// message as damaged. A message of a newer layout stops fetching and stays in
// the queue.
//
// The package knows no queue and no database: it declares the small interfaces
// [Source], [Delivery] and [Store] that a composition root fills.
package worker
