package facts

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// stored sends a state through its bytes, as if it had been written and read.
func stored(t *rapid.T, s *State) *State {
	written := s.Append(nil)
	read, err := Decode(written)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if again := read.Append(nil); !bytes.Equal(again, written) {
		t.Fatalf("a state that was read is written in %d other bytes of %d", len(again), len(written))
	}
	return read
}

// assertSame fails unless two states and their facts are the same.
func assertSame(t *rapid.T, want, got *State) {
	if diff := gocmp.Diff(want.Facts(), got.Facts()); diff != "" {
		t.Fatalf("other facts (-want +got):\n%s", diff)
	}
	if !bytes.Equal(want.Append(nil), got.Append(nil)) {
		t.Fatal("the facts are the same, the bytes are not")
	}
}

func TestExtend_AnySplitIsTheSame(t *testing.T) { // rule 4
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events, reports := inOrderOfTime(drawEvents(t)), drawReports(t)
		want := Of(slices.Clone(events), slices.Clone(reports))
		s := New()
		for len(events) > 0 || len(reports) > 0 {
			n := rapid.IntRange(0, len(events)).Draw(t, "events now")
			m := rapid.IntRange(min(1, len(reports)), len(reports)).Draw(t, "reports now")
			if err := s.Extend(slices.Clone(events[:n]), reports[:m]); err != nil {
				t.Fatalf("events in order: %v", err)
			}
			events, reports = events[n:], reports[m:]
			if rapid.Bool().Draw(t, "stored") {
				s = stored(t, s)
			}
			s.Facts() // reading changes nothing
			if n+m == 0 && rapid.Bool().Draw(t, "stop") {
				if err := s.Extend(slices.Clone(events), reports); err != nil {
					t.Fatal(err)
				}
				events, reports = nil, nil
			}
		}
		assertSame(t, want, s)
	})
}

func TestExtend_AnyDeliveryEndsTheSame(t *testing.T) { // rule 4
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events, reports := drawEvents(t), drawReports(t)
		want := Of(slices.Clone(events), reports)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		random.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		s := New()
		for done := 0; done < len(events); {
			n := min(len(events), done+rapid.IntRange(1, 20).Draw(t, "batch"))
			switch err := s.Extend(slices.Clone(events[done:n]), nil); {
			case errors.Is(err, ErrRecompute):
				s = Of(slices.Clone(events[:n]), nil)
			case err != nil:
				t.Fatal(err)
			}
			done = n
		}
		if err := s.Extend(nil, reports); err != nil {
			t.Fatal(err)
		}
		assertSame(t, want, s)
	})
}

func TestExtend_WhatFoldsInAnyOrderIsNeverRecomputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		want := Of(slices.Clone(events), nil)
		var late []Event
		rest := slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
			if e.sequential() || !rapid.Bool().Draw(t, "late") {
				return false
			}
			late = append(late, e)
			return true
		})
		s := Of(rest, nil)
		for _, e := range late {
			if err := s.Extend([]Event{e}, nil); err != nil {
				t.Fatalf("a late %s: %v", e.Type, err)
			}
		}
		assertSame(t, want, s)
	})
}

func TestDifference_Algebra(t *testing.T) { // rule 4
	t.Parallel()
	places := []Property{{}, {Zone: time.FixedZone("", 5*3600+1800), OriginX: -70}, {Zone: time.FixedZone("", -8*3600)}}
	rapid.Check(t, func(t *rapid.T) {
		draw := func() Contributions {
			place := rapid.SampledFrom(places).Draw(t, "place")
			return Of(drawEvents(t), drawReports(t)).Facts().Contributions(place)
		}
		a, b, c := draw(), draw(), draw()
		assertRows(t, "a + (b - a) = b", b, Add(a, Difference(b, a)))
		assertRows(t, "a - a = 0", nil, Difference(a, a))
		assertRows(t, "(a + b) - b = a", a, Difference(Add(a, b), b))
		assertRows(t, "a + b = b + a", Add(a, b), Add(b, a))
		assertRows(t, "(a + b) + c = a + (b + c)", Add(Add(a, b), c), Add(a, Add(b, c)))
		assertRows(t, "a + b - a - b = 0", nil, Difference(Difference(Add(a, b), a), b))

		difference := Difference(a, b)
		for _, list := range []Contributions{a, difference} {
			written := list.Append(nil)
			read, err := DecodeContributions(written)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			assertRows(t, "read as written", list, read)
			if !bytes.Equal(read.Append(nil), written) {
				t.Fatal("written in other bytes")
			}
		}
	})
}

