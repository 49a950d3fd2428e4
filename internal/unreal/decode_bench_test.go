package unreal

import (
	stdjson "encoding/json"
	"fmt"
	"testing"

	"github.com/goccy/go-json"

	"github.com/nexero-vr/nexero/internal/event"
)

// wireBatch is what a general decoder needs to hold a batch: it does less than
// ours, which also checks, corrects and names what it read.
type wireBatch struct {
	SessionID string      `json:"session_id"`
	SentAt    float64     `json:"sent_at"`
	Events    []wireEvent `json:"events"`
}

type wireEvent struct {
	EventType       string             `json:"event_type"`
	Timestamp       float64            `json:"timestamp"`
	SessionID       string             `json:"session_id"`
	ZoneName        string             `json:"zone_name"`
	ObjectName      string             `json:"object_name"`
	GazeTarget      string             `json:"gaze_target"`
	InteractionType string             `json:"interaction_type"`
	Position        *wirePosition      `json:"position"`
	Rotation        *wireRotation      `json:"rotation"`
	DwellTimeMS     *int32             `json:"dwell_time_ms"`
	Metadata        stdjson.RawMessage `json:"metadata"`
}

type wirePosition struct {
	X float32 `json:"x"`
	Y float32 `json:"y"`
	Z float32 `json:"z"`
}

type wireRotation struct {
	Pitch float32 `json:"pitch"`
	Yaw   float32 `json:"yaw"`
	Roll  float32 `json:"roll"`
}

const benchEvents = 500

// BenchmarkDecode compares decoders on a batch of 500 events of a tour; see
// docs/decisions/0001-decoder.md.
func BenchmarkDecode(b *testing.B) {
	body := tourBatch(benchEvents)
	raw := []byte(body)
	own := ownDecoding(body)
	b.Run("own", func(b *testing.B) { benchmark(b, len(body), own) })
	b.Run("encoding-json", func(b *testing.B) {
		benchmark(b, len(body), func() (int, error) {
			var wire wireBatch
			err := stdjson.Unmarshal(raw, &wire)
			return len(wire.Events), err
		})
	})
	b.Run("goccy", func(b *testing.B) {
		benchmark(b, len(body), func() (int, error) {
			var wire wireBatch
			err := json.Unmarshal(raw, &wire)
			return len(wire.Events), err
		})
	})
}

// BenchmarkDecodeAwkward is the same for batches that take the slower ways:
// aliases, containers, props, dates as text, a session in each event.
func BenchmarkDecodeAwkward(b *testing.B) {
	events := make([]string, benchEvents)
	for i := range events {
		events[i] = fmt.Sprintf(`{"Type":"zone_enter","t":"2025-11-22T08:26:%02d.5Z","sessionId":"s%d","zone":"room %d",`+
			`"event_data":{"object_name":"door","colour":"red"},"metadata":{"hand":"left","grip":0.83},"build":"5.3"}`, i%60, i%4, i%9)
	}
	body := bodyOf(events...)
	benchmark(b, len(body), ownDecoding(body))
}

func ownDecoding(body string) func() (int, error) {
	decoder := NewDecoder(event.DefaultLimits(), nil)
	req := batchRequest(body)
	var batch event.Batch
	return func() (int, error) {
		err := decoder.Batch(req, &batch)
		return len(batch.Events), err
	}
}

func benchmark(b *testing.B, size int, decode func() (events int, err error)) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		if n, err := decode(); err != nil || n != benchEvents {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.N)*benchEvents/b.Elapsed().Seconds(), "events/s")
}
