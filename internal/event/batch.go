package event

import "time"

// UUID is a 16-byte identifier. Batches, receipts and sessions have one.
type UUID [16]byte

// Micros is a point in time in microseconds since 1970-01-01 UTC, PostgreSQL's
// own resolution. The zero value is 1970, not "no time".
type Micros int64

// MicrosOf converts t, dropping what is below a microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time converts m to a time.Time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// Batch is one request of a client, decoded and judged. It is the unit of
// exactly-once: its ID decides whether it was seen before, and (ID, Index)
// names an event for ever.
//
// A Batch is filled by the decoder, read by the envelope encoder and then
// recycled; [Batch.Reset] keeps the slices' memory. Strings are immutable and
// may share the request's body.
type Batch struct {
	// Tenant is the name of the tenant whose key posted the batch.
	Tenant string
	// ID is derived from the client's own id or from the content; see
	// internal/unreal. It is unique within tenant and endpoint by construction.
	ID UUID
	// Digest is of the events' raw bytes (a session post: of the body). A known
	// ID with another digest is not a repeat.
	Digest [16]byte
	// ReceiptID names this one delivery by the client: a retry has another
	// receipt, a redelivery by the queue the same.
	ReceiptID UUID
	// ReceivedAt is the server's time of receipt, stamped once. It chooses the
	// partition, so it is never recomputed.
	ReceivedAt Micros
	// CorrelationID ties the request's log lines to the rows.
	CorrelationID string
	// Trace is where the batch's trace goes on; invalid when nobody traces it. It
	// is no part of what the batch says: neither ID nor Digest know of it.
	Trace Trace
	// Sessions are the sessions that the batch speaks of; events and reports
	// refer to them by position.
	Sessions []Session
	// Events are the accepted events in the order of the body.
	Events []Event
	// Rejected are the events that the edge refused, in the order of the body.
	Rejected []Rejection
	// Report is what a session post says of its session, nil for other posts.
	Report *Report
}

// Session is one visit to a property tour as its client names it.
type Session struct {
	// Key identifies the session within all tenants; see [SessionKey].
	Key UUID
	// ClientID is the client's own text, as sent.
	ClientID string
}

// Rejection is an event that was refused, kept with its reason so that it can
// be looked at and replayed.
type Rejection struct {
	// Index is the event's position in the body, -1 for the body as a whole.
	Index int
	// Code is why.
	Code Code
	// Field is the member at fault, empty when the whole event is.
	Field string
	// Detail says in one sentence, to a person, what was wrong.
	Detail string
	// Raw is the event as it was sent, at most Limits.EventBytes.
	Raw string
}

// Report is what a client says about a session as a whole. Reports are not
// events: for each field the one received last wins when facts are made.
type Report struct {
	// Session is a position in Batch.Sessions.
	Session int
	// Start and End are declared times; nil when not sent. An end may lie in
	// the future or before the start: it is stored as sent.
	Start, End *Micros
	// ClockShiftMS is what was added to Start and End, in milliseconds.
	ClockShiftMS int64
	// CustomerID, PropertyID and Device are the client's own names, empty when
	// not sent.
	CustomerID, PropertyID, Device string
	// Props is a JSON object with everything else that was sent, or empty.
	Props string
}

// Reset empties b for reuse and keeps the memory of its slices.
func (b *Batch) Reset() {
	clear(b.Sessions)
	clear(b.Events)
	clear(b.Rejected)
	*b = Batch{Sessions: b.Sessions[:0], Events: b.Events[:0], Rejected: b.Rejected[:0]}
}

// LateAfter is how long after it happened an event may arrive before it counts
// as late. Late events are stored like any other.
const LateAfter = 24 * time.Hour

// Late counts the accepted events that happened more than LateAfter before
// receipt.
func (b *Batch) Late() int {
	// In microseconds: a time.Duration holds 292 years, an event's age more.
	const lateAfter = Micros(LateAfter / time.Microsecond)
	n := 0
	for i := range b.Events {
		if b.ReceivedAt-b.Events[i].OccurredAt > lateAfter {
			n++
		}
	}
	return n
}

// Corrected counts the accepted events whose clock was not believed.
func (b *Batch) Corrected() int {
	n := 0
	for i := range b.Events {
		if b.Events[i].ClockShiftMS != 0 {
			n++
		}
	}
	return n
}
