package crashpoint

// Point is a place in the code. Each is used once; its comment says where that
// is and what must hold after a death there.
type Point string

// ingest, on the way of a post.
const (
	// IngestBeforePublish is before each attempt to publish an envelope. Nobody
	// was answered; a first attempt stored nothing, and what the client sends
	// again is stored once.
	IngestBeforePublish Point = "ingest-before-publish"
	// IngestPublished is after the queue confirmed an envelope and before those
	// who wait for it hear of it. Everything is stored and nobody was told: the
	// ledger knows what they send again.
	IngestPublished Point = "ingest-published"
	// IngestBeforeRetry is after an attempt whose outcome is unknown, before the
	// same bytes are offered again. Stored or not; sent again it is stored once.
	IngestBeforeRetry Point = "ingest-before-retry"
	// IngestConfirmed is when a request has heard that its batch is stored. As
	// IngestPublished, but others of the same envelope may have their answers.
	IngestConfirmed Point = "ingest-confirmed"
	// IngestBeforeState is before what is known of a session is written for all
	// replicas. The batch is stored, its status is not shown until the next post.
	IngestBeforeState Point = "ingest-before-state"
	// IngestStateWritten is after that and before the answer.
	IngestStateWritten Point = "ingest-state-written"
	// IngestBeforeAnswer is before the answer to a session post is written: the
	// client hears nothing of what is stored and known everywhere.
	IngestBeforeAnswer Point = "ingest-before-answer"
	// IngestDraining is when a stopping ingest begins to send what is open: those
	// who wait were not answered.
	IngestDraining Point = "ingest-draining"
)

// queue, the client of JetStream.
const (
	// QueueStreamMade is between making the stream and its consumer. The next
	// start makes the consumer, which begins with the first message.
	QueueStreamMade Point = "queue-stream-made"
	// QueuePulled is when the server has delivered messages that no worker has
	// seen. They come again after AckWait.
	QueuePulled Point = "queue-pulled"
	// QueueStateRead is between reading and writing what is known of a session:
	// nothing was changed.
	QueueStateRead Point = "queue-state-read"
)

// worker, from the queue to the acknowledgement.
const (
	// WorkerGathered is with messages in hand of which nothing is written. They
	// come again.
	WorkerGathered Point = "worker-gathered"
	// WorkerBeforeLoad is before each load. As WorkerGathered; groups of the same
	// gather may be written and acknowledged.
	WorkerBeforeLoad Point = "worker-before-load"
	// WorkerCommitted is after COMMIT, of a load or of a damaged message, and
	// before the first ack of the group: all of it comes again, and the ledger
	// knows every batch.
	WorkerCommitted Point = "worker-committed"
	// WorkerAcked is after each single ack was handed to the connection, which
	// may or may not send it: of one gather some messages come again.
	WorkerAcked Point = "worker-acked"
	// WorkerIsolating is when the store refused a group, before it is tried in
	// parts. Nothing of the group is written.
	WorkerIsolating Point = "worker-isolating"
	// WorkerReleasing is before a message is given back: it comes after AckWait
	// instead of at once.
	WorkerReleasing Point = "worker-releasing"
	// WorkerDraining is when a stopping worker has ceased to fetch and still
	// writes what it holds.
	WorkerDraining Point = "worker-draining"
)

// postgres: a load and what else is loaded. Before COMMIT the server takes
// everything back, and everything is loaded again.
const (
	// LoadLedger is after BEGIN and the ledger's rows, of a load or a replay. Who
	// waits for the same batch becomes its owner.
	LoadLedger Point = "load-ledger"
	// LoadBeforeCopy is after the sessions, before COPY, also of a replay.
	LoadBeforeCopy Point = "load-before-copy"
	// LoadInCopy is before each piece of a COPY, of some ten thousand bytes: from
	// the second on the server has a part of the rows.
	LoadInCopy Point = "load-in-copy"
	// LoadRefused is after PostgreSQL refused a row, before the others are sent
	// again without it.
	LoadRefused Point = "load-refused"
	// LoadCopied is after COPY, also of a replay.
	LoadCopied Point = "load-copied"
	// LoadBeforeCommit is with everything written.
	LoadBeforeCommit Point = "load-before-commit"
	// LoadCommitted is after COMMIT, before anybody was told. Loaded again it
	// changes nothing.
	LoadCommitted Point = "load-committed"
	// DamagedKept is after a message that cannot be loaded was kept. It comes
	// again and is kept once.
	DamagedKept Point = "damaged-kept"
	// DamagedLoaded is after a kept message was loaded after all, before it is
	// let go. It can be loaded again and changes nothing.
	DamagedLoaded Point = "damaged-loaded"
	// ReplayBeforeCommit is with everything of a replay written: the events are
	// still rejected.
	ReplayBeforeCommit Point = "replay-before-commit"
	// ReplayCommitted is after its COMMIT: a second replay finds nothing to do.
	ReplayCommitted Point = "replay-committed"
)

