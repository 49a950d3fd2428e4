package event

import "encoding/hex"

// Trace is a W3C trace context without its state: which trace a batch belongs
// to and which span of it the next one is a child of. The zero value is no
// trace.
type Trace struct {
	// ID names the trace, Span the span that goes on elsewhere.
	ID   [16]byte
	Span [8]byte
	// Flags are the context's own; the lowest bit says that the trace is sampled.
	Flags byte
}

// traceSampled is the flag of a trace that is recorded.
const traceSampled = 1

// Valid reports whether t names a trace and a span. W3C has no all-zero ids.
func (t Trace) Valid() bool { return t.ID != [16]byte{} && t.Span != [8]byte{} }

// Sampled reports whether somebody records the trace.
func (t Trace) Sampled() bool { return t.Valid() && t.Flags&traceSampled != 0 }

// String returns t as the header traceparent has it, "" when it is not valid.
func (t Trace) String() string {
	if !t.Valid() {
		return ""
	}
	return "00-" + hex.EncodeToString(t.ID[:]) + "-" + hex.EncodeToString(t.Span[:]) + "-" + hex.EncodeToString([]byte{t.Flags})
}
