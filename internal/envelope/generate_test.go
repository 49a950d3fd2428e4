package envelope_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// drawBatch makes any batch that the encoder must take, likely or not.
func drawBatch() *rapid.Generator[*event.Batch] {
	return rapid.Custom(func(t *rapid.T) *event.Batch {
		b := &event.Batch{
			Tenant: rapid.String().Draw(t, "tenant"),
			ID:     drawUUID(t, "id"), Digest: drawUUID(t, "digest"), ReceiptID: drawUUID(t, "receipt"),
			// Far enough from the ends that lateness does not overflow.
			ReceivedAt:    event.Micros(rapid.Int64Range(0, 4e15).Draw(t, "received")),
			CorrelationID: rapid.String().Draw(t, "correlation"),
		}
		if rapid.Bool().Draw(t, "traced") {
			id, span := drawUUID(t, "trace"), drawUUID(t, "span")
			id[15], span[7] = id[15]|1, span[7]|1 // none is all zero
			b.Trace = event.Trace{ID: id, Span: [8]byte(span[:8]), Flags: rapid.Byte().Draw(t, "flags")}
		}
		for range rapid.IntRange(0, 4).Draw(t, "sessions") {
			b.Sessions = append(b.Sessions, event.Session{Key: drawUUID(t, "key"), ClientID: rapid.String().Draw(t, "client")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "rejections") {
			b.Rejected = append(b.Rejected, event.Rejection{
				Index:  rapid.IntRange(-1, event.MaxEvents-1).Draw(t, "rejected index"),
				Code:   rapid.SampledFrom([]event.Code{event.InvalidText, event.UnreadableBody, "of_a_newer_build"}).Draw(t, "code"),
				Field:  rapid.String().Draw(t, "field"),
				Detail: rapid.String().Draw(t, "detail"),
				Raw:    string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw")),
			})
		}
		if len(b.Sessions) == 0 {
			return b // events and reports need a session
		}
		indexes := rapid.SliceOfNDistinct(rapid.IntRange(0, event.MaxEvents-1), 0, 6, rapid.ID).Draw(t, "indexes")
		slices.Sort(indexes)
		for _, index := range indexes {
			b.Events = append(b.Events, drawEvent(t, index, len(b.Sessions)))
		}
		if rapid.Bool().Draw(t, "has report") {
			b.Report = drawReport(t, len(b.Sessions))
		}
		return b
	})
}

func drawUUID(t *rapid.T, label string) (id event.UUID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	return id
}

func drawEvent(t *rapid.T, index, sessions int) event.Event {
	text := func(label string) string { return rapid.String().Draw(t, label) }
	e := event.Event{
		Index:      index,
		Session:    rapid.IntRange(0, sessions-1).Draw(t, "session"),
		Type:       rapid.SampledFrom(event.Types()).Draw(t, "type"),
		Has:        event.Fields(rapid.Uint16Range(0, 1<<9-1).Draw(t, "has")),
		OccurredAt: event.Micros(rapid.Int64Range(-4e15, 8e15).Draw(t, "occurred")),
		Zone:       text("zone"), Object: text("object"), Target: text("target"), Action: text("action"), Name: text("name"),
	}
	if rapid.Bool().Draw(t, "shifted") {
		e.ClockShiftMS = rapid.Int64().Draw(t, "shift")
	}
	if rapid.Bool().Draw(t, "has props") {
		e.Props = `{"k":"` + rapid.StringMatching(`[a-z]*`).Draw(t, "props") + `"}`
	}
	// A value whose bit is not set does not travel.
	if e.Has&event.FieldSeq != 0 {
		e.Seq = rapid.Int64().Draw(t, "seq")
	}
	if e.Has&event.FieldLevel != 0 {
		e.Level = rapid.Int16().Draw(t, "level")
	}
	if e.Has&event.FieldDuration != 0 {
		e.DurationMS = rapid.Int32().Draw(t, "duration")
	}
	for bit, to := range map[event.Fields]*float32{
		event.FieldX: &e.X, event.FieldY: &e.Y, event.FieldZ: &e.Z,
		event.FieldPitch: &e.Pitch, event.FieldYaw: &e.Yaw, event.FieldRoll: &e.Roll,
	} {
		if e.Has&bit != 0 {
			*to = float32(e.Index)*1.5 - math.MaxFloat32/float32(bit)
		}
	}
	return e
}

func drawReport(t *rapid.T, sessions int) *event.Report {
	r := &event.Report{
		Session:      rapid.IntRange(0, sessions-1).Draw(t, "report session"),
		ClockShiftMS: rapid.Int64().Draw(t, "report shift"),
		CustomerID:   rapid.String().Draw(t, "customer"), PropertyID: rapid.String().Draw(t, "property"),
		Device: rapid.String().Draw(t, "device"), Props: rapid.String().Draw(t, "report props"),
	}
	if rapid.Bool().Draw(t, "has start") {
		r.Start = new(event.Micros(rapid.Int64().Draw(t, "start")))
	}
	if rapid.Bool().Draw(t, "has end") {
		r.End = new(event.Micros(rapid.Int64().Draw(t, "end")))
	}
	return r
}

// tourBatch is a batch as headsets send it: five seconds of poses and looks.
func tourBatch(events int) *event.Batch {
	b := &event.Batch{
		Tenant: "acme", ID: event.NameUUID("batch"), ReceiptID: event.NameUUID("receipt"),
		ReceivedAt: 1_764_685_805_000_000, CorrelationID: "0193a1f2-7c1b-7000-8000-000000000001",
		Sessions: []event.Session{{Key: event.SessionKey("acme", "tour"), ClientID: "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60"}},
	}
	for i := range events {
		e := event.Event{
			Index: i, Type: event.Pose, OccurredAt: b.ReceivedAt - event.Micros((events-i)*100_000), Zone: "living_room",
			Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldPitch | event.FieldYaw | event.FieldRoll,
			X:   float32(i) * 1.25, Y: 310.5, Z: 165, Pitch: -4.5, Yaw: float32(i % 180), Roll: 0.25,
		}
		if i%2 == 1 {
			e.Type, e.Target, e.Props = event.Gaze, "kitchen_island", `{"confidence":0.93}`
		}
		b.Events = append(b.Events, e)
	}
	return b
}

// seal makes a message of batches.
func seal(t testing.TB, batches ...*event.Batch) []byte {
	t.Helper()
	var builder envelope.Builder
	for _, b := range batches {
		encoded, err := envelope.AppendBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		builder.Add(encoded)
	}
	return builder.Seal()
}

// reopen turns an opened batch back into what was encoded.
func reopen(opened *envelope.Batch) (*event.Batch, error) {
	b := &event.Batch{
		Tenant: opened.Tenant, ID: opened.ID, Digest: opened.Digest, ReceiptID: opened.ReceiptID,
		ReceivedAt: opened.ReceivedAt, CorrelationID: opened.CorrelationID, Trace: opened.Trace,
		Sessions: opened.Sessions, Rejected: opened.Rejected, Report: opened.Report,
	}
	for row := range opened.Rows() {
		e, err := row.Event()
		if err != nil {
			return nil, err
		}
		b.Events = append(b.Events, e)
	}
	return b, nil
}
