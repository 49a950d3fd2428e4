package facts

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// Report is what the fold needs of one row of nexero.session_reports.
type Report struct {
	// ReceivedAt and BatchID decide between reports: for each field the latest
	// that states it holds.
	ReceivedAt event.Micros
	BatchID    event.UUID
	// Start and End are declared times, already corrected; nil when not sent.
	Start, End *event.Micros
	// The client's own names, empty when not sent.
	CustomerID, PropertyID, Device string
}

// FromReport returns r as the fold wants it.
func FromReport(r *event.Report, receivedAt event.Micros, batchID event.UUID) Report {
	return Report{
		ReceivedAt: receivedAt, BatchID: batchID, Start: r.Start, End: r.End,
		CustomerID: r.CustomerID, PropertyID: r.PropertyID, Device: r.Device,
	}
}

// statement is one field of a session as reports state it. The zero value is
// unstated.
type statement[T comparable] struct {
	stated     bool
	value      T
	receivedAt event.Micros
	batchID    event.UUID
}

// hear keeps the value that was received last, whatever the order of calls.
func (s *statement[T]) hear(value T, r *Report) {
	newer := cmp.Or(cmp.Compare(r.ReceivedAt, s.receivedAt), bytes.Compare(r.BatchID[:], s.batchID[:])) > 0
	if !s.stated || newer {
		*s = statement[T]{true, value, r.ReceivedAt, r.BatchID}
	}
}

// merge keeps the later of both.
func (s *statement[T]) merge(other *statement[T]) {
	if other.stated {
		s.hear(other.value, &Report{ReceivedAt: other.receivedAt, BatchID: other.batchID})
	}
}

// reported is all that reports say of one session.
type reported struct {
	start, end                 statement[event.Micros]
	customer, property, device statement[string]
}

func (all *reported) hear(r *Report) {
	if r.Start != nil {
		all.start.hear(*r.Start, r)
	}
	if r.End != nil {
		all.end.hear(*r.End, r)
	}
	for _, field := range [...]struct {
		heard *statement[string]
		value string
	}{{&all.customer, r.CustomerID}, {&all.property, r.PropertyID}, {&all.device, r.Device}} {
		if field.value != "" {
			field.heard.hear(strings.Clone(Name(field.value)), r)
		}
	}
}

func (all *reported) merge(other *reported) {
	all.start.merge(&other.start)
	all.end.merge(&other.end)
	all.customer.merge(&other.customer)
	all.property.merge(&other.property)
	all.device.merge(&other.device)
}
