// Package envelope is the message in the queue: what ingest publishes and a
// worker loads.
//
// Many requests share one envelope, so that one fsync in the queue serves them
// all. An envelope is sealed once; its bytes never change afterwards, however
// often it is published or delivered. A batch never spans envelopes.
//
// Accepted events lie in an envelope as rows of PostgreSQL's binary COPY
// format. A worker therefore loads an event by copying its bytes and filling
// in two numbers at fixed offsets, its batch_no and its session_no, instead of
// decoding and encoding again; see [Row]. The layout of a row is part of the
// format version.
//
// # Layout, version 2
//
// All integers are little-endian but for those inside rows, which are
// big-endian as PostgreSQL wants them. A "text" is a uvarint length and that
// many bytes.
//
//	envelope  4   magic "NXRO"
//	          1   version
//	          3   zero
//	          4   number of batches
//	          4   CRC-32C of everything behind the header
//	          …   batches
//
//	batch     4   length of the rest of the batch
//	          16  batch id
//	          16  receipt id
//	          16  digest
//	          8   received at, microseconds since 1970
//	          text tenant
//	          text correlation id
//	          1   length of the trace context: 0, or 25
//	          16 trace id, 8 span id, 1 flags (W3C trace context)
//	          uvarint events accepted whose time is late, then clock-corrected
//	          uvarint sessions, each: 16 key, text client id
//	          uvarint rejections, each: varint index, texts code, field, detail, raw
//	          1   1 when a report follows
//	          report: uvarint session, 1 presence bits (1 start, 2 end),
//	                  varint start, varint end, varint clock shift in ms,
//	                  texts customer, property, device, props
//	          uvarint rows
//	          4 × rows: length of each row
//	          rows, one behind the other
//
// An envelope without batches is valid, and loading it is doing nothing. With one
// internal/queue finds out whether the stream takes messages.
//
// Version 1 has no trace context, not even its length; all else is the same.
// This build reads both and writes 2. Workers are therefore upgraded before
// ingest: a worker that knows version 1 alone stops fetching at the first message
// of version 2, leaves it in the queue and is not ready.
//
// Decoding checks every length against the bytes that are there, so damaged or
// hostile input costs an error and no memory: nothing is allocated by a count
// that the input states. A version that this build does not know is
// [ErrVersion], anything else that does not fit is [ErrDamaged]; the two are
// treated differently, since a newer worker can read the first.
//
// The package imports internal/event only. Its functions keep no state and are
// safe for concurrent use; a decoded value shares the message's bytes.
package envelope
