// Package lifecycle starts the parts of a process in a named order and stops
// them in the reverse one.
//
// A [Group] owns services. It runs them together until its context ends, or
// until one of them returns, and then stops them one after the other, the last
// one added first: what was added early (a connection, a database) outlives
// what was added late and uses it. Each stop has its own deadline, is logged
// with the time it took, and its error is part of what [Group.Run] returns, so
// a drain that failed reaches the exit code.
//
// The group promises that no service sees the end of the process before it is
// its turn: the context it runs under is not the group's, it ends only when
// the service is stopped. It waits for every goroutine that it started. The one
// exception is a service that ignores its deadline; that one is named in the
// error, since the process must end nevertheless.
//
// Signals belong to main, which gets its context from [SignalContext], and what
// SIGHUP asks from [CatchHangups], so that tests can run several groups in one
// process.
package lifecycle
