package postgres

import (
	"context"
	"fmt"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// delivery is one batch of a gather on its way through a load.
type delivery struct {
	batch  *envelope.Batch
	tenant int32
	day    day
	// entry is the ledger row that the delivery ended up under.
	entry *entry
	// refuse is why nothing of it may be stored in nexero.events, or "".
	refuse event.Code
	// sessions are the session numbers at the batch's positions, and touched
	// says which of them got rows or a report.
	sessions []int64
	touched  []bool
}

// newEntry returns the ledger row under id that d would be the owner of. What
// it counts is what will be stored if PostgreSQL takes every row.
func (d *delivery) newEntry(id event.UUID) *entry {
	b := d.batch
	e := &entry{id: id, receipt: b.ReceiptID, digest: b.Digest, tenant: d.tenant, receivedAt: b.ReceivedAt}
	for i := range b.Rejected {
		e.reject(b.Rejected[i].Index, d.sentCode(&b.Rejected[i]))
	}
	if d.refuse == "" {
		e.accepted, e.late, e.corrected = b.RowCount(), b.Late, b.Corrected
		return e
	}
	for row := range b.Rows() {
		e.reject(row.Index(), d.refuse)
	}
	if b.Report != nil {
		e.reject(wholeBody, d.refuse)
	}
	return e
}

// sentCode is why an event that the edge rejected is kept. Of a batch that is too
// old to be checked not even such an event may be added by a repeat: it may have
// been, before.
func (d *delivery) sentCode(sent *event.Rejection) event.Code {
	if d.refuse == event.TooOldToCheck {
		return d.refuse
	}
	return sent.Code
}

// settleBatches begins the transaction and decides what every delivery is: the
// first of a batch, a repeat by the client, a redelivery by the queue, or other
// content under an id that was taken.
func (l *load) settleBatches(ctx context.Context) error {
	reused, err := l.settle(ctx, l.deliveries, true, func(d *delivery) event.UUID { return d.batch.ID })
	if err != nil || len(reused) == 0 {
		return err
	}
	owners := make(map[*delivery]*entry, len(reused))
	for _, d := range reused {
		owners[d], d.refuse = d.entry, event.BatchIDReused
	}
	stranded, err := l.settle(ctx, reused, false, func(d *delivery) event.UUID {
		return event.ReusedID(d.batch.ID, d.batch.Digest)
	})
	if err == nil && len(stranded) > 0 {
		// Two digests with one SHA-256 of id and digest.
		err = fmt.Errorf("batch %s cannot be told from another", stranded[0].batch.ID)
	}
	// Were the owner's row forgotten first, this delivery would be taken for the
	// owner when it comes again, and stored beside what was put aside of it.
	for d, owner := range owners {
		owner.asked = owner.asked || d.entry.fresh || d.entry.repeats > 0
	}
	return err
}

// settle puts deliveries under ledger rows, each under the row that key names,
// and returns those whose row belongs to other content. A row has one owner:
// the first delivery in the gather, if the ledger did not know the id.
//
// The order of its statements is what makes concurrent loads safe. All INSERTs
// of one round come before its first lock: a load that waits for another's new
// row holds no row that the other could want. The look-up comes after, in a
// statement of its own, so that it sees what the INSERT waited for.
func (l *load) settle(ctx context.Context, deliveries []*delivery, begin bool, key func(*delivery) event.UUID) (reused []*delivery, err error) {
	// The gather's own copies are told apart here: ON CONFLICT and RETURNING
	// would call both of two equal ids new.
	owners := make(map[event.UUID]*delivery, len(deliveries))
	candidates := make([]*entry, 0, len(deliveries))
	for _, d := range deliveries {
		if id := key(d); owners[id] == nil {
			owners[id] = d
			candidates = append(candidates, d.newEntry(id))
		}
	}
	if err := l.insertBatches(ctx, candidates, begin); err != nil {
		return nil, err
	}
	known, err := l.lockBatches(ctx, candidates)
	if err != nil {
		return nil, err
	}
	for _, e := range known {
		l.entries = append(l.entries, e)
	}
	var again []*delivery
	for _, d := range deliveries {
		e := known[key(d)]
		switch {
		case e.fresh && owners[e.id] == d:
			d.entry = e
			if l.tooOldToCheck(d) {
				l.setTooOldAside(d, e)
			}
			l.own(d)
		case e.digest != d.batch.Digest:
			reused = append(reused, d)
			d.entry = e // whose id it is, until the contents are compared
		default:
			d.entry = e
			again = append(again, d)
		}
	}
	return reused, l.settleAgain(ctx, again)
}

// own plans to store everything that d, the owner of its entry, brought.
func (l *load) own(d *delivery) {
	l.result.Batches++
	switch d.refuse {
	case "":
	case event.BatchIDReused:
		l.result.Reused++
	default:
		l.result.Quarantined++
	}
	l.fresh.want(d)
	for row := range d.batch.Rows() {
		l.plan(d, row)
	}
	l.planReport(d)
	l.rejectSent(d)
}

// plan decides where an accepted event goes: to the COPY, or aside with all of
// its delivery.
func (l *load) plan(d *delivery, row envelope.Row) {
	if d.refuse == "" {
		l.rows = append(l.rows, pendingRow{row: row, delivery: d})
	} else {
		l.rejectRow(d, row, d.refuse, refusal{})
	}
}

func (l *load) planReport(d *delivery) {
	switch {
	case d.batch.Report == nil:
	case d.refuse == "":
		l.reports = append(l.reports, pendingReport{delivery: d, receivedAt: d.batch.ReceivedAt})
	default:
		l.rejectReport(d, d.refuse, refusal{})
	}
}

// settleAgain tells repeats from redeliveries and merges the repeats.
func (l *load) settleAgain(ctx context.Context, again []*delivery) error {
	var candidates []*delivery
	for _, d := range again {
		if d.batch.ReceiptID != d.entry.receipt {
			candidates = append(candidates, d)
		}
	}
	l.result.Redelivered += len(again) - len(candidates)
	if len(candidates) == 0 {
		return nil
	}
	// A repeat that the queue delivers again finds its row here and was merged
	// in the transaction that wrote it.
	inserted, err := l.insertNewRepeats(ctx, candidates)
	if err != nil {
		return err
	}
	for _, d := range candidates {
		name := repeat{d.entry.id, d.batch.ReceiptID}
		if !inserted[name] {
			l.result.Redelivered++
			continue
		}
		delete(inserted, name) // a second copy in this gather is a redelivery
		l.result.Repeats++
		d.entry.repeats++
		l.merge(d)
	}
	return nil
}

// merge plans to store what the edge rejected when the batch came first and
// accepts in this repeat. What was accepted then and is rejected now changes
// nothing; what PostgreSQL or a worker refused waits for an operator.
func (l *load) merge(d *delivery) {
	e := d.entry
	if e.rejected[wholeBody].Edge() && !d.rejects(wholeBody) {
		// The body could not be read then: nothing of it is there yet.
		l.replace(d, wholeBody)
		for i := range d.batch.Rejected {
			e.reject(d.batch.Rejected[i].Index, d.batch.Rejected[i].Code)
		}
		l.planReport(d)
		l.rejectSent(d)
		for row := range d.batch.Rows() {
			l.plan(d, row)
		}
		return
	}
	for row := range d.batch.Rows() {
		if e.rejected[row.Index()].Edge() {
			l.replace(d, row.Index())
			l.plan(d, row)
		}
	}
}

// replace takes one rejection out of the ledger: from here on the event is
// either stored or rejected again for another reason.
func (l *load) replace(d *delivery, index int) {
	e := d.entry
	delete(e.rejected, index)
	e.dirty = true
	l.fresh.want(d)
	if !e.fresh {
		l.replaced = append(l.replaced, eventName{e.batchNo, index})
	}
}

func (d *delivery) rejects(index int) bool {
	for i := range d.batch.Rejected {
		if d.batch.Rejected[i].Index == index {
			return true
		}
	}
	return false
}
