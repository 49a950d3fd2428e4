package unreal

import (
	"sync"

	"github.com/nexero-vr/nexero/internal/event"
)

// Endpoint is what a request was posted to, after aliases and slashes were
// folded. It is part of a batch's identity, so its text never changes.
type Endpoint string

// The endpoints that this package reads.
const (
	// EndpointBatch is POST /api/v1/unreal/tracking/batch and its aliases.
	EndpointBatch Endpoint = "batch"
	// EndpointSession is POST /api/v1/unreal/session and its aliases.
	EndpointSession Endpoint = "session"
	// EndpointEvent is POST /api/v1/unreal/tracking/event and its aliases.
	EndpointEvent Endpoint = "event"
)

// Request is one post of a client as the edge hands it over.
type Request struct {
	// Tenant is the name of the tenant whose key posted.
	Tenant string
	// Endpoint is what was posted to.
	Endpoint Endpoint
	// Query is the query string without credentials, from [CanonicalQuery].
	Query string
	// IdempotencyKey is the header of that name, empty when not sent.
	IdempotencyKey string
	// Body is the inflated body. The batch shares its memory.
	Body string
	// ReceivedAt is the server's time of receipt.
	ReceivedAt event.Micros
	// ReceiptID names this delivery; it must differ for each.
	ReceiptID event.UUID
	// CorrelationID ties log lines to rows.
	CorrelationID string
}

// stamp puts into an empty batch what does not come from the body.
func (r *Request) stamp(b *event.Batch) {
	b.Reset()
	b.Tenant = r.Tenant
	b.ReceiptID = r.ReceiptID
	b.ReceivedAt = r.ReceivedAt
	b.CorrelationID = r.CorrelationID
}

// Decoder turns requests into batches. It is safe for concurrent use and keeps
// nothing of a request but the memory it worked in.
type Decoder struct {
	limits event.Limits
	strict func(tenant string) bool
	idle   sync.Pool // of *decoding
}

// NewDecoder returns a decoder that applies limits. strictTypes says of which
// tenants an event type outside the list is rejected instead of stored as
// custom; nil means of none. It is called at most once a batch and must be safe
// for concurrent use.
func NewDecoder(limits event.Limits, strictTypes func(tenant string) bool) *Decoder {
	limits.Events = min(limits.Events, event.MaxEvents)
	if strictTypes == nil {
		strictTypes = func(string) bool { return false }
	}
	return &Decoder{limits: limits, strict: strictTypes}
}

// decoding is the work on one request. Its slices are reused by later ones.
type decoding struct {
	limits event.Limits
	strict bool
	batch  *event.Batch
	// text is the body as UTF-8. Positions everywhere count its bytes.
	text string
	// refusal is the reason when a position below zero is not about grammar.
	refusal *BodyError

	// What the body says next to its events.
	session     string
	sessionBad  bool
	batchID     string
	sentAt      event.Micros
	sentDoubt   event.Micros // how far sentAt may lie from what the client meant
	hasSentAt   bool
	elements    int // of all lists named events
	seenEvents  bool
	badEvents   bool
	eventsStart int
	eventsEnd   int

	// What the events add up to.
	fine         bool         // some event has a time that no 32-bit float rounded
	latestDead   event.Micros // newest time of a dead clock
	hasDead      bool
	firstSession string // first session that an event names itself

	current eventState
	// faults and kept hold for the fields whose bits are set in current.
	faults [fieldCount]fault
	kept   [fieldCount]member

	members  []member // of the current object, those that need a second look
	names    propNames
	losers   []member // of the current container, whose names are taken in props
	props    []byte   // of all events, one behind the other
	traces   []trace  // of each event in batch.Events
	sessions sessionTable

	typeName string // the last type that was looked up, and what was found
	typeOf   event.Type
	typeOK   bool
}

// maxIdleProps is how much memory for props a decoding keeps for the next.
const maxIdleProps = 1 << 20

// begin hands out memory for one request; end takes it back.
func (d *Decoder) begin(req *Request, text string, b *event.Batch) *decoding {
	work, ok := d.idle.Get().(*decoding)
	if !ok {
		work = &decoding{}
	}
	work.limits = d.limits
	work.strict = d.strict(req.Tenant)
	work.batch = b
	work.text = text
	work.sessions.tenant = req.Tenant
	return work
}

// end gives the memory back and lets go of the body.
func (d *Decoder) end(work *decoding) {
	clear(work.names.few[:cap(work.names.few)]) // they hold the body
	work.names.forget()
	clear(work.traces)
	work.sessions.forget()
	props := work.props[:0]
	if cap(props) > maxIdleProps {
		props = nil
	}
	*work = decoding{
		members:  work.members[:0],
		names:    work.names,
		losers:   work.losers[:0],
		traces:   work.traces[:0],
		props:    props,
		sessions: work.sessions,
	}
	d.idle.Put(work)
}
