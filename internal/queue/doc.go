// Package queue is everything that Nexero knows about NATS JetStream: where
// envelopes wait between ingest and the workers, where the API keys live, and
// where replicas of ingest share what clients may ask about their sessions.
//
// What exists on the server is written down as data in topology.go and brought
// about by [Conn.Provision]: the stream EVENTS, its one durable consumer
// "loader" and the key bucket api_keys; and, apart from those since nothing needs
// it, by [SessionStates.Provision]: the bucket session_state.
//
// What it promises:
//
//   - [Conn.Publish] returns nil only after the stream acknowledged the message.
//     Whether that survives a power cut is decided by sync_interval on every
//     server, which a client cannot see; see docs/operations.md. Each of its
//     errors says whether the message may be stored all the same.
//   - Nothing leaves the stream before [Message.Ack]: no age limit, no delivery
//     limit, no discarding of old messages. A full stream refuses new ones.
//   - A message that the server delivered to this process is handed out by some
//     call of [Conn.Fetch] or is given back by [Conn.Close].
//   - A message may come more than once, in any order. Counting it once is the
//     ledger's work, never this package's: duplicate detection here saves
//     bandwidth and is forgotten at restarts.
//
// A [Conn] owns one connection and whatever runs on it until Close. All its
// methods may be called at the same time.
package queue
