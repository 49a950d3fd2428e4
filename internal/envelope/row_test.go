package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

func firstRow(t testing.TB, b *event.Batch) envelope.Row {
	t.Helper()
	batches, err := envelope.Open(seal(t, b))
	if err != nil {
		t.Fatal(err)
	}
	for row := range batches[0].Rows() {
		return row
	}
	t.Fatal("the batch has no row")
	return nil
}

// What a COPY sends is the row with two numbers filled in, and the row is as
// before, so that a second attempt can fill in others. // rule 2
func TestRow_AppendToLeavesTheRow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := tourBatch(0)
		b.Events = []event.Event{drawEvent(rt, rapid.IntRange(0, event.MaxEvents-1).Draw(rt, "index"), 1)}
		row := firstRow(t, b)
		before := bytes.Clone(row)
		batchNo, sessionNo := rapid.Int64().Draw(rt, "batch_no"), rapid.Int64().Draw(rt, "session_no")
		got := row.AppendTo([]byte("before"), batchNo, sessionNo)
		if !bytes.Equal(row, before) {
			rt.Fatal("the row changed")
		}
		loaded, ok := bytes.CutPrefix(got, []byte("before"))
		if !ok || len(loaded) != len(row) {
			rt.Fatalf("%d bytes were appended for a row of %d", len(loaded), len(row))
		}
		values := columns(rt, loaded)
		if n := int64(binary.BigEndian.Uint64(values[0])); n != batchNo {
			rt.Fatalf("batch_no is %d, want %d", n, batchNo)
		}
		if n := int64(binary.BigEndian.Uint64(values[1])); n != sessionNo {
			rt.Fatalf("session_no is %d, want %d", n, sessionNo)
		}
		// All else is untouched.
		clear(values[0])
		binary.BigEndian.PutUint64(values[1], uint64(row.Session()))
		if !bytes.Equal(loaded, before) {
			rt.Fatal("another column changed")
		}
	})
}

// The columns are those that the package names, with the values and the widths
// of their types.
func TestRow_Columns(t *testing.T) {
	t.Parallel()
	b := tourBatch(1)
	b.Events[0] = event.Event{
		Index: 7, Type: event.Gaze, Has: event.FieldSeq | event.FieldLevel | event.FieldX | event.FieldDuration,
		Level: -1, OccurredAt: 946_684_800_000_001, ClockShiftMS: -2, Seq: 3, X: 1, DurationMS: 4,
		Zone: "z", Object: "o", Target: "t", Action: "a", Name: "n", Props: `{}`,
	}
	names := strings.Split(envelope.Columns, ", ")
	got := map[string]string{}
	for i, value := range columns(t, firstRow(t, b)) {
		if value != nil {
			got[names[i]] = string(value)
		}
	}
	want := map[string]string{
		"batch_no":    "\x00\x00\x00\x00\x00\x00\x00\x00",
		"session_no":  "\x00\x00\x00\x00\x00\x00\x00\x00",
		"received_at": string(binary.BigEndian.AppendUint64(nil, uint64(b.ReceivedAt-946_684_800_000_000))),
		"event_index": "\x00\x07", "event_type": "\x00\x02", "class": "\x00\x01",
		"occurred_at":    "\x00\x00\x00\x00\x00\x00\x00\x01",
		"clock_shift_ms": "\xff\xff\xff\xff\xff\xff\xff\xfe", "client_seq": "\x00\x00\x00\x00\x00\x00\x00\x03",
		"x": "\x3f\x80\x00\x00", "duration_ms": "\x00\x00\x00\x04", "level": "\xff\xff",
		"zone": "z", "object": "o", "target": "t", "action": "a", "name": "n", "props": "\x01{}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

// Rows can be left early and walked again.
func TestBatch_RowsStops(t *testing.T) {
	t.Parallel()
	batches, err := envelope.Open(seal(t, tourBatch(5)))
	if err != nil {
		t.Fatal(err)
	}
	bytesOfRows := 0
	for range 2 {
		var indexes []int
		bytesOfRows = 0
		for row := range batches[0].Rows() {
			bytesOfRows += len(row)
			if indexes = append(indexes, row.Index()); len(indexes) == 3 {
				break
			}
		}
		if !slices.Equal(indexes, []int{0, 1, 2}) {
			t.Errorf("got rows %v", indexes)
		}
	}
	if whole := batches[0].RowBytes(); whole <= bytesOfRows {
		t.Errorf("five rows have %d bytes, three of them %d", whole, bytesOfRows)
	}
}

// A row that was not opened by this package is refused, not trusted.
func TestRow_EventOfDamagedRow(t *testing.T) {
	t.Parallel()
	row := firstRow(t, tourBatch(1))
	for size := range row {
		if _, err := row[:size].Event(); !errors.Is(err, envelope.ErrDamaged) {
			t.Fatalf("%d of %d bytes: %v", size, len(row), err)
		}
	}
	if _, err := append(slices.Clone(row), 0, 0).Event(); err == nil {
		t.Error("a row with bytes behind it was decoded")
	}
}

// columns splits a row of binary COPY; nil is NULL.
func columns(t interface{ Fatalf(string, ...any) }, row []byte) (values [][]byte) {
	n := int(binary.BigEndian.Uint16(row))
	row = row[2:]
	for range n {
		length := int32(binary.BigEndian.Uint32(row))
		row = row[4:]
		if length < 0 {
			values = append(values, nil)
			continue
		}
		values = append(values, row[:length])
		row = row[length:]
	}
	if names := strings.Count(envelope.Columns, ",") + 1; n != names || len(row) != 0 {
		t.Fatalf("a row has %d columns and %d bytes behind them, want %d columns", n, len(row), names)
	}
	return values
}
