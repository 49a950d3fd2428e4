package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// LoadResult counts what one load did. It is meaningful only when Load returned
// no error.
type LoadResult struct {
	// Batches that the ledger did not know, those of the next two fields included.
	Batches int
	// Quarantined batches were received on a day that cannot be stored, or too
	// long ago for the ledger to tell whether they are stored already.
	Quarantined int
	// Reused batches came under an id that other content had taken.
	Reused int
	// Repeats are new deliveries by a client of a batch that was known.
	Repeats int
	// Redelivered are copies by the queue, which changed nothing.
	Redelivered int
	// Rows stored in nexero.events, and how many of them a repeat brought.
	Rows, Added int
	// Reports stored in nexero.session_reports.
	Reports int
	// Rejected events of the edge that were kept.
	Rejected int
	// Aside are accepted events and reports put aside with their whole delivery,
	// because of its day or its id.
	Aside int
	// Refused are rows and reports that the edge accepted and PostgreSQL did
	// not: each is a bug somewhere.
	Refused int
}

// load is the state of one transaction. It lives on one goroutine.
type load struct {
	store      *Store
	generation int64 // of the Store's memory when the load began
	// now is the time at the database then; of a replay the time of receipt.
	now        event.Micros
	conn       *pgx.Conn
	deliveries []*delivery
	entries    []*entry
	rows       []pendingRow
	reports    []pendingReport
	rejected   []rejectedEvent
	replaced   []eventName // rows of rejected_events that something better replaces
	fresh      freshSessions
	// horizon is the time of receipt before which a batch that the ledger did not
	// know may have been stored; 0 when nothing was ever forgotten.
	horizon event.Micros
	result  LoadResult
}

// Load stores batches in one transaction, each exactly once whoever else loads
// it, and returns after COMMIT. It fails as a whole: after an error nothing is
// stored, or, when the connection broke during COMMIT, everything; loading the
// same batches again settles it. [Classify] says whether that can help.
//
// The batches' memory is read until Load returns and not changed.
func (s *Store) Load(ctx context.Context, batches []envelope.Batch) (LoadResult, error) {
	if len(batches) == 0 {
		return LoadResult{}, nil
	}
	began := time.Now()
	defer func() { s.metrics.load.Observe(time.Since(began).Seconds()) }()
	// The server's timeouts do not help against a server that is gone.
	ctx, cancel := context.WithTimeout(ctx, s.config.StatementTimeout+loadGrace)
	defer cancel()
	defer s.watchStalled(ctx)()
	l, err := s.load(ctx, batches)
	for again := 1; again < loadAttempts && beginsAnew(err); again++ {
		l, err = s.load(ctx, batches)
	}
	if err != nil {
		s.memory.doubt(err)
		return LoadResult{}, fmt.Errorf("postgres: load %d batches: %w", len(batches), err)
	}
	crashpoint.At(crashpoint.LoadCommitted)
	l.remember()
	s.metrics.count(&l.result)
	if l.result.Refused > 0 {
		l.reportRefusals(ctx)
	}
	return l.result, nil
}

// loadAttempts is how often a load begins before the queue is asked for it
// again. Each of its sessions may be deleted under another attempt, but those that
// are gone are made anew: it takes several deletions in the load's short time.
const loadAttempts = 4

// beginsAnew reports whether a load failed because of what it had looked up: the
// next look finds what is there now.
func beginsAnew(err error) bool {
	return errors.Is(err, errForgotten) || errors.Is(err, errEntryGone) || errors.Is(err, errSessionGone)
}

// load makes one attempt.
func (s *Store) load(ctx context.Context, batches []envelope.Batch) (*load, error) {
	l := &load{store: s, generation: s.memory.generation.Load()}
	if err := l.prepare(ctx, batches); err != nil {
		return nil, err
	}
	return l, s.inTransaction(ctx, l.run)
}

// remember keeps what a load that committed found out, unless the memory was
// emptied since it began: then it may have been of another server.
func (l *load) remember() {
	if l.generation == l.store.memory.generation.Load() {
		l.fresh.remember(l.store.memory.sessions)
	}
}

