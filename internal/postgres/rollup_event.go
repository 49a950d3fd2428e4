package postgres

import (
	"encoding/binary"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// readEvents appends each row of a query of foldedColumns to what of returns
// for its session.
func readEvents(rows pgx.Rows, of func(session int64) *[]facts.Event) error {
	defer rows.Close()
	var r eventReader
	for rows.Next() {
		session, e := r.event(rows.RawValues())
		events := of(session)
		*events = append(*events, e)
	}
	return rows.Err()
}

// eventReader turns rows of foldedColumns into events. It reads the binary
// form itself: scanning a row costs three times as much, and every event passes
// here.
type eventReader struct {
	last  facts.Text
	text  *facts.Text
	names map[string]string
}

// microsTo2000 lie between our epoch and that of a binary timestamp.
const microsTo2000 = 946_684_800_000_000

// event reads one row. Integers of each width and reals are big endian.
func (r *eventReader) event(v [][]byte) (session int64, e facts.Event) {
	int64Of := func(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
	session = int64Of(v[0])
	e.BatchNo = int64Of(v[1])
	e.ReceivedAt = event.Micros(int64Of(v[2]) + microsTo2000)
	e.OccurredAt = event.Micros(int64Of(v[3]) + microsTo2000)
	if v[4] != nil {
		e.ShiftMS = int64Of(v[4])
	}
	if v[5] != nil {
		e.Seq, e.Has = int64Of(v[5]), e.Has|event.FieldSeq
	}
	realOf := func(column int, into *float32, field event.Fields) {
		if v[column] != nil {
			*into, e.Has = math.Float32frombits(binary.BigEndian.Uint32(v[column])), e.Has|field
		}
	}
	realOf(6, &e.X, event.FieldX)
	realOf(7, &e.Y, event.FieldY)
	realOf(8, &e.Yaw, event.FieldYaw)
	if v[9] != nil {
		e.DurationMS, e.Has = int32(binary.BigEndian.Uint32(v[9])), e.Has|event.FieldDuration
	}
	e.Index = int16(binary.BigEndian.Uint16(v[10]))
	e.Type = event.Type(binary.BigEndian.Uint16(v[11]))
	if v[12] != nil {
		e.Level, e.Has = int16(binary.BigEndian.Uint16(v[12])), e.Has|event.FieldLevel
	}
	if v[13] != nil || v[14] != nil || v[15] != nil || v[16] != nil {
		e.Text = r.textOf(v[13:17])
	}
	return session, e
}

// textOf returns the names of a row. Names repeat from row to row, so neither
// they nor their combination is made twice in a row.
func (r *eventReader) textOf(v [][]byte) *facts.Text {
	if r.text != nil && r.last.Zone == string(v[0]) && r.last.Object == string(v[1]) &&
		r.last.Target == string(v[2]) && r.last.Action == string(v[3]) {
		return r.text
	}
	if r.names == nil {
		r.names = make(map[string]string)
	}
	one := func(b []byte) string {
		name, ok := r.names[string(b)]
		if !ok {
			name = string(b)
			r.names[name] = name
		}
		return name
	}
	r.last = facts.Text{Zone: one(v[0]), Object: one(v[1]), Target: one(v[2]), Action: one(v[3])}
	text := r.last
	r.text = &text
	return r.text
}
