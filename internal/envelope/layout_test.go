package envelope_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

var update = flag.Bool("update", false, "rewrite golden files; only for a new version of the layout")

// patch puts a right header of this build's version in front of body.
func patch(body []byte, count uint32) []byte { return patchAs(envelope.Version, body, count) }

// patchAs is patch for a version of choice.
func patchAs(version byte, body []byte, count uint32) []byte {
	message := append([]byte("NXRO"), version, 0, 0, 0)
	message = binary.LittleEndian.AppendUint32(message, count)
	message = binary.LittleEndian.AppendUint32(message, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(message, body...)
}

// sized puts a batch's length in front of it.
func sized(batch []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(batch))), batch...)
}

// goldenBatches hold one of everything that the layout knows.
func goldenBatches() []*event.Batch {
	return []*event.Batch{
		{
			Tenant:        "acme",
			ID:            event.UUID{0x01, 15: 0x10},
			Digest:        [16]byte{0x02, 15: 0x20},
			ReceiptID:     event.UUID{0x03, 15: 0x30},
			ReceivedAt:    1_764_685_805_123_456,
			CorrelationID: "c-1",
			Trace:         event.Trace{ID: [16]byte{0x07, 15: 0x70}, Span: [8]byte{0x08, 7: 0x80}, Flags: 1},
			Sessions: []event.Session{
				{Key: event.UUID{0x04, 15: 0x40}, ClientID: "s1"},
				{Key: event.UUID{0x05, 15: 0x50}, ClientID: "s2"},
			},
			Events: []event.Event{
				{
					Index: 0, Session: 1, Type: event.Pose, OccurredAt: 1_764_685_800_000_000, Seq: 9,
					Has: event.FieldSeq | event.FieldLevel | event.FieldX | event.FieldY | event.FieldZ |
						event.FieldPitch | event.FieldYaw | event.FieldRoll,
					Level: 2, X: 1, Y: -2, Z: 0.5, Pitch: 4, Yaw: -180, Roll: 0, Zone: "hall",
				},
				{
					Index: 2, Session: 0, Type: event.Custom, OccurredAt: 1_764_000_000_000_000, ClockShiftMS: -1500,
					Has: event.FieldDuration, DurationMS: 250,
					Object: "door", Target: "lamp", Action: "open", Name: "menu", Props: `{"a":1}`,
				},
			},
			Rejected: []event.Rejection{{Index: 1, Code: event.MissingTimestamp, Field: "timestamp", Detail: "no time", Raw: "{}"}},
		},
		{
			Tenant:     "b",
			ReceivedAt: 1_764_685_805_123_457,
			Sessions:   []event.Session{{Key: event.UUID{0x06}, ClientID: ""}},
			Rejected:   []event.Rejection{{Index: -1, Code: event.UnreadableBody}},
			Report: &event.Report{
				Start: new(event.Micros(1)), ClockShiftMS: 5,
				CustomerID: "cu", PropertyID: "p", Device: "d", Props: `{}`,
			},
		},
	}
}

// The bytes of a version are fixed: messages of it lie in queues. A change of
// this file is a change of the format and needs another version.
func TestLayout_Golden(t *testing.T) {
	t.Parallel()
	path := goldenPath(envelope.Version)
	message := seal(t, goldenBatches()...)
	if *update {
		if err := os.WriteFile(path, []byte(annotate(message)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), annotate(message)); diff != "" {
		t.Errorf("the layout changed (-golden +now):\n%s", diff)
	}
}

// What builds before this one left in a queue, or kept as damaged, is read as it
// was meant. // rule 5
func TestLayout_EveryVersionIsRead(t *testing.T) {
	t.Parallel()
	for version := envelope.OldestVersion; version <= envelope.Version; version++ {
		golden, err := os.ReadFile(goldenPath(version))
		if err != nil {
			t.Fatal(err)
		}
		message := unannotate(t, string(golden))
		if annotated := annotate(message); annotated != string(golden) {
			t.Errorf("version %d is not as it is described:\n%s", version, cmp.Diff(string(golden), annotated))
		}
		want := goldenBatches()
		if version < 2 {
			for _, b := range want {
				b.Trace = event.Trace{}
			}
		}
		opened, err := envelope.Open(message)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		var got []*event.Batch
		for i := range opened {
			b, err := reopen(&opened[i])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the golden envelope of version %d reads as (-want +got):\n%s", version, diff)
		}
	}
}

func goldenPath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("envelope-v%d.hex", version))
}

