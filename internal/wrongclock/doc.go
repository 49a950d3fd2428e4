// Package wrongclock is the clock by which ingest stamps receipts, so that a
// fault run can set it wrong while ingest runs.
//
// In every build that is shipped, [Now] is [time.Now]. Only a build with the tag
// chaos reads how wrong it is to be:
//
//	go build -tags chaos ./cmd/...
//	echo -1h > offset
//	CHAOS_CLOCK=offset ./ingest
//
// The file is read at each look at the clock, which may be an instant after it
// was written; whoever changes it renames another file over it. Without a file
// the clock is right. As with internal/crashpoint this is no setting of
// Nexero's, and internal/config never learns of it.
//
// Only times that are stored and compared with those of clients come from here.
// Deadlines and time-outs do not: a kernel's monotonic clock does not jump.
package wrongclock

// Variable is the environment variable that names the file, which holds a
// duration in Go's words: what is added to the right time.
const Variable = "CHAOS_CLOCK"
