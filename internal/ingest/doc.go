// Package ingest is the HTTP edge: it takes the posts of headsets, judges them
// and hands them to a durable queue.
//
// A request passes these stations in this order, and the first one that
// refuses it answers. What costs least comes first, and what one client can use
// up alone comes before what it shares with others:
//
//	connection    its client's address and all together   503, or closed
//	header        time, bytes, fields                      closed, 431
//	correlation id
//	path, method                                           404, 405
//	address       wrong keys from there, before a key      429
//	              is looked at
//	key                                                    401, 403
//	requests      of key and address, then of the key      429 Retry-After
//	body          encoding, stated size                    415, 413
//	              room for all bodies together             503
//	              bytes of key and address, of the key     429 Retry-After
//	              time, size as it comes                   408, 413
//	              inflated size                            413
//	decode        count, depth, texts, events              413, rejections
//	group commit  room, time                               503
//	answer
//
// It promises:
//
//   - A 2xx is sent only after the [Publisher] acknowledged the envelope that
//     holds the request's batch. Whatever goes wrong before is a 503 that asks
//     the client to send the same bytes again.
//   - Nothing vanishes: what a client with a valid key sent is accepted, or
//     kept as rejected with its reason, or refused with a status that says why.
//   - What a client may ask about its session is written to [SessionStates]
//     between the acknowledgement and the answer, so that every replica knows it;
//     a failure there is counted and changes no answer to a post.
//   - Everything is bounded: connections, headers, requests and bytes a second,
//     bodies as sent and inflated, all bodies together, batches waiting for the
//     queue, envelopes under way, remembered ids and clients. Rates are this
//     replica's and no quota; see [Rates].
//   - An answer is one JSON object with a Content-Length, never a redirect. Old
//     clients parse every answer, and an empty or chunked one fails in them.
//   - No key, address or body is ever logged.
//
// The package knows neither the queue's client nor the database: it declares
// what it needs ([Publisher], [SessionStates], the functions in [Deps]) and the composition root
// plugs it. Listening, TLS and the order of stopping belong to the root; see
// [NewHTTPServer], [Server.Limit] and [Server.Drain].
package ingest