// prepare does what must not be part of the transaction: tenants and partitions
// outlive it, and everybody would wait for their locks.
func (l *load) prepare(ctx context.Context, batches []envelope.Batch) error {
	now, err := l.store.now(ctx)
	if err != nil {
		return err
	}
	w := windowAt(now, l.store.config.PoseRetention)
	if refusesAny(w, batches) {
		// Never on the word of a remembered time.
		if now, err = l.store.readClock(ctx); err != nil {
			return err
		}
		w = windowAt(now, l.store.config.PoseRetention)
	}
	l.now = event.MicrosOf(now)
	wanted := make(map[day]bool, 2)
	l.deliveries = make([]*delivery, len(batches))
	names := make([]string, len(batches))
	rows := 0
	for i := range batches {
		d := &delivery{batch: &batches[i], day: dayOf(batches[i].ReceivedAt)}
		if d.refuse = w.refuses(d.day); d.refuse == "" {
			wanted[d.day] = true
		}
		l.deliveries[i] = d
		names[i] = storable(d.batch.Tenant)
		rows += d.batch.RowCount()
	}
	l.rows = make([]pendingRow, 0, rows)
	tenants, err := l.store.tenantIDs(ctx, names)
	if err != nil {
		return err
	}
	for i, d := range l.deliveries {
		d.tenant = tenants[names[i]]
	}
	return l.store.ensureDays(ctx, wanted, w.today)
}

func refusesAny(w window, batches []envelope.Batch) bool {
	return slices.ContainsFunc(batches, func(b envelope.Batch) bool { return w.refuses(dayOf(b.ReceivedAt)) != "" })
}

// run is the transaction from BEGIN to just before COMMIT. The order of its
// steps is the lock order.
func (l *load) run(ctx context.Context, conn *pgx.Conn) error {
	l.conn = conn
	// The numbers of tenants were looked up before there was this connection.
	if l.generation != l.store.memory.generation.Load() {
		return errForgotten
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"ledger", l.settleBatches},
		{"sessions", l.settleSessions},
		{"rows", l.copyRows},
		{"reports", l.storeReports},
		{"rejected events", l.storeRest},
	} {
		ctx, end := traced(ctx, step.name)
		err := step.do(ctx)
		end(err)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	crashpoint.At(crashpoint.LoadBeforeCommit)
	return nil
}

// inTransaction runs do on a connection and commits. do begins the transaction
// itself, so that BEGIN travels with its first statement.
func (s *Store) inTransaction(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that is not idle by then is closed instead of reused.
	defer pooled.Release()
	conn := pooled.Conn()
	if err := do(ctx, conn); err != nil {
		// Nothing was stored. The connection survives unless it is what broke.
		if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			_, rollbackErr := conn.Exec(ctx, "ROLLBACK")
			return errors.Join(err, rollbackErr)
		}
		return err
	}
	// COMMIT has a round trip of its own: its outcome is the one that can be
	// unknown, and its time is the disk's.
	ctx, end := traced(ctx, "commit")
	began := time.Now()
	tag, err := conn.Exec(ctx, "COMMIT")
	end(err)
	s.metrics.commit.Observe(time.Since(began).Seconds())
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	// A transaction that had failed unnoticed answers ROLLBACK without an error.
	if tag.String() != "COMMIT" {
		return fmt.Errorf("commit: the server answered %s", tag)
	}
	return nil
}

// reportRefusals logs once per load, with the first refusal as the example: a
// broken client can cause thousands.
func (l *load) reportRefusals(ctx context.Context) {
	for i := range l.rejected {
		if r := &l.rejected[i]; r.code == refusedCode {
			l.store.log.ErrorContext(ctx, "postgresql refused rows that the edge had accepted",
				slog.Int("rows", l.result.Refused), slog.Int64("batch_no", r.batchNo), slog.Int("event_index", r.index),
				slog.String("sqlstate", r.sqlState), slog.String("column", r.field), slog.String("correlation_id", r.correlationID))
			return
		}
	}
}
