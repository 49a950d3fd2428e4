package envelope

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/nexero-vr/nexero/internal/event"
)

// Columns are the columns of nexero.events in the order in which a row holds
// them. A COPY of rows must name exactly these.
const Columns = "batch_no, session_no, received_at, event_index, event_type, class, occurred_at, " +
	"clock_shift_ms, client_seq, x, y, z, pitch, yaw, roll, duration_ms, level, " +
	"zone, object, target, action, name, props"

// columnCount is the number of names in Columns.
const columnCount = 23

// Offsets of the values that are never NULL. A row begins with a 2-byte column
// count; each value has a 4-byte length before it.
const (
	offsetBatchNo    = 2 + 4
	offsetSessionNo  = offsetBatchNo + 8 + 4
	offsetReceivedAt = offsetSessionNo + 8 + 4
	offsetIndex      = offsetReceivedAt + 8 + 4
	offsetType       = offsetIndex + 2 + 4
	offsetClass      = offsetType + 2 + 4
	offsetOccurredAt = offsetClass + 2 + 4
	offsetOptional   = offsetOccurredAt + 8
)

// postgresEpoch is 2000-01-01 UTC, where PostgreSQL's timestamps begin, in
// microseconds since 1970.
const postgresEpoch = 946_684_800_000_000

// jsonbVersion precedes the text of a binary jsonb value.
const jsonbVersion = 1

// Row is one event as a row of binary COPY. Until a worker fills it in, its
// batch_no is 0 and its session_no is a position in the batch's sessions.
type Row []byte

// appendRow appends e, received at receivedAt, to dst.
func appendRow(dst []byte, e *event.Event, receivedAt event.Micros) []byte {
	dst = binary.BigEndian.AppendUint16(dst, columnCount)
	dst = appendInt64(dst, 0)
	dst = appendInt64(dst, int64(e.Session))
	dst = appendInt64(dst, int64(receivedAt)-postgresEpoch)
	dst = appendInt16(dst, int16(e.Index))
	dst = appendInt16(dst, int16(e.Type))
	dst = appendInt16(dst, int16(e.Class()))
	dst = appendInt64(dst, int64(e.OccurredAt)-postgresEpoch)
	if e.ClockShiftMS != 0 {
		dst = appendInt64(dst, e.ClockShiftMS)
	} else {
		dst = appendNull(dst)
	}
	if e.Has&event.FieldSeq != 0 {
		dst = appendInt64(dst, e.Seq)
	} else {
		dst = appendNull(dst)
	}
	dst = appendFloat32(dst, e.X, e.Has&event.FieldX != 0)
	dst = appendFloat32(dst, e.Y, e.Has&event.FieldY != 0)
	dst = appendFloat32(dst, e.Z, e.Has&event.FieldZ != 0)
	dst = appendFloat32(dst, e.Pitch, e.Has&event.FieldPitch != 0)
	dst = appendFloat32(dst, e.Yaw, e.Has&event.FieldYaw != 0)
	dst = appendFloat32(dst, e.Roll, e.Has&event.FieldRoll != 0)
	if e.Has&event.FieldDuration != 0 {
		dst = binary.BigEndian.AppendUint32(dst, 4)
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.DurationMS))
	} else {
		dst = appendNull(dst)
	}
	if e.Has&event.FieldLevel != 0 {
		dst = appendInt16(dst, e.Level)
	} else {
		dst = appendNull(dst)
	}
	dst = appendText(dst, e.Zone)
	dst = appendText(dst, e.Object)
	dst = appendText(dst, e.Target)
	dst = appendText(dst, e.Action)
	dst = appendText(dst, e.Name)
	if e.Props == "" {
		return appendNull(dst)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(e.Props)+1))
	dst = append(dst, jsonbVersion)
	return append(dst, e.Props...)
}

func appendNull(dst []byte) []byte {
	return append(dst, 0xff, 0xff, 0xff, 0xff)
}

func appendInt64(dst []byte, v int64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

func appendInt16(dst []byte, v int16) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 2)
	return binary.BigEndian.AppendUint16(dst, uint16(v))
}

func appendFloat32(dst []byte, v float32, set bool) []byte {
	if !set {
		return appendNull(dst)
	}
	dst = binary.BigEndian.AppendUint32(dst, 4)
	return binary.BigEndian.AppendUint32(dst, math.Float32bits(v))
}

