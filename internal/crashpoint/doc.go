// Package crashpoint names the places at which a process can be made to die, so
// that a fault run can kill it between any two steps whose order matters.
//
// In every build that is shipped, [At] is an empty function that the compiler
// removes together with its call: a point costs nothing and can do nothing. Only
// a build with the tag chaos has points that work:
//
//	go build -tags chaos ./cmd/...
//	CHAOS_CRASH=worker-committed:3 ./worker
//
// At the third time that the process reaches that point it says so on stderr, in
// one line that begins with "crashpoint: ", and sends itself SIGKILL. Nothing
// runs after that: no deferred function, no flush, no handler. A setting that
// names no point kills the process as soon as it reaches any, with a line that
// says why: a fault run whose fault never happens would pass.
//
// CHAOS_STOP, with the same settings, stops the process there with SIGSTOP
// instead, and lets it go on at SIGCONT.
//
// The process reads the setting itself, once. It is no setting of Nexero's: no
// file, flag or page has it, and internal/config never learns of it, because no
// program that is shipped has anything to configure here.
//
// A point is a place in the code and not a moment: hits are counted over all
// goroutines of the process. What stands after the name of a step is reached
// when that step has succeeded.
package crashpoint
