package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// FuzzOpen feeds any bytes, and the same bytes as the body of a message with a
// right checksum, in every version, so that the decoders behind it are reached. What is accepted
// must be whole: every event decodes, and the batches encode and open again as
// the same.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(seal(f))
	f.Add(seal(f, tourBatch(2)))
	f.Add(seal(f, goldenBatches()...))
	for _, b := range goldenBatches() {
		f.Add(seal(f, b)[16:])
	}
	for version := envelope.OldestVersion; version <= envelope.Version; version++ {
		golden, err := os.ReadFile(goldenPath(version))
		if err != nil {
			f.Fatal(err)
		}
		message := unannotate(f, string(golden))
		f.Add(message)
		first := binary.LittleEndian.Uint32(message[16:])
		f.Add(message[16 : 20+first])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, data)
		for version := envelope.OldestVersion; version <= envelope.Version; version++ {
			check(t, patchAs(byte(version), data, 1))
		}
	})
}

func check(t *testing.T, message []byte) {
	t.Helper()
	before := bytes.Clone(message)
	opened, err := envelope.Open(message)
	if err != nil {
		if !errors.Is(err, envelope.ErrDamaged) && !errors.Is(err, envelope.ErrVersion) {
			t.Fatalf("an error of no kind: %v", err)
		}
		return
	}
	var batches []*event.Batch
	for i := range opened {
		b, err := reopen(&opened[i])
		if err != nil {
			t.Fatalf("a batch that was opened: %v", err)
		}
		for row := range opened[i].Rows() {
			row.AppendTo(nil, 1, 2)
		}
		batches = append(batches, b)
	}
	if !bytes.Equal(message, before) {
		t.Fatal("the message changed")
	}
	again, err := envelope.Open(seal(t, batches...))
	if err != nil {
		t.Fatalf("sealed again: %v", err)
	}
	for i := range again {
		b, err := reopen(&again[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(batches[i], b, cmp.Comparer(sameBits)); diff != "" {
			t.Fatalf("sealed again (-first +second):\n%s", diff)
		}
	}
}

// sameBits compares floats by their bits: NaN travels like any other value.
func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