func appendText(dst []byte, s string) []byte {
	if s == "" {
		return appendNull(dst)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// AppendTo appends the row to dst with its two numbers filled in: what a COPY
// sends. The row itself stays as it is, so it can be loaded again after a
// rollback, which hands out new numbers.
func (r Row) AppendTo(dst []byte, batchNo, sessionNo int64) []byte {
	at := len(dst)
	dst = append(dst, r...)
	binary.BigEndian.PutUint64(dst[at+offsetBatchNo:], uint64(batchNo))
	binary.BigEndian.PutUint64(dst[at+offsetSessionNo:], uint64(sessionNo))
	return dst
}

// Session returns the event's position in the batch's sessions.
func (r Row) Session() int {
	return int(binary.BigEndian.Uint64(r[offsetSessionNo:]))
}

// Index returns the event's position in the body.
func (r Row) Index() int { return int(binary.BigEndian.Uint16(r[offsetIndex:])) }

// Event decodes the row. Batch and session numbers that a worker filled in are
// not part of an event. The error is ErrDamaged.
func (r Row) Event() (event.Event, error) {
	var e event.Event
	if err := r.check(); err != nil {
		return e, err
	}
	e.Session = r.Session()
	e.Index = r.Index()
	e.Type = event.Type(binary.BigEndian.Uint16(r[offsetType:]))
	e.OccurredAt = event.Micros(int64(binary.BigEndian.Uint64(r[offsetOccurredAt:])) + postgresEpoch)
	rest := r[offsetOptional:]
	next := func() (value []byte, ok bool) {
		length := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if length < 0 {
			return nil, false
		}
		value, rest = rest[:length], rest[length:]
		return value, true
	}
	if v, ok := next(); ok {
		e.ClockShiftMS = int64(binary.BigEndian.Uint64(v))
	}
	if v, ok := next(); ok {
		e.Seq, e.Has = int64(binary.BigEndian.Uint64(v)), e.Has|event.FieldSeq
	}
	for _, number := range [...]struct {
		to    *float32
		field event.Fields
	}{
		{&e.X, event.FieldX},
		{&e.Y, event.FieldY},
		{&e.Z, event.FieldZ},
		{&e.Pitch, event.FieldPitch},
		{&e.Yaw, event.FieldYaw},
		{&e.Roll, event.FieldRoll},
	} {
		if v, ok := next(); ok {
			*number.to, e.Has = math.Float32frombits(binary.BigEndian.Uint32(v)), e.Has|number.field
		}
	}
	if v, ok := next(); ok {
		e.DurationMS, e.Has = int32(binary.BigEndian.Uint32(v)), e.Has|event.FieldDuration
	}
	if v, ok := next(); ok {
		e.Level, e.Has = int16(binary.BigEndian.Uint16(v)), e.Has|event.FieldLevel
	}
	for _, text := range []*string{&e.Zone, &e.Object, &e.Target, &e.Action, &e.Name} {
		v, _ := next()
		*text = string(v)
	}
	if v, ok := next(); ok {
		e.Props = string(v[1:])
	}
	return e, nil
}

// widths are the lengths that each column may have: 0 stands for any.
//
//nolint:gochecknoglobals // a table that never changes
var widths = [columnCount]int32{8, 8, 8, 2, 2, 2, 8, 8, 8, 4, 4, 4, 4, 4, 4, 4, 2, 0, 0, 0, 0, 0, 0}

// required is the number of leading columns that are never NULL.
const required = 7

// check walks the row's columns and reports whether they fill it exactly and
// have the widths that their types want.
func (r Row) check() error {
	if len(r) < offsetOptional || binary.BigEndian.Uint16(r) != columnCount {
		return fmt.Errorf("%w: a row of %d bytes is none of version %d", ErrDamaged, len(r), Version)
	}
	at := 2
	for column, width := range widths {
		if len(r)-at < 4 {
			return fmt.Errorf("%w: a row ends before column %d", ErrDamaged, column)
		}
		length := int32(binary.BigEndian.Uint32(r[at:]))
		at += 4
		if length == -1 && column >= required {
			continue
		}
		if length < 0 || int(length) > len(r)-at || width != 0 && length != width {
			return fmt.Errorf("%w: column %d of a row is %d bytes long", ErrDamaged, column, length)
		}
		if column == columnCount-1 && (length < 2 || r[at] != jsonbVersion) {
			return fmt.Errorf("%w: a row's props are no jsonb", ErrDamaged)
		}
		at += int(length)
	}
	if at != len(r) {
		return fmt.Errorf("%w: %d bytes behind a row's last column", ErrDamaged, len(r)-at)
	}
	return nil
}
