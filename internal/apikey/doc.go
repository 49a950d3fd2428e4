// Package apikey is who may talk to Nexero: what a key looks like, what is
// remembered of it, where that lies, and how every replica learns of a change.
//
// A key is
//
//	nxr_<environment>_<id>_<secret><checksum>
//
// with dev, stg or prod for the environment, an id that is safe to log, 180
// random bits of secret, and a checksum of everything before, so that a slip of
// the pen is told from a wrong key without asking anybody. All but the prefix
// is written in digits and small letters without i, l, o and u.
//
// What it promises:
//
//   - A key's text is returned once, by [New]. Only its SHA-256 is kept. The text
//     is in no error and no log line of this package.
//   - A revoked key stays revoked: no function here revives one, and a [Watcher]
//     remembers revocations that a restored bucket has forgotten. The same holds
//     of a key's end, which only ever moves to an earlier time.
//   - A key with an end is refused from that moment on, by the clock of whoever
//     judges it: nobody has to be told. That is how a rotated key goes.
//   - A key that is revoked in the bucket is refused by every running Watcher
//     within a second, or the Watcher refuses to judge: [ErrUnavailable] means
//     503, never 401, because clients drop what was refused with 401.
//
// Records lie in a JetStream bucket whose direct reads are off; internal/queue
// makes it. Everything exported is safe for concurrent use.
package apikey
