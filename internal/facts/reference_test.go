package facts

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// drawEvents invents a session: an awkward one, with times that lie on the edges
// of the definitions. Events are in order; the index is unique in its batch.
func drawEvents(t *rapid.T) []Event {
	steps := rapid.SampledFrom([]int64{0, 0, 1, 50, 100, 200, 201, 299, 300, 999, 1000, 1001, 59_000, 60_000, 60_001, 700_000})
	kinds := rapid.SampledFrom([]event.Type{
		event.Pose, event.Pose, event.Gaze, event.Gaze, event.Gaze, event.ZoneEnter, event.ZoneEnter, event.ZoneExit, event.ZoneExit,
		event.Fixation, event.Interaction, event.CTA, event.Heartbeat, event.IdleStart, event.IdleEnd, event.SessionEnd, event.Type(77),
	})
	zones := rapid.SampledFrom([]string{"hall", "bath", "floor"})
	at := begin.UnixMicro()
	var events []Event
	for i := range rapid.IntRange(0, 60).Draw(t, "events") {
		at += steps.Draw(t, "step") * 1000
		e := Event{
			OccurredAt: event.Micros(at), ReceivedAt: event.Micros(begin.UnixMicro() + int64(i/7)*5_000_000),
			BatchNo: int64(i / 7), Index: int16(i % 7), Type: kinds.Draw(t, "kind"), Text: new(Text),
		}
		if rapid.IntRange(0, 3).Draw(t, "corrected") == 0 {
			shifted(rapid.SampledFrom([]int64{-62_000, -61_950, 5_400_000}).Draw(t, "shift"))(&e)
		}
		if rapid.Bool().Draw(t, "counted") {
			sequenced(int64(i))(&e)
		}
		switch e.Type {
		case event.Pose:
			if rapid.IntRange(0, 9).Draw(t, "lost") > 0 {
				position(float32(rapid.IntRange(-30, 60).Draw(t, "x")), float32(rapid.IntRange(0, 1).Draw(t, "y")))(&e)
			}
		case event.ZoneEnter, event.ZoneExit:
			in(zones.Draw(t, "zone"))(&e)
			level(rapid.SampledFrom([]int16{0, 0, 0, 1}).Draw(t, "level"))(&e)
		case event.Gaze, event.Fixation:
			target(rapid.SampledFrom([]string{"sea", "oven", ""}).Draw(t, "target"))(&e)
			length(rapid.SampledFrom([]int32{0, 0, 0, 10, 500, 70_000}).Draw(t, "length"))(&e)
			if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
				in(zones.Draw(t, "zone"))(&e)
			}
		case event.Interaction, event.CTA:
			object(rapid.SampledFrom([]string{"door", ""}).Draw(t, "object"))(&e)
			action(rapid.SampledFrom([]string{"open", ""}).Draw(t, "action"))(&e)
		default:
		}
		events = append(events, e)
	}
	return events
}

func drawReports(t *rapid.T) []Report {
	var reports []Report
	for range rapid.IntRange(0, 3).Draw(t, "reports") {
		r := Report{
			ReceivedAt: micros(rapid.Int64Range(0, 3).Draw(t, "report received")), BatchID: event.UUID{rapid.Byte().Draw(t, "report id"), byte(len(reports))},
			PropertyID: rapid.SampledFrom([]string{"", "loft", "villa"}).Draw(t, "property"),
		}
		if rapid.Bool().Draw(t, "ends") {
			r.End = new(micros(rapid.Int64Range(-1000, 1_000_000).Draw(t, "end")))
		}
		if rapid.Bool().Draw(t, "starts") {
			r.Start = new(micros(rapid.Int64Range(-1000, 100_000).Draw(t, "start")))
		}
		reports = append(reports, r)
	}
	return reports
}

// inOrderOfTime returns a sorted copy, made without the package's own sort.
func inOrderOfTime(events []Event) []Event {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b Event) int { return a.key(false).compare(b.key(false)) })
	return sorted
}

// clientMS is the client's time of e.
func clientMS(e *Event) int64 { return int64(e.OccurredAt)/1000 - e.ShiftMS }

// referenceStay is a visit by its definition: from which event to which.
type referenceStay struct {
	from, to int // positions of its enter and of the event that closes it, len(events) for the end
	zone     string
	level    int16
	closed   ClosedBy
}