// annotate writes a message as the package's documentation describes it, one
// value a line. It is a reader of its own, so that the documentation, the
// encoder and the decoder cannot be wrong together.
func annotate(message []byte) string {
	a := annotator{rest: message}
	a.take(4, "magic")
	a.version = a.take(1, "version")[0]
	a.take(3, "zero")
	count := binary.LittleEndian.Uint32(a.take(4, "number of batches"))
	a.take(4, "CRC-32C")
	for range count {
		a.batch()
	}
	if len(a.rest) > 0 {
		a.take(len(a.rest), "NOT IN THE LAYOUT")
	}
	return a.out.String()
}

type annotator struct {
	rest    []byte
	version byte
	out     strings.Builder
}

func (a *annotator) take(n int, what string) []byte {
	value := a.rest[:n]
	a.rest = a.rest[n:]
	a.out.WriteString(hex.EncodeToString(value) + " # " + what + "\n")
	return value
}

func (a *annotator) uvarint(what string) int {
	value, n := binary.Uvarint(a.rest)
	a.take(n, what)
	return int(value)
}

func (a *annotator) varint(what string) {
	_, n := binary.Varint(a.rest)
	a.take(n, what)
}

func (a *annotator) text(what string) {
	length, n := binary.Uvarint(a.rest)
	a.take(n+int(length), what)
}

func (a *annotator) batch() {
	a.out.WriteByte('\n')
	length := binary.LittleEndian.Uint32(a.take(4, "length of the rest of the batch"))
	end := len(a.rest) - int(length)
	a.take(16, "batch id")
	a.take(16, "receipt id")
	a.take(16, "digest")
	a.take(8, "received at")
	a.text("tenant")
	a.text("correlation id")
	if a.version >= 2 && a.take(1, "length of the trace context")[0] == 25 {
		a.take(16, "trace id")
		a.take(8, "span id")
		a.take(1, "flags")
	}
	a.uvarint("late")
	a.uvarint("clock-corrected")
	for range a.uvarint("sessions") {
		a.take(16, "key")
		a.text("client id")
	}
	for range a.uvarint("rejections") {
		a.varint("index")
		for _, what := range []string{"code", "field", "detail", "raw"} {
			a.text(what)
		}
	}
	if a.take(1, "report follows")[0] == 1 {
		a.report()
	}
	var lengths []int
	for range a.uvarint("rows") {
		lengths = append(lengths, int(binary.LittleEndian.Uint32(a.take(4, "length of a row"))))
	}
	for _, length := range lengths {
		a.row(length)
	}
	if len(a.rest) != end {
		a.out.WriteString("THE BATCH'S LENGTH IS WRONG\n")
	}
}

func (a *annotator) report() {
	a.uvarint("session")
	a.take(1, "presence bits")
	a.varint("start")
	a.varint("end")
	a.varint("clock shift")
	for _, what := range []string{"customer", "property", "device", "props"} {
		a.text(what)
	}
}

func (a *annotator) row(length int) {
	end := len(a.rest) - length
	a.take(2, "row: columns")
	for name := range strings.SplitSeq(envelope.Columns, ", ") {
		size := int32(binary.BigEndian.Uint32(a.rest))
		a.take(4+max(0, int(size)), name)
	}
	if len(a.rest) != end {
		a.out.WriteString("THE ROW'S LENGTH IS WRONG\n")
	}
}

func unannotate(t testing.TB, text string) []byte {
	t.Helper()
	var message bytes.Buffer
	for line := range strings.Lines(text) {
		digits, _, _ := strings.Cut(line, "#")
		value, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil {
			t.Fatal(err)
		}
		message.Write(value)
	}
	return message.Bytes()
}
