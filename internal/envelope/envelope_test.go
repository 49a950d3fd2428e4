package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// What was sealed comes out again, batch by batch and event by event.
// rule 5
func TestEnvelope_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(drawBatch(), 0, 4).Draw(t, "batches")
		var builder envelope.Builder
		for _, b := range want {
			encoded, err := envelope.AppendBatch(nil, b)
			if err != nil {
				t.Fatal(err)
			}
			builder.Add(encoded)
		}
		size := builder.Len()
		message := builder.Seal()
		if len(message) != size {
			t.Fatalf("a message of %d bytes was announced as %d bytes", len(message), size)
		}
		opened, err := envelope.Open(message)
		if err != nil {
			t.Fatal(err)
		}
		got := []*event.Batch{}
		for i := range opened {
			if late, corrected := want[i].Late(), want[i].Corrected(); opened[i].Late != late || opened[i].Corrected != corrected {
				t.Fatalf("batch %d: got %d late, %d corrected; want %d, %d", i, opened[i].Late, opened[i].Corrected, late, corrected)
			}
			if opened[i].RowCount() != len(want[i].Events) {
				t.Fatalf("batch %d has %d rows, want %d", i, opened[i].RowCount(), len(want[i].Events))
			}
			b, err := reopen(&opened[i])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("batches (-want +got):\n%s", diff)
		}
	})
}

// Appending to a buffer leaves what is in front of it, also on failure.
func TestAppendBatch_Appends(t *testing.T) {
	t.Parallel()
	b := tourBatch(3)
	alone, err := envelope.AppendBatch(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := envelope.AppendBatch([]byte("before"), b)
	if err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("before"), alone...); !bytes.Equal(behind, want) {
		t.Error("the encoding depends on what is in front of it")
	}
	b.Events[0].Session = 1
	if kept, err := envelope.AppendBatch([]byte("before"), b); err == nil || string(kept) != "before" {
		t.Errorf("a failed append returned %q, %v", kept, err)
	}
}

// What nobody traces costs a byte, and half a trace is none: it must not cost the
// batch.
func TestAppendBatch_Trace(t *testing.T) {
	t.Parallel()
	size := func(trace event.Trace) int {
		b := tourBatch(1)
		b.Trace = trace
		encoded, err := envelope.AppendBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		return len(encoded)
	}
	none := size(event.Trace{})
	if half := size(event.Trace{ID: [16]byte{1}, Flags: 1}); half != none {
		t.Errorf("%d bytes with half a trace, %d without", half, none)
	}
	if whole := size(event.Trace{ID: [16]byte{1}, Span: [8]byte{1}}); whole != none+25 {
		t.Errorf("%d bytes with a trace, %d without", whole, none)
	}
}

// A batch that could not be opened again must not be sealed: it would take all
// others of its envelope with it. // rule 1
func TestAppendBatch_RefusesWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*event.Batch){
		"event of no session":        func(b *event.Batch) { b.Events[1].Session = 1 },
		"event of session -1":        func(b *event.Batch) { b.Events[1].Session = -1 },
		"event at a negative index":  func(b *event.Batch) { b.Events[1].Index = -1 },
		"event at an index too high": func(b *event.Batch) { b.Events[1].Index = event.MaxEvents },
		"two events at one index":    func(b *event.Batch) { b.Events[1].Index = b.Events[0].Index },
		"events out of order":        func(b *event.Batch) { b.Events[0].Index, b.Events[1].Index = 1, 0 },
		"too many events": func(b *event.Batch) {
			b.Events = slices.Repeat(b.Events[:1], event.MaxEvents+1)
		},
		"report of no session":    func(b *event.Batch) { b.Report = &event.Report{Session: 1} },
		"rejection without code":  func(b *event.Batch) { b.Rejected = []event.Rejection{{Index: 1}} },
		"rejection at index -2":   func(b *event.Batch) { b.Rejected = []event.Rejection{{Index: -2, Code: event.InvalidText}} },
		"rejection at high index": func(b *event.Batch) { b.Rejected = []event.Rejection{{Index: 40_000, Code: event.InvalidText}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := tourBatch(3)
			spoil(b)
			if _, err := envelope.AppendBatch(nil, b); err == nil {
				t.Error("the batch was encoded")
			}
		})
	}
}

