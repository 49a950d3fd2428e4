// Package devstack runs the two servers that Nexero stands on as private ones:
// a NATS server inside this process and a PostgreSQL server beside it. It is
// what `nexero up` and the tests use; a production installation brings its own.
//
// What it promises:
//
//   - Private does not mean lenient. JetStream syncs every message before it is
//     acknowledged and PostgreSQL runs with fsync and synchronous_commit on, so
//     what holds here holds in production.
//   - A data directory has one owner at a time, held by a lock file. It is never
//     deleted, never upgraded in place and never shared.
//   - A crash of this process loses nothing: the next start finds the PostgreSQL
//     server still running and takes it over, or lets it recover.
//   - Both listen on loopback only.
//
// A server belongs to the value that its Start function returns; the caller
// stops it. Linux and macOS are supported.
package devstack
