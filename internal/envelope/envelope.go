package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"

	"github.com/nexero-vr/nexero/internal/event"
)

// The layouts that this build knows.
const (
	// Version is the layout that this build writes, and the newest that it reads.
	Version = 2
	// OldestVersion is the oldest that it reads: what a build before left in the
	// queue, or kept as damaged, must still be loaded.
	OldestVersion = 1
)

const (
	magic      = "NXRO"
	headerSize = 4 + 1 + 3 + 4 + 4

	offsetVersion  = 4
	offsetCount    = 8
	offsetChecksum = 12
)

// Errors of [Open] and of the iterators over an opened envelope.
var (
	// ErrVersion is an envelope of a layout that this build does not know. It is
	// whole: a newer build can read it, so it must be left in the queue.
	ErrVersion = errors.New("envelope: unknown version")
	// ErrDamaged is a message that no build can read.
	ErrDamaged = errors.New("envelope: damaged")
)

//nolint:gochecknoglobals // a table that never changes
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Builder collects encoded batches and seals them into one message. The zero
// value is ready; it is used by one goroutine at a time.
type Builder struct {
	buf   []byte
	count uint32
}

// Add appends a batch that [AppendBatch] encoded.
func (b *Builder) Add(batch []byte) {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, make([]byte, headerSize)...)
	}
	b.buf = append(b.buf, batch...)
	b.count++
}

// Len returns how many bytes the message would have if it were sealed now.
func (b *Builder) Len() int { return max(len(b.buf), headerSize) }

// Seal returns the finished message, which the caller owns, and empties the
// builder.
func (b *Builder) Seal() []byte {
	message := b.buf
	if len(message) == 0 {
		message = make([]byte, headerSize)
	}
	copy(message, magic)
	message[offsetVersion] = Version
	binary.LittleEndian.PutUint32(message[offsetCount:], b.count)
	binary.LittleEndian.PutUint32(message[offsetChecksum:], crc32.Checksum(message[headerSize:], castagnoli))
	*b = Builder{}
	return message
}

// AppendBatch appends the encoding of b to dst. It fails when b breaks a bound
// that the decoder relies on, which is a bug in the caller: an event that
// refers to a session that is not there, a position that no event has, events
// that are not in the order of their positions, a rejection without a code.
func AppendBatch(dst []byte, b *event.Batch) ([]byte, error) {
	if err := checkReferences(b); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, b.ID[:]...)
	dst = append(dst, b.ReceiptID[:]...)
	dst = append(dst, b.Digest[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.ReceivedAt))
	dst = appendString(dst, b.Tenant)
	dst = appendString(dst, b.CorrelationID)
	dst = appendTrace(dst, b.Trace)
	dst = appendCount(dst, b.Late())
	dst = appendCount(dst, b.Corrected())
	dst = appendCount(dst, len(b.Sessions))
	for i := range b.Sessions {
		dst = append(dst, b.Sessions[i].Key[:]...)
		dst = appendString(dst, b.Sessions[i].ClientID)
	}
	dst = appendCount(dst, len(b.Rejected))
	for i := range b.Rejected {
		r := &b.Rejected[i]
		dst = binary.AppendVarint(dst, int64(r.Index))
		dst = appendString(dst, string(r.Code))
		dst = appendString(dst, r.Field)
		dst = appendString(dst, r.Detail)
		dst = appendString(dst, r.Raw)
	}
	dst = appendReport(dst, b.Report)
	dst = appendCount(dst, len(b.Events))
	lengths := len(dst)
	dst = append(dst, make([]byte, 4*len(b.Events))...)
	for i := range b.Events {
		rowStart := len(dst)
		dst = appendRow(dst, &b.Events[i], b.ReceivedAt)
		binary.LittleEndian.PutUint32(dst[lengths+4*i:], uint32(len(dst)-rowStart))
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst, nil
}

func checkReferences(b *event.Batch) error {
	if len(b.Events) > event.MaxEvents {
		return fmt.Errorf("envelope: batch %s has %d events", b.ID, len(b.Events))
	}
	for i := range b.Events {
		if s := b.Events[i].Session; s < 0 || s >= len(b.Sessions) {
			return fmt.Errorf("envelope: event %d of batch %s has no session", b.Events[i].Index, b.ID)
		}
		index := b.Events[i].Index
		if index < 0 || index >= event.MaxEvents {
			return fmt.Errorf("envelope: an event of batch %s is at position %d", b.ID, index)
		}
		if i > 0 && index <= b.Events[i-1].Index {
			return fmt.Errorf("envelope: event %d of batch %s comes after event %d", index, b.ID, b.Events[i-1].Index)
		}
	}
	for i := range b.Rejected {
		if r := &b.Rejected[i]; r.Code == "" || r.Index < -1 || r.Index > event.MaxEvents {
			return fmt.Errorf("envelope: batch %s rejects event %d as %q", b.ID, r.Index, r.Code)
		}
	}
	if b.Report != nil && (b.Report.Session < 0 || b.Report.Session >= len(b.Sessions)) {
		return fmt.Errorf("envelope: the report of batch %s has no session", b.ID)
	}
	return nil
}

