package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// ReplayRequest says which rejected events of a batch are to be judged again.
type ReplayRequest struct {
	// Batch is the batch's id in the ledger. One whose id was used again for other
	// content has a ledger row, and so an id, of its own.
	Batch event.UUID
	// Code, when set, leaves out events that were rejected for another reason.
	// Those that are too old to be checked are left alone unless it is theirs.
	Code event.Code
	// Index, when set, is the one event that is meant; -1 is the session report.
	Index *int
	// ReceiptID names this replay; it must differ for each.
	ReceiptID event.UUID
	// DryRun does everything and takes it back: the result says what would come.
	DryRun bool
}

// SentEvent is an event as a client sent it, for a [Judge].
type SentEvent struct {
	Tenant, Session string
	Raw             string
	Index           int
	// ReceivedAt is when its batch came, Now the database's time.
	ReceivedAt, Now event.Micros
	// AheadMS and DeadMS are what was added to the times of its batch, in
	// milliseconds: to those of a clock that was ahead, which is less than 0, and
	// to those of one that had lost its date; 0 where that is not known.
	AheadMS, DeadMS int64
}

// Judge decides by the rules of the edge about an event that it once rejected:
// it fills b with the event, or with one rejection that says why not. An error
// leaves the event as it is, with the error for a detail. It is called within a
// transaction and must not wait for anything.
type Judge func(sent SentEvent, b *event.Batch) error

// ReplayOutcome is what became of one rejected event.
type ReplayOutcome struct {
	Index int
	// Was is why it was rejected, Now why it is after the replay: "" when it is
	// stored.
	Was, Now event.Code
	// Detail says more about why it is not stored.
	Detail string
}

// ErrNotInLedger is a batch that the ledger does not know, or no longer: nobody
// can say any more whether its events are stored.
var ErrNotInLedger = errors.New("postgres: the batch is not in the ledger")

// errDryRun takes back what a dry run did.
var errDryRun = errors.New("dry run")

// Replay judges rejected events of a batch again and stores those that are fit
// to be stored now. It is the same operation as a repeat of the batch by its
// client, under the same lock: each event is stored once, whoever repeats or
// replays it at the same time. What is stored leaves nexero.rejected_events, and
// what is not stays there with its new reason, as old as it was.
//
// The rows that it adds have a time of receipt of their own, the database's now,
// so that roll-ups see them as new. A session report keeps the time at which it
// was received: an old one does not overrule what was said since.
//
// Whole bodies that nobody could read are left alone: their clients were told.
// It returns after COMMIT, one outcome for each event that was looked at, in the
// order of their positions. The error is [ErrNotInLedger] or the database's.
func (s *Store) Replay(ctx context.Context, request ReplayRequest, judge Judge) ([]ReplayOutcome, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.StatementTimeout+loadGrace)
	defer cancel()
	outcomes, err := s.replay(ctx, request, judge)
	for again := 1; again < loadAttempts && beginsAnew(err); again++ {
		outcomes, err = s.replay(ctx, request, judge)
	}
	if err != nil {
		s.memory.doubt(err)
		return nil, fmt.Errorf("postgres: replay batch %s: %w", request.Batch, err)
	}
	return outcomes, nil
}

func (s *Store) replay(ctx context.Context, request ReplayRequest, judge Judge) ([]ReplayOutcome, error) {
	r := &replay{
		load:    load{store: s, generation: s.memory.generation.Load()},
		request: request, judge: judge,
	}
	now, err := s.readClock(ctx)
	if err != nil {
		return nil, err
	}
	r.now = event.MicrosOf(now)
	today := dayOf(r.now)
	if err := s.ensureDays(ctx, map[day]bool{today: true}, today); err != nil {
		return nil, err
	}
	err = s.inTransaction(ctx, r.run)
	switch {
	case request.DryRun && errors.Is(err, errDryRun):
		return r.outcomes, nil
	case err != nil:
		return nil, err
	}
	crashpoint.At(crashpoint.ReplayCommitted)
	r.remember()
	if r.result.Refused > 0 {
		r.reportRefusals(ctx)
	}
	return r.outcomes, nil
}

// replay is a load of one delivery that nobody delivered.
type replay struct {
	load
	request  ReplayRequest
	judge    Judge
	entry    *entry
	waiting  []waiting // what was rejected, in the order of positions
	changed  []rejectedEvent
	outcomes []ReplayOutcome
}

// run is the transaction. Its locks come in the order of every load's: ledger,
// sessions.
func (r *replay) run(ctx context.Context, conn *pgx.Conn) error {
	r.conn = conn
	if r.generation != r.store.memory.generation.Load() {
		return errForgotten
	}
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	known, err := r.lockBatches(ctx, []*entry{{id: r.request.Batch}})
	if errors.Is(err, errEntryGone) {
		return ErrNotInLedger
	}
	if err != nil {
		return err
	}
	r.entry = known[r.request.Batch]
	r.entries = append(r.entries, r.entry)
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"rejected events", r.readWaiting},
		{"time of receipt", r.chooseReceipt},
		{"judge", r.judgeAll},
		{"sessions", r.settleSessions},
		{"rows", r.copyRows},
		{"reports", r.storeReports},
		{"outcome", r.storeOutcome},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if r.request.DryRun {
		return errDryRun
	}
	crashpoint.At(crashpoint.ReplayBeforeCommit)
	return nil
}

// chooseReceipt makes the time at which the rows count as received one that no
// other rows of the batch have: a touch names rows by batch and time of receipt,
// and two that are equal would each fold the rows of both.
func (r *replay) chooseReceipt(ctx context.Context) error {
	const query = "SELECT received_at FROM nexero.batch_repeats WHERE batch_id = $1 AND received_at >= $2 ORDER BY received_at"
	rows, err := r.conn.Query(ctx, query, [16]byte(r.entry.id), r.now.Time())
	if err != nil {
		return err
	}
	taken, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return err
	}
	used := map[event.Micros]bool{r.entry.receivedAt: true}
	for _, t := range taken {
		used[event.MicrosOf(t)] = true
	}
	for used[r.now] {
		r.now++
	}
	return nil
}

// judgeAll plans what becomes of each rejected event.
func (r *replay) judgeAll(ctx context.Context) error {
	var b event.Batch
	if err := r.judgeEach(ctx, &b); err != nil {
		return err
	}
	b.Tenant, b.ID, b.Digest, b.ReceivedAt = r.tenantName(), r.entry.id, r.entry.digest, r.now
	b.ReceiptID = r.request.ReceiptID
	encoded, err := envelope.AppendBatch(nil, &b)
	if err != nil {
		return err
	}
	// Through an envelope, so that rows are made in one place only.
	var message envelope.Builder
	message.Add(encoded)
	batches, err := envelope.Open(message.Seal())
	if err != nil {
		return err
	}
	d := &delivery{batch: &batches[0], tenant: r.entry.tenant, day: dayOf(r.now), entry: r.entry}
	for row := range d.batch.Rows() {
		r.replace(d, row.Index())
		r.plan(d, row)
	}
	if d.batch.Report != nil {
		r.replace(d, wholeBody)
		r.planReport(d)
		// When the client said it, but never in the future.
		r.reports[0].receivedAt = min(r.entry.receivedAt, r.now)
	}
	return nil
}