// referenceStays follows each visit from its enter forward to its end, all by
// itself.
func referenceStays(events []Event) []referenceStay {
	var stays []referenceStay
	taken := make([]bool, len(events)) // enters that belong to a visit already
	for i := range events {
		if events[i].Type != event.ZoneEnter || taken[i] {
			continue
		}
		v := referenceStay{from: i, to: len(events), zone: events[i].Text.Zone, level: events[i].Level, closed: ClosedBySessionEnd}
		next := -1
		for j := i + 1; j < len(events); j++ {
			e := &events[j]
			mine := e.Type == event.ZoneEnter || e.Type == event.ZoneExit
			mine = mine && e.Text.Zone == v.zone && e.Level == v.level
			open := v.closed == ClosedBySessionEnd
			switch {
			case mine && e.Type == event.ZoneExit && open:
				v.to, v.closed = j, ClosedByExit
			case mine && e.Type == event.ZoneEnter:
				left := j
				if !open {
					left = v.to
				} else if next >= 0 {
					left = next
				}
				if clientMS(e)-clientMS(&events[left]) > 1000 {
					if open {
						v.to, v.closed = left, ClosedByNextEnter
					}
					j = len(events)
					break
				}
				taken[j] = true
				v.to, v.closed, next = len(events), ClosedBySessionEnd, -1
			case open && next < 0 && e.Type == event.ZoneEnter && e.Level == v.level:
				next = j
			}
		}
		if v.closed == ClosedBySessionEnd && next >= 0 {
			v.to, v.closed = next, ClosedByNextEnter
		}
		stays = append(stays, v)
	}
	return stays
}

// referenceZone is the zone of the event at position i.
func referenceZone(events []Event, stays []referenceStay, i int) string {
	zone := events[i].text().Zone
	if zone != "" {
		return zone
	}
	for _, v := range stays {
		if v.from < i && i < v.to {
			zone = v.zone
		}
	}
	return zone
}

// TestFacts_AsDefined compares the fold with the definitions, each followed by
// itself over the whole session.
func TestFacts_AsDefined(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := inOrderOfTime(drawEvents(t))
		f := Of(slices.Clone(events), nil).Facts()
		stays := referenceStays(events)
		compareVisits(t, f, events, stays)
		compareLooks(t, f, events, stays)
		compareSums(t, f, events, stays)
	})
}

// idleWithin adds up, millisecond by millisecond of change, what of from..to was
// idle.
func idleWithin(events []Event, from, to int64) int64 {
	var edges []int64
	type pair struct{ from, to int64 }
	var alive, off []pair
	since, isOff := int64(0), false
	for i := range events {
		at, until := clientMS(&events[i]), clientMS(&events[i])
		switch events[i].Type {
		case event.Gaze, event.Fixation:
			until += events[i].length()
		case event.IdleStart:
			if !isOff {
				since, isOff = at, true
			}
		case event.IdleEnd, event.ZoneEnter, event.ZoneExit:
			if isOff {
				off, isOff = append(off, pair{since, at}), false
			}
		default:
		}
		alive = append(alive, pair{at, until})
	}
	if isOff {
		off = append(off, pair{since, 1 << 60})
	}
	slices.SortFunc(alive, func(a, b pair) int { return cmp.Compare(a.from, b.from) })
	for until := int64(0); len(alive) > 0; alive = alive[1:] {
		if until > 0 && alive[0].from-until > 60_000 {
			off = append(off, pair{until, alive[0].from})
		}
		until = max(until, alive[0].to)
	}
	edges = append(edges, from, to)
	for _, o := range off {
		edges = append(edges, min(max(o.from, from), to), min(max(o.to, from), to))
	}
	slices.Sort(edges)
	idle := int64(0)
	for i := 1; i < len(edges); i++ {
		if slices.ContainsFunc(off, func(o pair) bool { return o.from <= edges[i-1] && edges[i] <= o.to }) {
			idle += edges[i] - edges[i-1]
		}
	}
	return idle
}

func compareVisits(t *rapid.T, f *Facts, events []Event, stays []referenceStay) {
	if len(f.Visits) != len(stays) {
		t.Fatalf("%d visits, want %d", len(f.Visits), len(stays))
	}
	for i, v := range stays {
		entered, left := clientMS(&events[v.from]), clientMS(&events[len(events)-1])
		if v.to < len(events) {
			left = clientMS(&events[v.to])
		}
		want := Visit{
			Zone: v.zone, Level: v.level, Entered: calendar(entered, f.ShiftMS), Left: calendar(left, f.ShiftMS),
			DwellMS: left - entered - idleWithin(events, entered, left), ClosedBy: v.closed,
		}
		if f.Visits[i] != want {
			t.Fatalf("visit %d is %+v, want %+v", i, f.Visits[i], want)
		}
	}
	if len(events) == 0 {
		return
	}
	first, last := clientMS(&events[0]), clientMS(&events[len(events)-1])
	if idle := idleWithin(events, first, last); f.IdleMS != idle || f.DurationMS != last-first {
		t.Fatalf("%d of %d ms idle, want %d of %d", f.IdleMS, f.DurationMS, idle, last-first)
	}
}

