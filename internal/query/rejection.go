package query

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/postgres"
)

const (
	// defaultRejections are in a page when nothing else is asked for.
	defaultRejections = 100
	// Bounds of parameters, in bytes. No code is as long; an id can be 128, with
	// an engine's prefix around it.
	maxCode    = 64
	maxSession = 256
	maxCursor  = 64
)

// rejectionsBody is a page of rejections, latest first.
type rejectionsBody struct {
	Rejections []rejectionBody `json:"rejections"`
	// NextCursor goes on behind the last one; null at the end.
	NextCursor *string `json:"next_cursor"`
}

// rejectionBody is what became of one event, or of a body as a whole.
type rejectionBody struct {
	// ID names the rejection; it is the same in `nexero rejected`.
	ID         string  `json:"id"`
	WrittenAt  string  `json:"written_at"`
	ReceivedAt string  `json:"received_at"`
	BatchID    *string `json:"batch_id"`
	// Index is the position in the body; -1 is the body as a whole.
	Index         int     `json:"index"`
	Session       *string `json:"session"`
	Code          string  `json:"code"`
	Field         *string `json:"field"`
	Detail        *string `json:"detail"`
	CorrelationID *string `json:"correlation_id"`
	// Form says what Payload is: sent is what the client sent; row1 and report1
	// are events and reports that the database refused, as they would have been
	// stored. JSON is shown as JSON, anything else as text.
	Form    string          `json:"form"`
	Payload json.RawMessage `json:"payload"`
}

// getRejections answers with a page of the rejections of the key's tenant.
func (s *Server) getRejections(ctx context.Context, x *exchange) error {
	p := parametersOf(x, "session", "code", "from", "until", "limit", "cursor")
	filter := postgres.RejectionFilter{
		Tenant: x.Tenant, Session: p.text("session", maxSession), Code: p.text("code", maxCode),
		From: p.instant("from"), Until: p.instant("until"),
		Limit: p.number("limit", 1, postgres.MaxRejections, defaultRejections),
	}
	cursor := p.text("cursor", maxCursor)
	if p.err != nil {
		return p.err
	}
	if cursor != "" {
		after, err := decodeCursor(cursor, &filter)
		if err != nil {
			return gate.Refused(codeInvalidCursor, "The cursor does not belong to this listing. Take next_cursor of the page before, with the same parameters.")
		}
		filter.After = after
	}
	page, next, err := s.deps.Reads.Rejections(ctx, filter)
	switch {
	case errors.Is(err, postgres.ErrRejectionFilter):
		// All else in the filter was checked above.
		return badParameter("code", "is no code of a rejection.")
	case err != nil:
		return s.failed(err)
	}
	x.rows = len(page)
	body := rejectionsBody{Rejections: make([]rejectionBody, 0, len(page))}
	for i := range page {
		body.Rejections = append(body.Rejections, rejectionAnswer(&page[i]))
	}
	if !next.IsZero() {
		filter.After = next
		body.NextCursor = new(encodeCursor(&filter))
	}
	return x.Show(http.StatusOK, body)
}

func rejectionAnswer(r *postgres.Rejection) rejectionBody {
	body := rejectionBody{
		ID:        strconv.FormatInt(r.BatchNo, 10) + ":" + strconv.Itoa(r.Index),
		WrittenAt: timestamp(r.WrittenAt), ReceivedAt: timestamp(r.ReceivedAt), Index: r.Index,
		Session: filled(r.Session), Code: string(r.Code), Field: filled(r.Field), Detail: filled(r.Detail),
		CorrelationID: filled(r.CorrelationID), Form: r.Form,
	}
	if r.BatchID != [16]byte{} {
		body.BatchID = new(r.BatchID.String())
	}
	text, isJSON := r.Text()
	if !isJSON {
		quoted, err := json.Marshal(text)
		if err != nil { // a string always encodes
			quoted = []byte("null")
		}
		text = string(quoted)
	}
	body.Payload = json.RawMessage(text)
	return body
}
