// Package ingest is the HTTP edge: it takes the posts of headsets, judges them
// and hands them to a durable queue.
//
// A request passes these stations in this order, and the first one that
// refuses it answers:
//
//	correlation id → key → room for its body → body → decode → group commit → answer
//
// It promises:
//
//   - A 2xx is sent only after the [Publisher] acknowledged the envelope that
//     holds the request's batch. Whatever goes wrong before is a 503 that asks
//     the client to send the same bytes again.
//   - Nothing vanishes: what a client with a valid key sent is accepted, or
//     kept as rejected with its reason, or refused with a status that says why.
//   - Everything is bounded: bodies as sent and inflated, all bodies together,
//     batches waiting for the queue, envelopes under way, remembered ids.
//   - An answer is one JSON object with a Content-Length, never a redirect. Old
//     clients parse every answer, and an empty or chunked one fails in them.
//   - No key, address or body is ever logged.
//
// The package knows neither the queue's client nor the database: it declares
// what it needs ([Publisher], the functions in [Deps]) and the composition root
// plugs it. Listening, TLS and the order of stopping belong to the root; see
// [NewHTTPServer] and [Server.Drain].
package ingest
