// Package replay plays a recording of headsets against an ingest, the way the
// headsets would have done it.
//
// Each session of a recording is a tour: its requests go out one after the
// other, as a headset sends them, while tours overlap. A [Client] behaves as a
// good client should: it waits as long as a 429 or 503 tells it to and repeats
// the same bytes after an answer that never came, so that the server's promise
// of exactly-once is what makes the counts come out right.
//
// The package owns the requests in flight and nothing else. [Run] returns when
// every request was answered, one could not be, or its context ended.
package replay