func compareLooks(t *rapid.T, f *Facts, events []Event, stays []referenceStay) {
	type key struct {
		zone, target string
		quarter      event.Micros
	}
	want := make(map[key]Look)
	add := func(i int, look Look) {
		e := &events[i]
		k := key{referenceZone(events, stays, i), e.Text.Target, e.OccurredAt - e.OccurredAt%900_000_000}
		sum := want[k]
		sum.Looks += look.Looks
		sum.LookMS += look.LookMS
		sum.Fixations += look.Fixations
		sum.FixationMS += look.FixationMS
		want[k] = sum
	}
	var run []int
	closeRun := func() {
		if len(run) > 0 {
			if ms := clientMS(&events[run[len(run)-1]]) - clientMS(&events[run[0]]); ms >= 300 {
				add(run[0], Look{Looks: 1, LookMS: ms})
			}
		}
		run = nil
	}
	for i := range events {
		e := &events[i]
		switch {
		case e.text().Target == "":
		case e.Type == event.Fixation:
			add(i, Look{Fixations: 1, FixationMS: int64(e.DurationMS)})
		case e.DurationMS > 0:
			add(i, Look{Looks: 1, LookMS: int64(e.DurationMS)})
		default:
			if n := len(run); n > 0 && (events[run[n-1]].Text.Target != e.Text.Target || clientMS(e)-clientMS(&events[run[n-1]]) > 200) {
				closeRun()
			}
			run = append(run, i)
		}
	}
	closeRun()
	for _, look := range f.Looks {
		k := key{look.Zone, look.Target, look.Quarter}
		sum := want[k]
		if sum.Looks != look.Looks || sum.LookMS != look.LookMS || sum.Fixations != look.Fixations || sum.FixationMS != look.FixationMS {
			t.Fatalf("looks %+v, want %+v", look, sum)
		}
		delete(want, k)
	}
	if len(want) > 0 {
		t.Fatalf("looks that are missing: %+v", want)
	}
}

func compareSums(t *rapid.T, f *Facts, events []Event, stays []referenceStay) {
	cells, counts, interactions := make(map[Cell]int64), make(map[Count]int64), make(map[Interaction]int64)
	var shifts []int64
	pose := -1
	weigh := func(until int64) {
		if pose >= 0 && events[pose].Has&event.FieldX != 0 {
			e := &events[pose]
			cell := Cell{X: int32((e.X+1000)/25) - 40, Y: int32(e.Y / 25), Quarter: e.OccurredAt - e.OccurredAt%900_000_000}
			cells[cell] += min(1000, until-clientMS(e))
		}
	}
	for i := range events {
		e := &events[i]
		shifts = append(shifts, e.ShiftMS)
		quarter := e.OccurredAt - e.OccurredAt%900_000_000
		counts[Count{Type: e.Type, Quarter: quarter}]++
		switch e.Type {
		case event.Pose:
			weigh(clientMS(e))
			pose = i
		case event.Interaction, event.CTA:
			interactions[Interaction{
				Zone: referenceZone(events, stays, i), Object: e.text().Object, Kind: interactionKind(e), Quarter: quarter,
			}]++
		default:
		}
	}
	for _, c := range f.Cells {
		if got, want := c.MS, cells[Cell{Level: c.Level, X: c.X, Y: c.Y, Quarter: c.Quarter}]; got != want || got == 0 {
			t.Fatalf("%+v, want %d ms", c, want)
		}
		cells[Cell{Level: c.Level, X: c.X, Y: c.Y, Quarter: c.Quarter}] = 0
	}
	for cell, ms := range cells {
		if ms != 0 {
			t.Fatalf("%+v is missing, %d ms", cell, ms)
		}
	}
	for _, c := range f.Counts {
		if want := counts[Count{Type: c.Type, Quarter: c.Quarter}]; c.Events != want {
			t.Fatalf("%+v, want %d", c, want)
		}
	}
	for _, i := range f.Interactions {
		if want := interactions[Interaction{Zone: i.Zone, Object: i.Object, Kind: i.Kind, Quarter: i.Quarter}]; i.Times != want {
			t.Fatalf("%+v, want %d", i, want)
		}
	}
	if len(f.Counts) != len(counts) || len(f.Interactions) != len(interactions) {
		t.Fatalf("%d counts and %d interactions, want %d and %d", len(f.Counts), len(f.Interactions), len(counts), len(interactions))
	}
	if slices.Sort(shifts); len(shifts) > 0 && f.ShiftMS != shifts[(len(shifts)-1)/2] {
		t.Fatalf("the median of %v is %d, not %d", shifts, shifts[(len(shifts)-1)/2], f.ShiftMS)
	}
}

func TestSortEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		want := inOrderOfTime(events)
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 0))
		for range rapid.IntRange(0, len(events)).Draw(t, "swaps") {
			i, j := random.IntN(len(events)), random.IntN(len(events))
			events[i], events[j] = events[j], events[i]
		}
		sortEvents(events, false)
		if !slices.Equal(events, want) {
			t.Fatal("not in order, or not the same events")
		}
	})
}
