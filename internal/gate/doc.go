// Package gate is what stands between a listener and the handlers of a service:
// it decides who is let in, how many at once and how fast, and words the answer
// to who is not. The intake of events and the read API have one each.
//
// A request passes these stations, cheapest first; the first one that refuses
// it answers:
//
//	connection      [Guard.Limit]         its client's address and all together   503, or closed
//	header          [NewHTTPServer]       time, bytes                             closed, 431
//	correlation id  [Guard.Enter]
//	header          [Guard.Screen]        fields                                  431
//	address         [Guard.Authenticate]  wrong keys from there                   429
//	key                                                                           401, 403
//	requests                              of key and address, then of the key     429
//	bytes           [Exchange.TakeBytes]  where requests have bodies              429
//
// It promises:
//
//   - Everything is bounded, what is remembered of clients too. Rates are one
//     replica's and no quota, and the answers say so.
//   - A refusal is one JSON object with a Content-Length (RFC 9457 with a code),
//     counted by its code; every 503 and 429 says when to come again.
//   - No key and no address is logged, stored or answered. Addresses are held no
//     longer than a request, and beyond it as hashes under a seed of the process.
//   - Who a client is comes from its connection; a header that names it is
//     believed from listed proxies alone.
//
// A service embeds [Exchange] in what it keeps of a request, calls Enter and
// Screen before its handler, and Leave after it, whatever happened. Routing,
// bodies, answers and the order of stopping are the service's, and so are the
// kinds of refusal that only it has ([Options.Kinds]).
package gate
