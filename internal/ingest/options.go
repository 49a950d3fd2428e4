package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
)

// Options bound and name what the edge does. The zero value is refused; start
// from [DefaultOptions].
type Options struct {
	gate.Exposure

	// Rates bound how fast clients may send.
	Rates gate.Rates
	// Limits bound one request. They must be the decoder's own.
	Limits event.Limits
	// AnonymousTenant is whose a request without a key is; empty refuses it.
	AnonymousTenant string
	// Environment is development, staging or production; it is shown by /health.
	Environment string

	// TraceFollowClients lets a request's traceparent decide whether it is
	// traced, and in which trace.
	TraceFollowClients bool

	// RequestTimeout is how long a request whose body was read waits for the
	// queue before it is answered 503.
	RequestTimeout time.Duration
	// BodyTimeout is how long a client may take to send one body.
	BodyTimeout time.Duration
	// SessionTimeout bounds a look at what is known of a session, and a write of
	// it. A post whose events are durable waits no longer than this for it.
	SessionTimeout time.Duration
	// AttemptTimeout bounds one offer of an envelope to the queue; a shorter one
	// than RequestTimeout leaves time for a second offer.
	AttemptTimeout time.Duration

	// MaxInFlightBytes bounds the bodies of all requests together, inflated. A
	// request beyond it is answered 503 before its body is read.
	MaxInFlightBytes int64
	// EnvelopeBytes is the size at which an envelope leaves at the latest. Only
	// a batch that is larger by itself makes a larger one.
	EnvelopeBytes int
	// MaxEnvelopesInFlight bounds the envelopes that wait for the queue's
	// acknowledgement at once.
	MaxEnvelopesInFlight int
	// MaxPendingBytes bounds the encoded batches that are not acknowledged yet,
	// in flight or before it; 0 means half of MaxInFlightBytes, but room for one
	// batch at least. They outlive the requests whose clients stopped waiting.
	MaxPendingBytes int

	// ReportedRejections is how many rejected events an answer lists. All of
	// them are kept and counted.
	ReportedRejections int
	// RememberedBatches is how many acknowledged batch ids are remembered to
	// mark repeats in answers. It decides nothing else.
	RememberedBatches int
	// RememberedSessions is how many sessions are remembered so that their state
	// is not written with every post.
	RememberedSessions int
	// UnreadablePerHour is how many unreadable bodies a key leaves behind in an
	// hour. Further ones are refused and counted all the same.
	UnreadablePerHour int
}

// DefaultOptions returns the bounds that suit one replica with 1 GiB.
func DefaultOptions() Options {
	return Options{
		Exposure:             gate.DefaultExposure(),
		Rates:                gate.DefaultRates(),
		Limits:               event.DefaultLimits(),
		Environment:          "development",
		RequestTimeout:       5 * time.Second,
		BodyTimeout:          30 * time.Second,
		SessionTimeout:       time.Second,
		AttemptTimeout:       2 * time.Second,
		MaxInFlightBytes:     128 << 20,
		EnvelopeBytes:        256 << 10,
		MaxEnvelopesInFlight: 4,
		ReportedRejections:   100,
		RememberedBatches:    65_536,
		RememberedSessions:   65_536,
		UnreadablePerHour:    100,
	}
}

// rowOverhead is more than a row, its length and a rejection's detail add to
// the bytes of an event as it was sent.
const rowOverhead = 1 << 10

// LargestBatch is the most bytes that one encoded batch can have: a body in
// UTF-16 grows by half when it becomes UTF-8, and every event gets a row.
func (o Options) LargestBatch() int {
	return int(o.Limits.InflatedBytes)*3/2 + (o.Limits.Events+4)*rowOverhead
}

// LargestEnvelope is the size of the largest message that is ever published.
// The queue must take messages of this size, or ingest is not ready.
func (o Options) LargestEnvelope() int {
	return max(o.EnvelopeBytes, o.LargestBatch()+envelopeHeader)
}

// envelopeHeader is more than an envelope adds to its batches.
const envelopeHeader = 64

// withDefaults fills in what follows from other options.
func (o Options) withDefaults() Options {
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = max(int(o.MaxInFlightBytes/2), o.LargestBatch())
	}
	return o
}

// guard is what the guard is told.
func (o Options) guard() *gate.Options {
	return &gate.Options{
		Exposure: o.Exposure, Rates: o.Rates, LargestBody: o.Limits.InflatedBytes, AnonymousTenant: o.AnonymousTenant,
		Service: "ingest", Routes: routes, Kinds: problemKinds,
		Methods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		Headers: []string{
			"Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "X-API-Key", "X-Correlation-ID",
		},
		Wording: gate.Wording{Action: "send events", Assurance: "Nothing is stored. ", Again: "the same bytes"},
	}
}

// validate reports every bound that makes no sense, all at once.
func (o Options) validate() error {
	errs := []error{o.guard().Validate()}
	for _, bound := range []struct {
		name  string
		value int64
		least int64
	}{
		{"limits: events", int64(o.Limits.Events), 1},
		{"limits: body bytes", o.Limits.BodyBytes, 1},
		{"limits: inflated bytes", o.Limits.InflatedBytes, max(o.Limits.BodyBytes, 1)},
		{"request timeout", int64(o.RequestTimeout), int64(time.Millisecond)},
		{"body timeout", int64(o.BodyTimeout), int64(time.Millisecond)},
		{"session timeout", int64(o.SessionTimeout), int64(time.Millisecond)},
		{"attempt timeout", int64(o.AttemptTimeout), int64(time.Millisecond)},
		// A single request must always fit when nothing else is there.
		{"max in-flight bytes", o.MaxInFlightBytes, o.Limits.BodyBytes + o.Limits.InflatedBytes},
		{"max pending bytes", int64(o.MaxPendingBytes), int64(o.LargestBatch())},
		{"envelope bytes", int64(o.EnvelopeBytes), envelopeHeader},
		{"max envelopes in flight", int64(o.MaxEnvelopesInFlight), 1},
		{"reported rejections", int64(o.ReportedRejections), 0},
		{"remembered batches", int64(o.RememberedBatches), 1},
		{"remembered sessions", int64(o.RememberedSessions), 1},
		{"unreadable bodies per hour", int64(o.UnreadablePerHour), 0},
	} {
		if bound.value < bound.least {
			errs = append(errs, fmt.Errorf("ingest: %s is %d, must be at least %d", bound.name, bound.value, bound.least))
		}
	}
	if o.Limits.Events > event.MaxEvents {
		errs = append(errs, fmt.Errorf("ingest: limits: events is %d, must be at most %d", o.Limits.Events, event.MaxEvents))
	}
	return errors.Join(errs...)
}
