package sim

import (
	"testing"
	"time"
)

// BenchmarkPosts is one headset's tours with all usual habits.
func BenchmarkPosts(b *testing.B) {
	run := newRun(b, Options{Seed: 1, Headsets: 8, Duration: 10 * time.Minute, Habits: Usual()})
	b.ReportAllocs()
	events := 0
	for b.Loop() {
		var ledger Ledger
		for post := range run.Posts() {
			ledger.Add(post)
			events += post.Accepted
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
