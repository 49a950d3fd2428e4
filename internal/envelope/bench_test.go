package envelope_test

import (
	"testing"

	"github.com/nexero-vr/nexero/internal/envelope"
)

const benchmarkEvents = 100

func BenchmarkAppendBatch(b *testing.B) {
	batch := tourBatch(benchmarkEvents)
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buffer, err = envelope.AppendBatch(buffer[:0], batch); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buffer)))
	reportEvents(b)
}

func BenchmarkOpen(b *testing.B) {
	message := seal(b, tourBatch(benchmarkEvents))
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.Open(message); err != nil {
			b.Fatal(err)
		}
	}
	reportEvents(b)
}

func BenchmarkRowAppendTo(b *testing.B) {
	batches, err := envelope.Open(seal(b, tourBatch(benchmarkEvents)))
	if err != nil {
		b.Fatal(err)
	}
	var buffer []byte
	b.SetBytes(int64(batches[0].RowBytes()))
	b.ReportAllocs()
	for b.Loop() {
		buffer = buffer[:0]
		for row := range batches[0].Rows() {
			buffer = row.AppendTo(buffer, 1, int64(row.Session()))
		}
	}
	reportEvents(b)
}

func reportEvents(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.N)*benchmarkEvents/b.Elapsed().Seconds(), "events/s")
}