// Presence bits of a report.
const (
	reportHasStart = 1 << iota
	reportHasEnd
)

func appendReport(dst []byte, r *event.Report) []byte {
	if r == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = appendCount(dst, r.Session)
	var present byte
	var start, end event.Micros
	if r.Start != nil {
		present, start = present|reportHasStart, *r.Start
	}
	if r.End != nil {
		present, end = present|reportHasEnd, *r.End
	}
	dst = append(dst, present)
	dst = binary.AppendVarint(dst, int64(start))
	dst = binary.AppendVarint(dst, int64(end))
	dst = binary.AppendVarint(dst, r.ClockShiftMS)
	dst = appendString(dst, r.CustomerID)
	dst = appendString(dst, r.PropertyID)
	dst = appendString(dst, r.Device)
	return appendString(dst, r.Props)
}

// traceSize is the length of a trace context that is there.
const traceSize = 16 + 8 + 1

// appendTrace appends t behind its length. A context that is not valid is none:
// a batch is worth more than its trace.
func appendTrace(dst []byte, t event.Trace) []byte {
	if !t.Valid() {
		return append(dst, 0)
	}
	dst = append(dst, traceSize)
	dst = append(dst, t.ID[:]...)
	dst = append(dst, t.Span[:]...)
	return append(dst, t.Flags)
}

func appendCount(dst []byte, n int) []byte {
	return binary.AppendUvarint(dst, uint64(n))
}

func appendString(dst []byte, s string) []byte {
	return append(appendCount(dst, len(s)), s...)
}

// Open checks a message's header and checksum and returns its batches. The
// batches share message's bytes and are valid as long as it is not changed.
// The error is ErrVersion or ErrDamaged, with the reason.
func Open(message []byte) ([]Batch, error) {
	if len(message) < headerSize || string(message[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: %d bytes without an envelope's header", ErrDamaged, len(message))
	}
	// The version comes before the checksum: another version may have another.
	version := message[offsetVersion]
	if version < OldestVersion || version > Version {
		return nil, fmt.Errorf("%w %d, this build reads %d to %d", ErrVersion, version, OldestVersion, Version)
	}
	// The checksum covers what is behind the header, so what the header holds
	// besides it is checked here or by reading exactly count batches.
	if message[5]|message[6]|message[7] != 0 {
		return nil, fmt.Errorf("%w: a header that version %d does not write", ErrDamaged, version)
	}
	body := message[headerSize:]
	if sum := crc32.Checksum(body, castagnoli); sum != binary.LittleEndian.Uint32(message[offsetChecksum:]) {
		return nil, fmt.Errorf("%w: checksum %08x does not fit", ErrDamaged, sum)
	}
	count := binary.LittleEndian.Uint32(message[offsetCount:])
	var batches []Batch
	for range count {
		if len(body) < 4 {
			return nil, fmt.Errorf("%w: ends after %d of %d batches", ErrDamaged, len(batches), count)
		}
		length := binary.LittleEndian.Uint32(body)
		body = body[4:]
		if uint64(length) > uint64(len(body)) {
			return nil, fmt.Errorf("%w: batch %d is longer than the message", ErrDamaged, len(batches))
		}
		batch, err := openBatch(body[:length], version)
		if err != nil {
			return nil, fmt.Errorf("batch %d: %w", len(batches), err)
		}
		batches = append(batches, batch)
		body = body[length:]
	}
	if len(body) != 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the last batch", ErrDamaged, len(body))
	}
	return batches, nil
}

// Batch is a batch in an opened envelope. Its accepted events stay encoded.
type Batch struct {
	ID, ReceiptID   event.UUID
	Digest          [16]byte
	ReceivedAt      event.Micros
	Tenant          string
	CorrelationID   string
	Trace           event.Trace // not valid in version 1
	Late, Corrected int
	Sessions        []event.Session
	Rejected        []event.Rejection
	Report          *event.Report

	lengths []byte // 4 bytes a row
	rows    []byte
}

// RowCount returns the number of accepted events.
func (b *Batch) RowCount() int { return len(b.lengths) / 4 }

// RowBytes returns the size of the accepted events' rows together.
func (b *Batch) RowBytes() int { return len(b.rows) }

// Rows iterates over the accepted events in the order of the body.
func (b *Batch) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		rows := b.rows
		for lengths := b.lengths; len(lengths) > 0; lengths = lengths[4:] {
			length := binary.LittleEndian.Uint32(lengths)
			if !yield(Row(rows[:length:length])) {
				return
			}
			rows = rows[length:]
		}
	}
}
