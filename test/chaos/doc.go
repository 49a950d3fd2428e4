// Command chaos breaks a running Nexero in every way that a seed draws, and then
// balances its books:
//
//	go run ./test/chaos --seed 7 --rounds 20
//
// A stand is the whole pipeline in real processes on this machine: a NATS
// server, a PostgreSQL, two ingests, three workers, a query service. Headsets
// (internal/sim) post to both ingests, repeat the same bytes when no answer
// comes, give up now and then, vanish in the middle of a body; a ledger keeps
// what was sent, acknowledged, refused and never answered. In each round some
// faults are drawn, happen while headsets post, and are healed. Then everything
// is started that is dead, the queue drains, and the checker compares what the
// database holds with the ledger, with internal/sim's truth and with
// `nexero verify`. After some rounds the stand is asked to stop in order, looked
// at for leaks, and the next one is made from nothing.
//
// With --cluster the queue is three NATS servers that replicate. Services reach
// each by a line of its own, servers find each other by lines too, and what can
// befall a cluster is drawn besides all the rest.
//
// # What it promises
//
// A run ends within its deadline, whatever hangs: every wait is bounded. On
// every way out, Ctrl-C included, each process that it started has ended; it
// ends them by number and no others. The exit status is 0 when all books
// balanced, 1 when a promise of the product was broken or a mistake went
// unnoticed, 2 when the harness itself had trouble, which says nothing about the
// product. After 1 the data directory stays, with every process's log, and the
// lines printed say which batches are wrong.
//
// The same seed draws the same faults with the same parameters, in the same
// order, against the same tours. When within a post a fault strikes is up to the
// machine, so a repeated run is alike and not equal.
//
// # Whether it can fail
//
// With --mistakes the programs are built with a known mistake, a patch of
// test/mutants, and the run has to find the books out of balance. Programs and
// data of such a run are thrown away: they are of no product.
//
// # What it does not believe
//
// The checker reads tables by plain SQL and counts posts by what the simulator
// says of them. Of the product's code it uses internal/unreal, to know which
// name (batch id) a post has, and internal/queue to look at the queue. An answer
// whose batch id is another one is a violation by itself.
//
// # Who owns what
//
// [stand] owns the processes, one goroutine for each that waits for its end.
// [ledger] is shared by all headsets and guards itself. A [fault] is a row of a
// table ([faults]): it draws its parameters, happens, and is healed; what it
// broke it mends itself, but a dead process is started again by the stand too.
// The run's goroutine does everything else in turn: it draws, strikes, heals,
// drains, checks.
package main
