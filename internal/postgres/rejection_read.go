package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/nexero-vr/nexero/internal/event"
)

// RejectionFilter says which rejected events to read. All conditions hold at
// once; the zero value of each but Tenant is none.
type RejectionFilter struct {
	// Tenant is whose rejections are read. It is never left out by accident: to
	// read those of every tenant, an operator says so in EveryTenant.
	Tenant string
	// EveryTenant reads regardless of tenant; Tenant and Session must be empty.
	EveryTenant bool
	// Session is a session's id in any spelling.
	Session string
	// Batch is a batch's id in the ledger.
	Batch event.UUID
	// Code is the reason, one of the closed list.
	Code string
	// From and Until bound the time of writing: From is in, Until is not.
	From, Until time.Time
	// After continues a listing behind the last rejection that was read.
	After RejectionCursor
	// Limit is the most rejections in one page, from 1 to [MaxRejections].
	Limit int
}

// MaxRejections is the most rejections that are read at once.
const MaxRejections = 500

// maxRejectionBytes is what the payloads of a page have together, but for the
// last: a setting lets one event be large, not a page.
const maxRejectionBytes = 4 << 20

// RejectionCursor is a place in the order of rejections, latest first. The zero
// value is the beginning. It holds no condition: a listing goes on under the
// filter that it is used with.
type RejectionCursor struct {
	// WrittenAt is in microseconds since 1970, as the database keeps it.
	WrittenAt int64
	BatchNo   int64
	Index     int
}

// IsZero reports whether c is the beginning, or the end of a listing.
func (c RejectionCursor) IsZero() bool { return c == RejectionCursor{} }

// Rejection is an event, or a body as a whole, that is not stored as a client
// meant it, as nexero.rejected_events has it.
type Rejection struct {
	// WrittenAt, BatchNo and Index name it. Index is the position in the body;
	// -1 is the body as a whole.
	WrittenAt time.Time
	BatchNo   int64
	Index     int
	// BatchID is zero when the ledger has forgotten the batch.
	BatchID event.UUID
	// Tenant is who sent it, Session its session as the client wrote it first,
	// empty where that could not be read.
	Tenant, Session string
	ReceivedAt      time.Time
	Code            event.Code
	// Field is the member at fault, Detail a sentence, CorrelationID the
	// request's. Each may be empty.
	Field, Detail, CorrelationID string
	// Form says what Payload holds; see [Rejection.Text] for something to show.
	Form    string
	Payload []byte
}

// ErrRejectionFilter is a filter that makes no sense. Its text says why and
// holds nothing of the filter.
var ErrRejectionFilter = errors.New("postgres: rejections cannot be selected so")

func (f *RejectionFilter) validate() error {
	switch {
	case f.EveryTenant == (f.Tenant != ""):
		return fmt.Errorf("%w: one tenant, or expressly every tenant", ErrRejectionFilter)
	case f.EveryTenant && f.Session != "":
		return fmt.Errorf("%w: a session belongs to a tenant", ErrRejectionFilter)
	case f.Code != "" && !event.Code(f.Code).Valid():
		return fmt.Errorf("%w: there is no such code", ErrRejectionFilter)
	case f.Limit < 1 || f.Limit > MaxRejections:
		return fmt.Errorf("%w: a page has from 1 to %d", ErrRejectionFilter, MaxRejections)
	}
	return nil
}

// Rejections returns a page of rejected events, latest first, and where the
// next page begins: the zero cursor says that there is none.
//
// A rejection that was there when the first page was read comes exactly once,
// if it is still there, whatever is written meanwhile. One that is written
// between two pages may be missing and never comes twice: its time is the
// beginning of its transaction, so it can appear before or behind the cursor.
//
// The error is [ErrRejectionFilter], or of the database.
func (s *Store) Rejections(ctx context.Context, f RejectionFilter) (page []Rejection, next RejectionCursor, err error) {
	options := pgx.TxOptions{AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		page, next, err = readRejections(ctx, tx, f)
		return err
	})
	return page, next, err
}

