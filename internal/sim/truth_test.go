package sim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

var opening = time.Date(2026, time.March, 28, 15, 0, 0, 0, time.UTC)

func newRun(t check, options Options) *Run {
	t.Helper()
	if options.Start.IsZero() {
		options.Start = opening
	}
	run, err := New(options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return run
}

// checkTruth compares the ledger with what the pipeline's own decoder and fold
// make of the posts.
func checkTruth(t check, run *Run, received func(Post) event.Micros) (Truth, *recount) {
	t.Helper()
	var ledger Ledger
	recounted := newRecount(received)
	requests := 0
	for post := range run.Posts() {
		requests++
		ledger.Add(post)
		recounted.add(t, post)
	}
	truth, got := ledger.Truth(), recounted.truth()
	if truth.Requests != requests || len(truth.Sessions) != len(got) {
		t.Errorf("%d requests and %d sessions, want %d and %d", truth.Requests, len(truth.Sessions), requests, len(got))
	}
	for _, want := range truth.Sessions {
		if diff := cmp.Diff(comparable(want), got[want.NormalID]); diff != "" {
			t.Fatalf("seed %d, headset %d, tour %d (clock %d ms ahead): (-truth +recount)\n%s", run.options.Seed, want.Headset, want.Tour, want.ClockAheadMS, diff)
		}
	}
	return truth, recounted
}

// rule 2, rule 5: what the ledger says is what becomes of the posts.
func TestTruth_IsWhatThePipelineMakesOfIt(t *testing.T) {
	t.Parallel()
	options := Options{Seed: 11, Headsets: 12, Duration: 12 * time.Minute, Habits: Usual()}
	options.Habits.Bad, options.Habits.Crash = 0.005, 0.2
	run := newRun(t, options)
	truth, _ := checkTruth(t, run, atOnce(run))
	t.Logf("%+v", truth.Totals)
	if truth.Accepted < 20_000 || truth.Repeats == 0 || truth.RejectedEvents() == 0 || truth.Crashed == 0 || truth.Returned == 0 || truth.Nameless == 0 {
		t.Errorf("%+v: want some of everything", truth.Totals)
	}
}

func probabilities() *rapid.Generator[float64] {
	return rapid.SampledFrom([]float64{0, 0, 0.02, 0.3, 1})
}

// rule 2, rule 5
func TestTruth_WhateverTheHabits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := func(name string) float64 { return probabilities().Draw(t, name) }
		run := newRun(t, Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Headsets: rapid.IntRange(1, 3).Draw(t, "headsets"),
			Duration: time.Duration(rapid.IntRange(30, 150).Draw(t, "seconds")) * time.Second,
			Rate:     rapid.SampledFrom([]int{0, 1, 4, 10, 30}).Draw(t, "rate"),
			Habits: Habits{
				Dialects: p("dialects"), WrongClock: p("wrong clock"), DeadClock: p("dead clock"), Crash: p("crash"),
				LateUpload: p("late upload"), Offline: p("offline"), Retry: min(p("retry"), 0.3), Duplicate: p("duplicate"),
				Bad: min(p("bad"), 0.3), LostExit: p("lost exit"),
			},
		})
		received := rapid.SampledFrom([]func(*Run) func(Post) event.Micros{atOnce, allAtTheEnd}).Draw(t, "received")
		checkTruth(t, run, received(run))
	})
}
