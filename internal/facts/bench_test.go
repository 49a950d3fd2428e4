package facts

import (
	"math"
	"slices"
	"testing"

	"github.com/nexero-vr/nexero/internal/event"
)

// walk is a session of n events at 10 a second: poses of someone who walks
// about, and with looks a look each 20 poses, stamped with its start, and a
// change of zone each 30 s.
func walk(n int, looks bool) []Event {
	tour := &tour{begin: begin, events: make([]Event, 0, n)}
	for i := 0; len(tour.events) < n; i++ {
		at := int64(i) * 100
		angle := float64(i) / 300
		tour.at(at, event.Pose, position(float32(400*math.Cos(angle)), float32(300*math.Sin(1.7*angle))), facing(float32(i%360)), batch(int64(i/50)))
		if !looks {
			continue
		}
		if i%20 == 19 {
			tour.at(at-1500, event.Gaze, target(string(rune('a'+i/20%26))), length(1500), batch(int64(i/50)))
		}
		if i%300 == 0 {
			tour.at(at, event.ZoneEnter, in(string(rune('A'+i/300%6))), batch(int64(i/50)))
		}
		if i%300 == 299 {
			tour.at(at, event.ZoneExit, in(string(rune('A'+i/300%6))), batch(int64(i/50)))
		}
	}
	return tour.events
}

// perEvent reports what one event costs.
func perEvent(b *testing.B, n int) {
	b.Helper()
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkOf(b *testing.B) {
	for _, c := range []struct {
		name  string
		looks bool
	}{{"poses", false}, {"tour", true}} {
		b.Run(c.name, func(b *testing.B) {
			events := walk(36_000, c.looks)
			scratch := make([]Event, len(events))
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, events)
				Of(scratch, nil)
			}
			perEvent(b, len(events))
		})
	}
}

// BenchmarkExtend adds 10 s of events to a session of ten minutes.
func BenchmarkExtend(b *testing.B) {
	events := walk(6500, true)
	whole := Of(slices.Clone(events[:6000]), nil).Append(nil)
	scratch := make([]Event, 100)
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, events[6000:6100])
		s, err := Decode(whole)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Extend(scratch, nil); err != nil {
			b.Fatal(err)
		}
		s.Append(nil)
	}
	b.ReportMetric(float64(len(whole)), "state_bytes")
}

// BenchmarkContributions makes the difference that a live session of ten
// minutes needs every two seconds.
func BenchmarkContributions(b *testing.B) {
	events := walk(6500, true)
	older := Of(slices.Clone(events[:6000]), nil).Facts().Contributions(Property{}).Append(nil)
	s := Of(slices.Clone(events), nil)
	b.ReportAllocs()
	for b.Loop() {
		before, err := DecodeContributions(older)
		if err != nil {
			b.Fatal(err)
		}
		after := s.Facts().Contributions(Property{})
		Difference(after, before)
		after.Append(nil)
	}
	b.ReportMetric(float64(len(older)), "rows_bytes")
	b.ReportMetric(float64(len(s.floor.cells)), "cells")
}
