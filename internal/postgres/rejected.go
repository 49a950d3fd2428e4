package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// Forms of rejected_events.payload. The digit is the version of the layout: a
// payload can wait for its replay longer than a layout lives.
const (
	formSent   = "sent"    // JSON as the client sent it
	formRow    = "row1"    // envelope.Row, its numbers not filled in
	formReport = "report1" // storedReport as JSON
)

const refusedCode = event.RefusedByDatabase

// eventName is what names an event for ever.
type eventName struct {
	batchNo int64
	index   int
}

// rejectedEvent is a row of rejected_events to be.
type rejectedEvent struct {
	receivedAt    event.Micros
	batchNo       int64
	tenant        int32
	index         int
	session       pgtype.UUID
	code          event.Code
	field, detail string
	correlationID string
	form          string
	payload       []byte
	sqlState      string // for the log
	from          *entry
}

// refusal is what PostgreSQL said about a row; the zero value is a refusal of
// our own.
type refusal struct {
	state, column, message string
}

// refusalOf keeps the server's message, which can quote the value: it goes into
// the row that holds the value anyway, and into no log line.
func refusalOf(err *pgconn.PgError) refusal {
	return refusal{state: err.Code, column: columnOf(err), message: err.Message}
}

func (r refusal) detail() string {
	if r.state == "" {
		return ""
	}
	return fmt.Sprintf("PostgreSQL: %s (SQLSTATE %s)", r.message, r.state)
}

// reject plans a row of rejected_events. It is written last, if the ledger
// still lists it then; the caller adds what it knows about the reason.
func (l *load) reject(d *delivery, index int, code event.Code, form string, payload []byte) *rejectedEvent {
	l.rejected = append(l.rejected, rejectedEvent{
		receivedAt: d.batch.ReceivedAt, batchNo: d.entry.batchNo, tenant: d.entry.tenant, index: index, code: code,
		correlationID: d.batch.CorrelationID, form: form, payload: payload, from: d.entry,
	})
	return &l.rejected[len(l.rejected)-1]
}

// verdict is what the edge says of an event, for the detail of a row that is set
// aside for a reason of ours.
func verdict(code event.Code, detail string) string {
	return strings.TrimSuffix(string(code)+": "+detail, ": ")
}

// rejectSent keeps what the edge rejected.
func (l *load) rejectSent(d *delivery) {
	for i := range d.batch.Rejected {
		sent := &d.batch.Rejected[i]
		r := l.reject(d, sent.Index, d.sentCode(sent), formSent, []byte(sent.Raw))
		r.field, r.detail = sent.Field, sent.Detail
		if r.code != sent.Code {
			r.detail = verdict(sent.Code, sent.Detail)
		}
		// An event that was not read may have named another session of its batch; of
		// one that was rejected for its session the code says so, unless it was lost.
		sure := r.code == sent.Code || sent.Code != event.MissingSession && sent.Code != event.InvalidSession
		if len(d.batch.Sessions) == 1 && sure {
			r.session = sessionOf(d, 0)
		}
	}
}

// rejectRow keeps an event that the edge accepted; the ledger says so too.
func (l *load) rejectRow(d *delivery, row envelope.Row, code event.Code, why refusal) {
	r := l.reject(d, row.Index(), code, formRow, row)
	r.session = sessionOf(d, row.Session())
	r.field, r.detail, r.sqlState = why.column, why.detail(), why.state
	l.setAside(d, row.Index(), code)
}

// rejectReport keeps a session report that is not stored, under the index of
// the body as a whole.
func (l *load) rejectReport(d *delivery, code event.Code, why refusal) {
	r := l.reject(d, wholeBody, code, formReport, encodeReport(d))
	r.session = sessionOf(d, d.batch.Report.Session)
	r.field, r.detail, r.sqlState = why.column, why.detail(), why.state
	l.setAside(d, wholeBody, code)
}