// postgres and rollup: the upkeep of partitions. Between CREATE and ATTACH there
// is no point, for they are one message to the server and one transaction.
const (
	// PartitionsLocked is with the advisory lock and before anything was made:
	// the lock goes with the connection, and somebody else makes them.
	PartitionsLocked Point = "partitions-locked"
	// PartitionsAttached is after the missing days of one table were made: those
	// of the next table may be missing until the next call.
	PartitionsAttached Point = "partitions-attached"
	// PartitionsFinalized is after an interrupted detach was finished: a table of
	// its own, which the next round drops.
	PartitionsFinalized Point = "partitions-finalized"
	// RetentionPortion is after some sessions of an expired day were sealed and
	// others not: the next round goes on.
	RetentionPortion Point = "retention-portion"
	// RetentionSealed is after all were sealed, before DETACH.
	RetentionSealed Point = "retention-sealed"
	// RetentionLooked is after the look for sessions that are not sealed, under
	// the lock, right before DETACH.
	RetentionLooked Point = "retention-looked"
	// RetentionDetached is after DETACH: the table is there, apart, and the next
	// round drops it after a look of its own.
	RetentionDetached Point = "retention-detached"
	// RetentionBeforeDrop is after that look, before DROP.
	RetentionBeforeDrop Point = "retention-before-drop"
	// RetentionDropped is after DROP: the next round finds nothing.
	RetentionDropped Point = "retention-dropped"
	// RetentionTakingBack is while a detached table with sessions that are not
	// sealed is attached again, before its rows can be seen: it stays detached.
	RetentionTakingBack Point = "retention-taking-back"
	// OldSessionsLocked is with sessions that are no longer kept, and their facts,
	// locked: nothing happened.
	OldSessionsLocked Point = "old-sessions-locked"
	// OldSessionsDeleted is after they were deleted, before what they contributed is
	// kept: the server takes it back.
	OldSessionsDeleted Point = "old-sessions-deleted"
	// OldSessionsBeforeCommit is after that, with everything written.
	OldSessionsBeforeCommit Point = "old-sessions-before-commit"
	// OldSessionsCommitted is after COMMIT: they are gone, their sums are kept once, and
	// touches tell their customers.
	OldSessionsCommitted Point = "old-sessions-committed"
)

// postgres: what the ledger forgets, a step of some hundred batches at a time.
// Before COMMIT nothing is deleted and the horizon is where it was.
const (
	// ForgetAsked is after the clock was read and the queue was asked, before
	// BEGIN. Who stops here and goes on later must know no more of the queue than
	// it said then.
	ForgetAsked Point = "forget-asked"
	// ForgetFound is with the horizon and the batches locked that are to go, as
	// far as no load has them.
	ForgetFound Point = "forget-found"
	// ForgetRepeatsDeleted is after repeats of these batches were deleted, before
	// the batches are.
	ForgetRepeatsDeleted Point = "forget-repeats-deleted"
	// ForgetEntriesDeleted is after the batches were deleted, before the horizon
	// moves: were they gone without that, what the queue brings again would be
	// stored again.
	ForgetEntriesDeleted Point = "forget-entries-deleted"
	// ForgetBeforeCommit is with the horizon moved.
	ForgetBeforeCommit Point = "forget-before-commit"
	// ForgetCommitted is after COMMIT, before the next step: what is left is for
	// the next round.
	ForgetCommitted Point = "forget-committed"
)