// selectRejections takes its conditions in the middle. The page is cut before
// anything is looked up for it. Comparing the time by itself too is what lets
// the planner leave out partitions, which it does not by a row.
const (
	selectRejections = `
SELECT p.written_at, p.batch_no, p.event_index, b.batch_id, t.name, coalesce(s.client_id, ''), p.received_at, p.code,
       coalesce(p.field, ''), coalesce(p.detail, ''), coalesce(p.correlation_id, ''), p.form, p.payload
FROM (SELECT * FROM nexero.rejected_events r
      WHERE `
	orderRejections = `
      ORDER BY r.written_at DESC, r.batch_no DESC, r.event_index DESC
      LIMIT @limit) p
JOIN nexero.tenants t ON t.tenant_id = p.tenant_id
LEFT JOIN nexero.sessions s ON s.session_id = p.session_id AND s.tenant_id = p.tenant_id
LEFT JOIN nexero.batches b ON b.batch_no = p.batch_no
ORDER BY p.written_at DESC, p.batch_no DESC, p.event_index DESC`
)

// query returns the statement for f. ok is false when nothing can match.
func (f *RejectionFilter) query() (sql string, arguments pgx.NamedArgs, ok bool) {
	// One more than the page tells whether there is another.
	arguments = pgx.NamedArgs{"limit": f.Limit + 1}
	conditions := []string{"true"}
	add := func(condition, name string, value any) {
		conditions = append(conditions, condition)
		arguments[name] = value
	}
	if !f.EveryTenant {
		add("r.tenant_id = (SELECT tenant_id FROM nexero.tenants WHERE name = @tenant)", "tenant", f.Tenant)
	}
	if f.Session != "" {
		normalised, valid := event.NormaliseSessionID(f.Session)
		if !valid {
			return "", nil, false
		}
		add("r.session_id = @session", "session", pgtype.UUID{Bytes: event.SessionKey(f.Tenant, normalised), Valid: true})
	}
	if f.Batch != (event.UUID{}) {
		add("r.batch_no IN (SELECT batch_no FROM nexero.batches WHERE batch_id = @batch)", "batch", pgtype.UUID{Bytes: f.Batch, Valid: true})
	}
	if f.Code != "" {
		add("r.code = @code", "code", f.Code)
	}
	if !f.From.IsZero() {
		add("r.written_at >= @from", "from", f.From)
	}
	if !f.Until.IsZero() {
		add("r.written_at < @until", "until", f.Until)
	}
	if !f.After.IsZero() {
		add("r.written_at <= @after_time AND (r.written_at, r.batch_no, r.event_index) < (@after_time, @after_batch, @after_index)",
			"after_time", event.Micros(f.After.WrittenAt).Time())
		arguments["after_batch"], arguments["after_index"] = f.After.BatchNo, f.After.Index
	}
	return selectRejections + strings.Join(conditions, " AND ") + orderRejections, arguments, true
}

func readRejections(ctx context.Context, tx pgx.Tx, f RejectionFilter) (page []Rejection, next RejectionCursor, err error) {
	if err := f.validate(); err != nil {
		return nil, next, err
	}
	sql, arguments, ok := f.query()
	if !ok {
		return nil, next, nil
	}
	rows, err := tx.Query(ctx, sql, arguments)
	if err != nil {
		return nil, next, fmt.Errorf("postgres: read rejections of tenant %q: %w", f.Tenant, err)
	}
	// After the loop rows are read to their end.
	defer rows.Close()
	for size := 0; rows.Next(); {
		if len(page) == f.Limit || size > maxRejectionBytes {
			next = page[len(page)-1].cursor()
			break
		}
		r, err := scanRejection(rows)
		if err != nil {
			return nil, RejectionCursor{}, fmt.Errorf("postgres: read rejections of tenant %q: %w", f.Tenant, err)
		}
		size += len(r.Payload)
		page = append(page, r)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, RejectionCursor{}, fmt.Errorf("postgres: read rejections of tenant %q: %w", f.Tenant, err)
	}
	return page, next, nil
}

func scanRejection(rows pgx.Rows) (r Rejection, err error) {
	var batch pgtype.UUID
	err = rows.Scan(&r.WrittenAt, &r.BatchNo, &r.Index, &batch, &r.Tenant, &r.Session, &r.ReceivedAt, &r.Code,
		&r.Field, &r.Detail, &r.CorrelationID, &r.Form, &r.Payload)
	r.BatchID = batch.Bytes
	r.WrittenAt, r.ReceivedAt = r.WrittenAt.UTC(), r.ReceivedAt.UTC()
	return r, err
}

func (r *Rejection) cursor() RejectionCursor {
	return RejectionCursor{WrittenAt: r.WrittenAt.UnixMicro(), BatchNo: r.BatchNo, Index: r.Index}
}
