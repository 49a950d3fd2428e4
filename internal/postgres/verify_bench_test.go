package postgres_test

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkVerify checks a database of tours of 10 minutes, 6000 events each,
// that were rolled up in five steps, and says what an event costs and how much
// memory is taken, in the program alone.
func BenchmarkVerify(b *testing.B) {
	const sessions, rounds = 64, 120
	f := setup(b)
	runs := 0
	grow := func() {
		for round := range rounds {
			f.load(posts(b, runs, round, sessions)...)
			if (round+1)%24 == 0 {
				f.roll(f.store)
			}
		}
		runs++
	}
	for range 3 {
		grow()
	}
	f.exec("ANALYZE")
	b.ResetTimer()
	var took time.Duration
	var most uint64
	for range b.N {
		runtime.GC()
		began := time.Now()
		v, err := f.store.Verify(b.Context())
		took += time.Since(began)
		if err != nil || !v.Exact() {
			b.Fatalf("%v (%v)", v.Named, err)
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		most = max(most, memory.HeapSys-memory.HeapReleased)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*runs*rounds*sessions*50), "ns/event")
	b.ReportMetric(float64(most)/(1<<20), "MiB")
	b.ReportMetric(0, "ns/op")
}