// postgres: the roll-up of sessions. Before COMMIT nothing happened: touches and
// aggregates are as they were, and the sessions are due.
const (
	// SessionsMade is after the rows of session_facts were made, which is a
	// transaction of its own: they say nothing and are used by the next one.
	SessionsMade Point = "sessions-made"
	// SessionsLocked is with the rows locked.
	SessionsLocked Point = "sessions-locked"
	// SessionsTouchesTaken is after the touches were deleted.
	SessionsTouchesTaken Point = "sessions-touches-taken"
	// SessionsRead is after the events were read.
	SessionsRead Point = "sessions-read"
	// SessionsWholeRead is after sessions that have to be recomputed were read
	// from their first event.
	SessionsWholeRead Point = "sessions-whole-read"
	// SessionsFolded is after the fold, before anything is stored.
	SessionsFolded Point = "sessions-folded"
	// SessionsStored is after the facts were stored, before the aggregates.
	SessionsStored Point = "sessions-stored"
	// SessionsBeforeCommit is after the differences were applied.
	SessionsBeforeCommit Point = "sessions-before-commit"
	// SessionsCommitted is after COMMIT: the difference is applied, once.
	SessionsCommitted Point = "sessions-committed"
)

// postgres: the roll-up of customers and of the data's quality, as above.
const (
	// CustomersMade is after the rows of customer_facts were made.
	CustomersMade Point = "customers-made"
	// CustomersLocked is with the rows locked.
	CustomersLocked Point = "customers-locked"
	// CustomersTouchesTaken is after their touches were deleted.
	CustomersTouchesTaken Point = "customers-touches-taken"
	// CustomersRead is after their sessions were read.
	CustomersRead Point = "customers-read"
	// CustomersStored is after their facts were stored, before the aggregates.
	CustomersStored Point = "customers-stored"
	// CustomersBeforeCommit is after the differences were applied.
	CustomersBeforeCommit Point = "customers-before-commit"
	// CustomersCommitted is after COMMIT.
	CustomersCommitted Point = "customers-committed"
	// QualityMoved is after changes of the data's quality were added to the sums,
	// before COMMIT. It is not reached when there was none.
	QualityMoved Point = "quality-moved"
	// QualityCommitted is after its COMMIT; the next portion may be waiting.
	QualityCommitted Point = "quality-committed"
)

// PastKept is in a roll-up of customers or a deletion of sessions, after what
// those who are gone had added was kept, before COMMIT: nothing is deleted.
const PastKept Point = "past-kept"

// AggregatesPortion is in a roll-up of sessions or customers, after the
// differences to one table of the aggregates were applied and before those to
// the next: none of them is.
const AggregatesPortion Point = "aggregates-portion"

// All returns every point, in the order in which an event would pass them.
func All() []Point {
	return []Point{
		IngestBeforePublish, IngestPublished, IngestBeforeRetry, IngestConfirmed, IngestBeforeState, IngestStateWritten, IngestBeforeAnswer, IngestDraining,
		QueueStreamMade, QueuePulled, QueueStateRead,
		WorkerGathered, WorkerBeforeLoad, WorkerCommitted, WorkerAcked, WorkerIsolating, WorkerReleasing, WorkerDraining,
		LoadLedger, LoadBeforeCopy, LoadInCopy, LoadRefused, LoadCopied, LoadBeforeCommit, LoadCommitted,
		DamagedKept, DamagedLoaded, ReplayBeforeCommit, ReplayCommitted,
		PartitionsLocked, PartitionsAttached, PartitionsFinalized,
		RetentionPortion, RetentionSealed, RetentionLooked, RetentionDetached, RetentionBeforeDrop, RetentionDropped, RetentionTakingBack,
		ForgetAsked, ForgetFound, ForgetRepeatsDeleted, ForgetEntriesDeleted, ForgetBeforeCommit, ForgetCommitted,
		OldSessionsLocked, OldSessionsDeleted, OldSessionsBeforeCommit, OldSessionsCommitted,
		SessionsMade, SessionsLocked, SessionsTouchesTaken, SessionsRead, SessionsWholeRead, SessionsFolded, SessionsStored, SessionsBeforeCommit, SessionsCommitted,
		CustomersMade, CustomersLocked, CustomersTouchesTaken, CustomersRead, CustomersStored, CustomersBeforeCommit, CustomersCommitted,
		AggregatesPortion, PastKept, QualityMoved, QualityCommitted,
	}
}
