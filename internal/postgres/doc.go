// Package postgres is the database: what workers write, the checks that make
// writing safe, and the operator's look at both.
//
// [Store.Load] is the heart. It stores any number of batches in one transaction
// that begins with their rows in the ledger, nexero.batches. A batch that the
// ledger knows is never stored again, so a gather can be loaded any number of
// times, by any number of workers at once, in any order: exactly once is the
// ledger's work and nobody else's. A caller that got no error may acknowledge
// its messages; a caller that got one knows nothing, repeats the same batches,
// and asks [Classify] how.
//
// Row-level rules:
//
//   - Locks are taken in one order everywhere: ledger rows that are new, ledger
//     rows that exist, sessions; keys sorted within each. Two loads never
//     deadlock, and neither waits for a roll-up: the rows that a roll-up locks
//     are not written here.
//   - A row that PostgreSQL refuses is put aside with its reason and costs
//     nobody else anything: the rest commits in the same attempt.
//   - What was rejected or refused is judged again by [Store.Replay], under the
//     lock of its ledger row, as if its client had repeated the batch.
//   - Days are UTC days of receipt. Partitions are made by [Store.EnsurePartitions]
//     before they are needed; a day that cannot have one puts the batch aside.
//     [Store.Drop] gives up days that are no longer kept, after
//     [Store.SealSessions] has sealed what they meant.
//
// [Migrate] owns the schema's version, [Store.CheckDurable] refuses databases
// that could lose what was committed, and [Store.Verify] compares ledger, rows,
// facts and aggregates in one snapshot.
//
// A Store is safe for concurrent use. The package starts no goroutines of its
// own beyond the pool's. No address, password or payload is in an error or a
// log line.
package postgres