func TestBuilder_SealedMessageIsItsOwn(t *testing.T) {
	t.Parallel()
	encoded, err := envelope.AppendBatch(nil, tourBatch(2))
	if err != nil {
		t.Fatal(err)
	}
	var builder envelope.Builder
	builder.Add(encoded)
	first := builder.Seal()
	before := bytes.Clone(first)
	if empty := new(envelope.Builder).Len(); builder.Len() != empty {
		t.Errorf("a sealed builder still has %d bytes, an empty one %d", builder.Len(), empty)
	}
	builder.Add(encoded)
	builder.Add(encoded)
	second := builder.Seal()
	clear(encoded)
	if !bytes.Equal(first, before) {
		t.Error("a sealed message changed")
	}
	if batches, err := envelope.Open(second); err != nil || len(batches) != 2 {
		t.Errorf("the second message: %d batches, %v", len(batches), err)
	}
}

func TestOpen_Empty(t *testing.T) {
	t.Parallel()
	var builder envelope.Builder
	if batches, err := envelope.Open(builder.Seal()); err != nil || len(batches) != 0 {
		t.Errorf("got %d batches, %v", len(batches), err)
	}
}

// No damage to a single byte goes unnoticed, wherever it is. // rule 1
func TestOpen_EveryByteFlipIsNoticed(t *testing.T) {
	t.Parallel()
	message := seal(t, tourBatch(3), &event.Batch{Tenant: "acme", Rejected: []event.Rejection{{Code: event.InvalidText, Raw: "{}"}}})
	for at := range message {
		for _, mask := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			damaged := bytes.Clone(message)
			damaged[at] ^= mask
			_, err := envelope.Open(damaged)
			if !errors.Is(err, envelope.ErrDamaged) && !errors.Is(err, envelope.ErrVersion) {
				t.Fatalf("byte %d with %02x flipped: %v", at, mask, err)
			}
		}
	}
}

func TestOpen_EveryTruncationIsNoticed(t *testing.T) {
	t.Parallel()
	message := seal(t, tourBatch(3))
	for size := range message {
		if _, err := envelope.Open(message[:size:size]); !errors.Is(err, envelope.ErrDamaged) {
			t.Fatalf("%d of %d bytes: %v", size, len(message), err)
		}
	}
	if _, err := envelope.Open(append(bytes.Clone(message), 0)); !errors.Is(err, envelope.ErrDamaged) {
		t.Errorf("one byte more: %v", err)
	}
}

// A newer build's envelope stays in the queue, whatever it holds: it is not
// damaged, this build is old.
func TestOpen_FutureVersion(t *testing.T) {
	t.Parallel()
	for version := envelope.Version + 1; version < 256; version++ {
		message := append([]byte("NXRO"), byte(version), 1, 2, 3)
		message = append(message, make([]byte, 40)...)
		_, err := envelope.Open(message)
		if !errors.Is(err, envelope.ErrVersion) || errors.Is(err, envelope.ErrDamaged) {
			t.Fatalf("version %d: %v", version, err)
		}
	}
}