func assertRows(t *rapid.T, law string, want, got Contributions) {
	for i := 1; i < len(got); i++ {
		if got[i-1].Compare(&got[i].Key) >= 0 {
			t.Fatalf("%s: row %d is out of order", law, i)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", law, diff)
	}
}

func TestContributions_AreSumsOfFacts(t *testing.T) { // rule 4
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := Of(drawEvents(t), drawReports(t)).Facts()
		c := f.Contributions(Property{Zone: time.FixedZone("", -4*3600)})
		total := make(map[Table][]int64)
		for _, r := range c {
			if r.Refs != 1 {
				t.Fatalf("%+v has %d refs", r.Key, r.Refs)
			}
			if total[r.Table] == nil {
				total[r.Table] = make([]int64, len(r.Sums))
			}
			for i, sum := range r.Sums {
				total[r.Table][i] += sum
			}
		}
		sum := func(table Table, column int) int64 {
			if total[table] == nil {
				return 0
			}
			return total[table][column]
		}
		var dwell, looked, heat, done int64
		for _, v := range f.Visits {
			dwell += v.DwellMS
		}
		for _, l := range f.Looks {
			looked += l.LookMS
		}
		for _, cell := range f.Cells {
			heat += cell.MS
		}
		for _, i := range f.Interactions {
			done += i.Times
		}
		for what, pair := range map[string][2]int64{
			"visits":       {int64(len(f.Visits)), sum(ZonesDaily, zoneVisits)},
			"dwell":        {dwell, sum(ZonesDaily, zoneDwellMS)},
			"look time":    {looked, sum(GazeTargetsDaily, gazeLookMS)},
			"heat":         {heat, sum(FloorHeatmapDaily, 0)},
			"interactions": {done, sum(InteractionsDaily, 0)},
			"events":       {f.Events, sum(EventsHourly, 0)},
			"duration":     {f.DurationMS, sum(PropertiesDaily, propertyDurationMS)},
		} {
			if pair[0] != pair[1] {
				t.Fatalf("%s: %d in the facts, %d in the contributions", what, pair[0], pair[1])
			}
		}
		entries, exits := sum(ZonesDaily, zoneEntries), sum(ZonesDaily, zoneExits)
		if want := int64(min(1, len(f.Visits))); entries != want || exits != want {
			t.Fatalf("%d entries and %d exits", entries, exits)
		}
	})
}

func TestAbsorb_AddsWhatCameLater(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		earlier, later := Of(drawEvents(t), drawReports(t)), Of(drawEvents(t), nil)
		before, added := earlier.Facts(), later.Facts()
		s := stored(t, earlier)
		s.Absorb(stored(t, later))
		again := stored(t, earlier)
		again.Absorb(stored(t, later))
		assertSame(t, s, again)
		f := stored(t, s).Facts()
		if err := s.Extend(nil, nil); !errors.Is(err, ErrSealed) || !f.Sealed {
			t.Fatalf("after Absorb: %v, sealed %v", err, f.Sealed)
		}
		if before.Events > 0 && (f.Start != before.Start || f.End != before.End || f.ShiftMS != before.ShiftMS) {
			t.Fatalf("the session moved from %d..%d to %d..%d", before.Start, before.End, f.Start, f.End)
		}
		if f.Events != before.Events+added.Events || len(f.Visits) != len(before.Visits)+len(added.Visits) {
			t.Fatalf("%d events, %d visits", f.Events, len(f.Visits))
		}
		entered := func(f *Facts) (at []event.Micros) {
			for _, v := range f.Visits {
				at = append(at, v.Entered)
			}
			return at
		}
		want := append(entered(before), entered(added)...)
		slices.Sort(want)
		if got := entered(f); !slices.Equal(want, got) {
			t.Fatalf("visits began at %v, want %v", got, want)
		}
		utc := Property{}
		sums := Add(before.Contributions(utc), added.Contributions(utc))
		got := f.Contributions(utc)
		for _, table := range []Table{FloorHeatmapDaily, EventsHourly, InteractionsDaily} {
			one, both := totals(sums, table), totals(got, table)
			if !slices.Equal(one, both) {
				t.Fatalf("%s adds up to %v, want %v", table, both, one)
			}
		}
	})
}

func totals(c Contributions, table Table) []int64 {
	sums := make([]int64, len(table.Columns().Sums))
	for _, r := range c {
		for i := range r.Sums {
			if r.Table == table {
				sums[i] += r.Sums[i]
			}
		}
	}
	return sums
}

func TestAbsorb_IntoNothing(t *testing.T) {
	t.Parallel()
	s := Of(nil, []Report{{ReceivedAt: 1, PropertyID: "loft"}})
	later := newTour().at(0, event.ZoneEnter, in("hall")).at(5000, event.ZoneExit, in("hall")).state()
	s.Absorb(later)
	f := s.Facts()
	equal(t, "visits", "hall/0 0-5000 5000 exit", visitLines(f))
	if f.PropertyID != "loft" || f.DurationMS != 5000 {
		t.Errorf("property %q, %d ms", f.PropertyID, f.DurationMS)
	}
}
