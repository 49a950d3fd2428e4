package envelope

import (
	"encoding/binary"
	"fmt"

	"github.com/nexero-vr/nexero/internal/event"
)

// reader takes values off the front of a batch. The first value that is not
// there marks it failed; from then on it returns zero values, so that a caller
// checks once at the end.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) bytes(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	value := r.rest[:n]
	r.rest = r.rest[n:]
	return value
}

func (r *reader) uuid() (id event.UUID) {
	copy(id[:], r.bytes(16))
	return id
}

func (r *reader) uvarint() uint64 {
	value, n := binary.Uvarint(r.rest)
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return value
}

func (r *reader) varint() int64 {
	value, n := binary.Varint(r.rest)
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return value
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

// count reads the number of things that follow, each at least size bytes long.
// A number that cannot fit fails at once, before anything is made for it.
func (r *reader) count(size uint64) int {
	n := r.uvarint()
	if n > uint64(len(r.rest))/size {
		r.failed = true
		return 0
	}
	return int(n)
}

// trace reads a trace context. Only none and a valid one are ever written.
func (r *reader) trace() (t event.Trace) {
	length := r.bytes(1)
	if length == nil || length[0] == 0 {
		return t
	}
	value := r.bytes(traceSize)
	if value == nil || length[0] != traceSize {
		r.failed = true
		return t
	}
	copy(t.ID[:], value)
	copy(t.Span[:], value[16:])
	t.Flags = value[24]
	r.failed = r.failed || !t.Valid()
	return t
}

// openBatch decodes one batch of a version and checks that every row is whole
// and refers to a session of the batch.
func openBatch(data []byte, version byte) (Batch, error) {
	r := reader{rest: data}
	b := Batch{ID: r.uuid(), ReceiptID: r.uuid(), Digest: r.uuid()}
	if at := r.bytes(8); at != nil {
		b.ReceivedAt = event.Micros(binary.LittleEndian.Uint64(at))
	}
	b.Tenant = r.text()
	b.CorrelationID = r.text()
	if version >= 2 {
		b.Trace = r.trace()
	}
	b.Late = int(r.uvarint())
	b.Corrected = int(r.uvarint())
	if n := r.count(17); n > 0 {
		b.Sessions = make([]event.Session, n)
		for i := range b.Sessions {
			b.Sessions[i] = event.Session{Key: r.uuid(), ClientID: r.text()}
		}
	}
	if n := r.count(5); n > 0 {
		b.Rejected = make([]event.Rejection, n)
		for i := range b.Rejected {
			b.Rejected[i] = event.Rejection{
				Index: int(r.varint()),
				Code:  event.Code(r.text()), Field: r.text(), Detail: r.text(), Raw: r.text(),
			}
		}
	}
	b.Report = r.report()
	n := r.count(4)
	b.lengths = r.bytes(uint64(4 * n))
	b.rows = r.rest
	if r.failed {
		return Batch{}, fmt.Errorf("%w: ends before its last value, or has one that no build writes", ErrDamaged)
	}
	return b, b.check()
}

func (r *reader) report() *event.Report {
	present := r.bytes(1)
	if present == nil || present[0] == 0 {
		return nil
	}
	report := &event.Report{Session: int(r.uvarint())}
	bits := r.bytes(1)
	start, end := event.Micros(r.varint()), event.Micros(r.varint())
	if bits != nil && bits[0]&reportHasStart != 0 {
		report.Start = &start
	}
	if bits != nil && bits[0]&reportHasEnd != 0 {
		report.End = &end
	}
	report.ClockShiftMS = r.varint()
	report.CustomerID, report.PropertyID = r.text(), r.text()
	report.Device, report.Props = r.text(), r.text()
	return report
}

// check walks the rows once, so that everything behind Open can trust offsets.
func (b *Batch) check() error {
	if b.Report != nil && (b.Report.Session < 0 || b.Report.Session >= len(b.Sessions)) {
		return fmt.Errorf("%w: a report without its session", ErrDamaged)
	}
	if n := b.RowCount(); n > event.MaxEvents || b.Late < 0 || b.Late > n || b.Corrected < 0 || b.Corrected > n {
		return fmt.Errorf("%w: counts that do not fit %d rows", ErrDamaged, n)
	}
	for _, rejection := range b.Rejected {
		// A code that this build does not know is fine: a newer ingest may have it.
		if rejection.Code == "" || rejection.Index < -1 || rejection.Index > event.MaxEvents {
			return fmt.Errorf("%w: a rejection of event %d as %q", ErrDamaged, rejection.Index, rejection.Code)
		}
	}
	rest := uint64(len(b.rows))
	for lengths := b.lengths; len(lengths) > 0; lengths = lengths[4:] {
		length := uint64(binary.LittleEndian.Uint32(lengths))
		if length > rest {
			return fmt.Errorf("%w: rows longer than their batch", ErrDamaged)
		}
		rest -= length
	}
	if rest != 0 {
		return fmt.Errorf("%w: %d bytes behind the last row", ErrDamaged, rest)
	}
	// A position is an event's name: two of one name would both be stored.
	last := -1
	for row := range b.Rows() {
		if err := row.check(); err != nil {
			return err
		}
		if row.Session() < 0 || row.Session() >= len(b.Sessions) {
			return fmt.Errorf("%w: event %d without its session", ErrDamaged, row.Index())
		}
		index := row.Index()
		if index <= last || index >= event.MaxEvents {
			return fmt.Errorf("%w: an event at position %d after one at %d", ErrDamaged, index, last)
		}
		last = index
	}
	return nil
}