// Counts that the input only claims cost nothing. // rule 9
func TestOpen_HostileCountsCostNoMemory(t *testing.T) {
	t.Parallel()
	most := bytes.Repeat([]byte{0xff}, 9) // a uvarint of 2^63-1
	most = append(most[:8:8], 0x7f)
	head := func(parts ...[]byte) []byte {
		// Three ids, a time, two empty texts, no trace, two counts of nothing.
		batch := bytes.Repeat([]byte{0}, 16+16+16+8+5)
		for _, part := range parts {
			batch = append(batch, part...)
		}
		return batch
	}
	for name, message := range map[string][]byte{
		"batches":    patch([]byte{}, 1<<32-1),
		"length":     patch([]byte{0xff, 0xff, 0xff, 0xff}, 1),
		"tenant":     patch(sized(append(bytes.Repeat([]byte{0}, 56), most...)), 1),
		"sessions":   patch(sized(head(most)), 1),
		"rejections": patch(sized(head([]byte{0}, most)), 1),
		"rows":       patch(sized(head([]byte{0, 0, 0}, most)), 1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := envelope.Open(message)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, envelope.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		// Other tests allocate meanwhile; a believed count would be gigabytes.
		if made := after.TotalAlloc - before.TotalAlloc; made > 256<<20 {
			t.Errorf("%s: %d bytes were made for %d", name, made, len(message))
		}
	}
}

// A message with a right checksum can still be nonsense, made by a faulty
// build. It is damaged, never half read. // rule 1
func TestOpen_Nonsense(t *testing.T) {
	t.Parallel()
	untraced := bytes.Repeat([]byte{0}, 16+16+16+8+2) // ids, time, two empty texts
	prefix := append(bytes.Clone(untraced), 0)
	build := func(parts ...[]byte) []byte {
		return patch(sized(slices.Concat(append([][]byte{prefix}, parts...)...)), 1)
	}
	session := slices.Concat([]byte{1}, bytes.Repeat([]byte{0}, 17)) // one, without a name
	row := firstRow(t, tourBatch(1))
	rows := func(row []byte) []byte {
		return slices.Concat([]byte{1}, binary.LittleEndian.AppendUint32(nil, uint32(len(row))), row)
	}
	edited := func(at int, value byte) []byte {
		changed := bytes.Clone(row)
		changed[at] = value
		return changed
	}
	none := []byte{0}
	counts := []byte{0, 0}
	if _, err := envelope.Open(build(counts, session, none, none, rows(row))); err != nil {
		t.Fatalf("the pattern itself: %v", err)
	}
	traced := func(length byte, trace []byte) []byte {
		return patch(sized(slices.Concat(untraced, []byte{length}, trace, counts, session, none, none, rows(row))), 1)
	}
	if _, err := envelope.Open(traced(25, bytes.Repeat([]byte{1}, 25))); err != nil {
		t.Fatalf("the pattern with a trace: %v", err)
	}
	for name, message := range map[string][]byte{
		"more late events than events":  build([]byte{2, 0}, session, none, none, rows(row)),
		"more corrected than events":    build([]byte{0, 2}, session, none, none, rows(row)),
		"a row of no session":           build(counts, none, none, none, rows(row)),
		"a row at a negative index":     build(counts, session, none, none, rows(edited(2+12*3+4, 0x80))),
		"a row with 22 columns":         build(counts, session, none, none, rows(edited(1, 22))),
		"a row longer than its batch":   build(counts, session, none, none, []byte{1, 0xff, 0, 0, 0}, row),
		"a row shorter than its length": build(counts, session, none, none, rows(row), []byte{0}),
		"a report of no session":        build(counts, none, none, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, none),
		"a rejection without a code":    build(counts, none, []byte{1, 0, 0, 0, 0, 0}, none, none),
		"a rejection at index -2":       build(counts, none, []byte{1, 3, 1, 'c', 0, 0, 0}, none, none),
		"a number without an end":       build([]byte{0xff}),
		"a trace of 24 bytes":           traced(24, bytes.Repeat([]byte{1}, 24)),
		"a trace of 26 bytes":           traced(26, bytes.Repeat([]byte{1}, 26)),
		"a trace that ends early":       patch(sized(slices.Concat(untraced, []byte{25, 1, 2, 3})), 1),
		"a trace without an id":         traced(25, slices.Concat(bytes.Repeat([]byte{0}, 16), bytes.Repeat([]byte{1}, 9))),
		"a trace without a span":        traced(25, slices.Concat(bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{0}, 8), []byte{1})),
		"version 1 with a trace": patchAs(1, sized(slices.Concat(untraced, []byte{25}, bytes.Repeat([]byte{1}, 25),
			counts, session, none, none, rows(row))), 1),
	} {
		if _, err := envelope.Open(message); !errors.Is(err, envelope.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