// setAside says in the ledger that something accepted was not stored.
func (l *load) setAside(d *delivery, index int, code event.Code) {
	d.entry.reject(index, code)
	if code == refusedCode {
		d.entry.dirty = true
		l.result.Refused++
	} else {
		l.result.Aside++
	}
}

func sessionOf(d *delivery, position int) pgtype.UUID {
	return pgtype.UUID{Bytes: d.batch.Sessions[position].Key, Valid: true}
}

// deleteReplaced runs under the ledger rows' locks, and every writer of a
// batch's rejections takes them first.
const deleteReplaced = `
DELETE FROM nexero.rejected_events r
USING unnest($1::bigint[], $2::smallint[]) AS gone (batch_no, event_index)
WHERE r.batch_no = gone.batch_no AND r.event_index = gone.event_index`

const insertRejected = `
INSERT INTO nexero.rejected_events
    (received_at, batch_no, tenant_id, event_index, session_id, code, field, detail, correlation_id, form, payload)
SELECT received_at, batch_no, tenant_id, event_index, session_id, code,
       NULLIF(field, ''), NULLIF(detail, ''), NULLIF(correlation_id, ''), form, payload
FROM unnest($1::timestamptz[], $2::bigint[], $3::integer[], $4::smallint[], $5::uuid[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[])
    AS new (received_at, batch_no, tenant_id, event_index, session_id, code, field, detail, correlation_id, form, payload)`

// storeRest writes what depends on everything before: what was not stored, which
// sessions got something, the ledger rows that came out otherwise, and what all
// that changes of the data's quality.
func (l *load) storeRest(ctx context.Context) error {
	var batch pgx.Batch
	if len(l.replaced) > 0 {
		batchNos, indexes := make([]int64, len(l.replaced)), make([]int, len(l.replaced))
		for i, name := range l.replaced {
			batchNos[i], indexes[i] = name.batchNo, name.index
		}
		batch.Queue(deleteReplaced, batchNos, indexes)
	}
	if columns, n := l.rejectedColumns(); n > 0 {
		batch.Queue(insertRejected, columns...).Exec(wantRows(n))
	}
	l.queueTouches(&batch)
	l.queueUpdates(&batch)
	l.queueQuality(&batch)
	if batch.Len() == 0 {
		return nil
	}
	err := l.conn.SendBatch(ctx, &batch).Close()
	if isNoPartition(err, rejectedTable) {
		// Or the day is over and the remembered time has not noticed.
		l.store.memory.forget()
		return &classedError{class: ClassRetry, err: err}
	}
	return err
}

// rejectedColumns leaves out an event that the owner of a fresh batch rejected
// and a repeat in the same gather brought: it was never written.
func (l *load) rejectedColumns() (columns []any, n int) {
	var (
		times                                      []time.Time
		batchNos                                   []int64
		tenants                                    []int32
		indexes                                    []int
		sessions                                   []pgtype.UUID
		codes, fields, details, correlation, forms []string
		payloads                                   [][]byte
	)
	for i := range l.rejected {
		r := &l.rejected[i]
		if r.from.rejected[r.index] != r.code {
			continue
		}
		times, batchNos, tenants = append(times, storableTime(r.receivedAt)), append(batchNos, r.batchNo), append(tenants, r.tenant)
		indexes, sessions, codes = append(indexes, r.index), append(sessions, r.session), append(codes, storable(string(r.code)))
		fields, details = append(fields, storable(r.field)), append(details, storable(r.detail))
		correlation, forms = append(correlation, storable(r.correlationID)), append(forms, r.form)
		payloads = append(payloads, r.payload)
		if r.form == formSent {
			l.result.Rejected++
		}
	}
	return []any{times, batchNos, tenants, indexes, sessions, codes, fields, details, correlation, forms, payloads}, len(times)
}

// wantRows checks that a statement wrote what it was given.
func wantRows(n int) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(n) {
			return fmt.Errorf("%s where %d rows were meant", tag, n)
		}
		return nil
	}
}
