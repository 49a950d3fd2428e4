package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// waiting is a row of rejected_events that is judged again.
type waiting struct {
	index         int
	code          event.Code
	field, detail string
	form          string
	payload       []byte
	// session is the one that it belongs to, where that could be read.
	session      event.Session
	hasSession   bool
	sessionNo    int64
	tenant       string
	judgedDetail string
}

const selectWaiting = `
SELECT r.event_index, r.code, coalesce(r.field, ''), coalesce(r.detail, ''), r.form, r.payload,
       s.session_id, coalesce(s.client_id, ''), coalesce(s.session_no, 0), t.name
FROM nexero.rejected_events r
JOIN nexero.tenants t USING (tenant_id)
LEFT JOIN nexero.sessions s ON s.session_id = r.session_id AND s.tenant_id = r.tenant_id
WHERE r.batch_no = $1
ORDER BY r.event_index`

// readWaiting reads what is to be judged again. The ledger row's lock keeps
// others from changing it.
func (r *replay) readWaiting(ctx context.Context) error {
	rows, err := r.conn.Query(ctx, selectWaiting, r.entry.batchNo)
	if err != nil {
		return err
	}
	var w waiting
	var session pgtype.UUID
	into := []any{
		&w.index, &w.code, &w.field, &w.detail, &w.form, &w.payload, &session, &w.session.ClientID, &w.sessionNo, &w.tenant,
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		if r.request.Code != "" && w.code != r.request.Code || r.request.Index != nil && w.index != *r.request.Index {
			return nil
		}
		w.session.Key, w.hasSession = session.Bytes, session.Valid
		r.waiting = append(r.waiting, w)
		w.payload = nil // the next row gets memory of its own
		return nil
	})
	return err
}

func (r *replay) tenantName() string {
	if len(r.waiting) == 0 {
		return ""
	}
	return r.waiting[0].tenant
}

// judgeEach puts into b what can be stored, and notes about the rest why not.
func (r *replay) judgeEach(ctx context.Context, b *event.Batch) error {
	positions := make(map[event.UUID]int)
	place := func(s event.Session) int {
		position, known := positions[s.Key]
		if !known {
			position = len(b.Sessions)
			positions[s.Key] = position
			b.Sessions = append(b.Sessions, s)
		}
		return position
	}
	shifts, err := r.clockShifts(ctx)
	if err != nil {
		return err
	}
	for i := range r.waiting {
		w := &r.waiting[i]
		if w.code == event.TooOldToCheck && r.request.Code != event.TooOldToCheck {
			w.judgedDetail = "it may be stored already, and nobody can check: it is replayed only when its code is asked for"
			continue
		}
		switch w.form {
		case formSent:
			r.judgeSent(w, shifts, b, place)
		case formRow:
			e, err := envelope.Row(w.payload).Event()
			if err != nil || !w.hasSession {
				w.judgedDetail = "it cannot be replayed: its row or its session cannot be read any more"
				continue
			}
			e.Index, e.Session = w.index, place(w.session)
			b.Events = append(b.Events, e)
		default: // formReport
			report, err := decodeReport(w.payload)
			if err != nil || !w.hasSession {
				w.judgedDetail = "it cannot be replayed: the report or its session cannot be read any more"
				continue
			}
			report.Session = place(w.session)
			b.Report = report
		}
	}
	return nil
}

// judgeSent asks the judge about an event that the edge rejected.
func (r *replay) judgeSent(w *waiting, shifts clockShifts, b *event.Batch, place func(event.Session) int) {
	if w.index == wholeBody {
		w.judgedDetail = "a body that could not be read is not replayed: its client was told so, and only its beginning was kept"
		return
	}
	sent := SentEvent{
		Tenant: w.tenant, Session: w.session.ClientID, Raw: string(w.payload), Index: w.index,
		ReceivedAt: min(r.entry.receivedAt, r.now), Now: r.now, AheadMS: shifts.ahead, DeadMS: shifts.dead,
	}
	if w.code == event.MissingSession || w.code == event.InvalidSession {
		// What is known is the session of other events in its batch, not its own.
		sent.Session = ""
	}
	var judged event.Batch
	err := r.judge(sent, &judged)
	switch {
	case err != nil:
		w.judgedDetail = storable(err.Error())
	case len(judged.Events) == 1:
		e := judged.Events[0]
		e.Index, e.Session = w.index, place(judged.Sessions[e.Session])
		b.Events = append(b.Events, e)
	case len(judged.Rejected) == 1:
		why := &judged.Rejected[0]
		r.keep(w, why.Code, why.Field, why.Detail)
	default:
		w.judgedDetail = fmt.Sprintf("it was judged to be %d events", len(judged.Events)+len(judged.Rejected))
	}
}

