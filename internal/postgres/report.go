package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/event"
)

// pendingReport is a report that will be stored, or refused.
type pendingReport struct {
	delivery *delivery
	// receivedAt is when the client said it, which decides between reports.
	receivedAt event.Micros
}

const insertReports = `
INSERT INTO nexero.session_reports
    (batch_no, session_no, received_at, started_at, ended_at, clock_shift_ms, batch_id, customer_id, property_id, device, props)
SELECT batch_no, session_no, received_at, started_at, ended_at, NULLIF(clock_shift_ms, 0), batch_id,
       NULLIF(customer_id, ''), NULLIF(property_id, ''), NULLIF(device, ''), NULLIF(props, '')::jsonb
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
            $7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[])
    AS new (batch_no, session_no, received_at, started_at, ended_at, clock_shift_ms, batch_id, customer_id, property_id, device, props)`

// storeReports stores all reports at once, and one by one if one of them is
// refused.
func (l *load) storeReports(ctx context.Context) error {
	// The driver would fold a time from outside the calendar into another one.
	l.reports = slices.DeleteFunc(l.reports, func(r pendingReport) bool {
		stated := r.delivery.batch.Report
		if inCalendar(stated.Start) && inCalendar(stated.End) {
			return false
		}
		l.rejectReport(r.delivery, refusedCode, refusal{state: "22008", message: "timestamp out of range"})
		return true
	})
	if len(l.reports) == 0 {
		return nil
	}
	refused, err := l.tryReports(ctx, l.reports)
	if err != nil {
		return err
	}
	if refused == nil {
		return nil
	}
	if _, err := l.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT reports"); err != nil {
		return err
	}
	for i := range l.reports {
		one := l.reports[i : i+1]
		refused, err := l.tryReports(ctx, one)
		if err != nil {
			return err
		}
		if refused == nil {
			continue
		}
		if _, err := l.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT reports"); err != nil {
			return err
		}
		d := one[0].delivery
		l.rejectReport(d, refusedCode, refusalOf(refused))
	}
	return nil
}

// tryReports stores reports behind a savepoint. refused is PostgreSQL's word
// against one of them; then the caller has to roll back to the savepoint.
func (l *load) tryReports(ctx context.Context, reports []pendingReport) (refused *pgconn.PgError, err error) {
	var batch pgx.Batch
	batch.Queue("SAVEPOINT reports")
	batch.Queue(insertReports, reportColumns(reports)...).Exec(wantRows(len(reports)))
	batch.Queue("RELEASE SAVEPOINT reports")
	err = l.conn.SendBatch(ctx, &batch).Close()
	if refused = dataError(err); refused != nil {
		return refused, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range reports {
		r.delivery.touched[r.delivery.batch.Report.Session] = true
	}
	l.result.Reports += len(reports)
	return nil, nil
}

func reportColumns(reports []pendingReport) []any {
	n := len(reports)
	batchNos, sessionNos, shifts, ids := make([]int64, n), make([]int64, n), make([]int64, n), make([][16]byte, n)
	received, starts, ends := make([]time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
	customers, properties, devices, props := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, pending := range reports {
		d := pending.delivery
		r := d.batch.Report
		batchNos[i], sessionNos[i], ids[i] = d.entry.batchNo, d.sessions[r.Session], d.entry.id
		received[i], shifts[i] = pending.receivedAt.Time(), r.ClockShiftMS
		starts[i], ends[i] = optionalTime(r.Start), optionalTime(r.End)
		customers[i], properties[i], devices[i], props[i] = r.CustomerID, r.PropertyID, r.Device, r.Props
	}
	return []any{batchNos, sessionNos, received, starts, ends, shifts, ids, customers, properties, devices, props}
}

func inCalendar(t *event.Micros) bool {
	return t == nil || *t >= event.Earliest && *t <= event.Latest
}

func optionalTime(t *event.Micros) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.Time())
}

// storedReport is a report in rejected_events.payload, from which it can be
// stored after all. Texts that are no UTF-8 lose their bad bytes here.
type storedReport struct {
	Session      string        `json:"session"`
	Start        *event.Micros `json:"start_us,omitempty"`
	End          *event.Micros `json:"end_us,omitempty"`
	ClockShiftMS int64         `json:"clock_shift_ms,omitempty"`
	CustomerID   string        `json:"customer_id,omitempty"`
	PropertyID   string        `json:"property_id,omitempty"`
	Device       string        `json:"device,omitempty"`
	// Props is the JSON as text: what was refused may not be JSON.
	Props string `json:"props,omitempty"`
}

func encodeReport(d *delivery) []byte {
	r := d.batch.Report
	text, err := json.Marshal(storedReport{
		Session: d.batch.Sessions[r.Session].ClientID, Start: r.Start, End: r.End, ClockShiftMS: r.ClockShiftMS,
		CustomerID: r.CustomerID, PropertyID: r.PropertyID, Device: r.Device, Props: r.Props,
	})
	if err != nil { // strings and numbers always encode
		return []byte(err.Error())
	}
	return text
}

// dataError returns err as PostgreSQL's refusal of a value, or nil when it is
// something else.
func dataError(err error) *pgconn.PgError {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && Classify(err) == ClassData {
		return pgErr
	}
	return nil
}

// rowCountError is a COPY that stored another number of rows than it was sent.
func rowCountError(got, want int64) error {
	return fmt.Errorf("COPY stored %d of %d rows", got, want)
}
