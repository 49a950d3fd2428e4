package postgres_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// walk is a tour at 10 Hz by somebody who walks through six rooms of a flat,
// so that the floor is covered as it is in reality.
func walk(n int, at event.Micros) event.Event {
	e := realistic(n, at)
	if e.Type == event.Pose {
		way := float64(n) / 40
		e.X, e.Y = float32(600+500*math.Sin(way/3)), float32(400+300*math.Cos(way/2))
	}
	return e
}

// posts are what so many headsets post in one round: batches of 50 events each.
func posts(t testing.TB, run, round, sessions int) []envelope.Batch {
	t.Helper()
	const events = 50
	made := make([]envelope.Batch, sessions)
	for i := range made {
		b := batch(fmt.Sprint("walk-", run, "-", round, "-", i))
		client := fmt.Sprint("walk-", run, "-", i)
		b.Sessions[0] = event.Session{Key: event.SessionKey("acme", client), ClientID: client}
		for n := range events {
			number := round*events + n
			e := walk(number, b.ReceivedAt+event.Micros(number-6000)*100_000)
			e.Index = n
			b.Events = append(b.Events, e)
		}
		if round == 0 {
			b.report(event.Report{PropertyID: "flat", CustomerID: client})
		}
		made[i] = b.seal(t)
	}
	return made
}

// BenchmarkRollSessions measures what an event costs on its way from the raw
// rows into facts and aggregates, beside what it costs to load it: live, in
// roll-ups of what 64 headsets post in 5 s, over tours of 10 minutes; and in
// one go, as after a backlog.
func BenchmarkRollSessions(b *testing.B) {
	const sessions, rounds = 64, 120
	for _, mode := range []struct {
		name  string
		every int // rounds of posts between two roll-ups
	}{{"live", 1}, {"backlog", rounds}} {
		b.Run(mode.name, func(b *testing.B) {
			f := setup(b)
			var loading, rolling time.Duration
			for run := range b.N {
				for round := range rounds {
					gather := posts(b, run, round, sessions)
					began := time.Now()
					f.load(gather...)
					loading += time.Since(began)
					if (round+1)%mode.every == 0 {
						began = time.Now()
						f.roll(f.store)
						rolling += time.Since(began)
					}
				}
			}
			events := float64(b.N * rounds * sessions * 50)
			b.ReportMetric(float64(loading.Nanoseconds())/events, "load-ns/event")
			b.ReportMetric(float64(rolling.Nanoseconds())/events, "roll-ns/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}