// keep leaves a rejected event where it is, with what is wrong with it now.
func (r *replay) keep(w *waiting, code event.Code, field, detail string) {
	if w.code == event.TooOldToCheck {
		// What it was set aside for has not changed, and nothing but the detail
		// says what else is wrong with it.
		code, detail = w.code, verdict(code, detail)
	}
	w.judgedDetail = detail
	if code == w.code && field == w.field && detail == w.detail {
		return
	}
	if code != w.code {
		r.entry.reject(w.index, code)
		r.entry.dirty = true
	}
	r.changed = append(r.changed, rejectedEvent{
		batchNo: r.entry.batchNo, index: w.index, code: code, field: field, detail: detail, form: w.form, payload: w.payload,
		session: pgtype.UUID{Bytes: w.session.Key, Valid: w.hasSession}, from: r.entry,
	})
}

// clockShifts are what was added to times of a batch in milliseconds, as its
// stored events have it: to those of a clock that was ahead, which is less than
// 0, and to those of one that had lost its date; 0 where none is stored.
type clockShifts struct{ ahead, dead int64 }

func (r *replay) clockShifts(ctx context.Context) (shifts clockShifts, err error) {
	var sessions []int64
	for i := range r.waiting {
		if r.waiting[i].form == formSent && r.waiting[i].sessionNo != 0 {
			sessions = append(sessions, r.waiting[i].sessionNo)
		}
	}
	if len(sessions) == 0 {
		return shifts, nil
	}
	// A replay's rows may have another shift, and another time of receipt.
	const query = `
SELECT coalesce(min(clock_shift_ms) FILTER (WHERE clock_shift_ms < 0), 0), coalesce(min(clock_shift_ms) FILTER (WHERE clock_shift_ms > 0), 0)
FROM nexero.events
WHERE session_no = ANY($1) AND batch_no = $2 AND received_at = $3`
	err = r.conn.QueryRow(ctx, query, sessions, r.entry.batchNo, storableTime(r.entry.receivedAt)).Scan(&shifts.ahead, &shifts.dead)
	return shifts, err
}

// decodeReport is the reverse of encodeReport, but for the session.
func decodeReport(payload []byte) (*event.Report, error) {
	var stored storedReport
	if err := json.Unmarshal(payload, &stored); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return &event.Report{
		Start: stored.Start, End: stored.End, ClockShiftMS: stored.ClockShiftMS,
		CustomerID: stored.CustomerID, PropertyID: stored.PropertyID, Device: stored.Device, Props: stored.Props,
	}, nil
}

const updateRejected = `
UPDATE nexero.rejected_events
SET session_id = $3, code = $4, field = NULLIF($5, ''), detail = NULLIF($6, ''), form = $7, payload = $8
WHERE batch_no = $1 AND event_index = $2`

// A replay is a repeat that nobody sent: it is what gives its rows' time of
// receipt a reason, and counts nowhere.
const insertReplay = `
INSERT INTO nexero.batch_repeats (batch_id, receipt_id, received_at, replayed) VALUES ($1, $2, $3, true)`

// storeOutcome writes what depends on everything before. What is still rejected
// is changed in place: a replay makes nothing younger, so nothing is kept longer.
func (r *replay) storeOutcome(ctx context.Context) error {
	var batch pgx.Batch
	still := make(map[int]bool)
	for _, e := range append(r.changed, r.rejected...) {
		still[e.index] = true
		batch.Queue(updateRejected, e.batchNo, e.index, e.session, storable(string(e.code)), storable(e.field), storable(e.detail),
			e.form, e.payload).Exec(wantRows(1))
	}
	var batchNos []int64
	var indexes []int
	for _, name := range r.replaced {
		if !still[name.index] {
			batchNos, indexes = append(batchNos, name.batchNo), append(indexes, name.index)
		}
	}
	if len(indexes) > 0 {
		batch.Queue(deleteReplaced, batchNos, indexes).Exec(wantRows(len(indexes)))
		batch.Queue(insertReplay, [16]byte(r.entry.id), [16]byte(r.request.ReceiptID), r.now.Time())
	}
	r.queueTouches(&batch)
	r.queueUpdates(&batch)
	r.queueQuality(&batch)
	r.tell()
	if batch.Len() == 0 {
		return nil
	}
	return r.conn.SendBatch(ctx, &batch).Close()
}

// tell makes the outcomes from what the ledger says now.
func (r *replay) tell() {
	refused := make(map[int]string)
	for i := range r.rejected {
		refused[r.rejected[i].index] = r.rejected[i].detail
	}
	for i := range r.waiting {
		w := &r.waiting[i]
		outcome := ReplayOutcome{Index: w.index, Was: w.code, Now: r.entry.rejected[w.index], Detail: w.judgedDetail}
		if detail, ok := refused[w.index]; ok {
			outcome.Detail = detail
		}
		r.outcomes = append(r.outcomes, outcome)
	}
}
