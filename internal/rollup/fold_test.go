package rollup

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// began is when sessions begin.
var began = time.Date(2026, time.March, 10, 9, 0, 0, 0, time.UTC)

// at is the time ms milliseconds later.
func at(ms int64) event.Micros { return event.MicrosOf(began) + event.Micros(ms*1000) }

// pose is one at ms, received in a batch at once.
func pose(ms, batch int64) facts.Event {
	return facts.Event{
		OccurredAt: at(ms), ReceivedAt: at(ms), BatchNo: batch, Type: event.Pose,
		X: float32(ms), Has: event.FieldX | event.FieldY,
	}
}

func never(int64) bool { return false }

// drawTour draws a session's batches: events in order of time, numbered, in
// batches of some.
func drawTour(t *rapid.T) []modelBatch {
	steps := rapid.SampledFrom([]int64{0, 50, 100, 300, 1000, 60_001})
	kinds := rapid.SampledFrom([]event.Type{event.Pose, event.Pose, event.ZoneEnter, event.ZoneExit, event.Gaze, event.CTA, event.IdleStart})
	ms := int64(0)
	batches := make([]modelBatch, rapid.IntRange(1, 8).Draw(t, "batches"))
	for number := range batches {
		b := &batches[number]
		for i := range rapid.IntRange(0, 6).Draw(t, "events") {
			ms += steps.Draw(t, "step")
			e := pose(ms, int64(number+1))
			e.Type, e.Index = kinds.Draw(t, "kind"), int16(i)
			e.Text = &facts.Text{Zone: rapid.SampledFrom([]string{"hall", "bath"}).Draw(t, "zone"), Target: "sea"}
			b.events = append(b.events, e)
		}
		if rapid.IntRange(0, 2).Draw(t, "reports") == 0 {
			b.reports = []facts.Report{{
				ReceivedAt: at(ms), BatchID: event.UUID{byte(number)},
				CustomerID: "ada", PropertyID: rapid.SampledFrom([]string{"loft", "villa"}).Draw(t, "property"),
			}}
		}
	}
	return batches
}

// Whatever the order in which batches come, however they are divided among
// roll-ups and whichever of those crash, the end is what folding everything at
// once gives, and the aggregates are what that contributes.
//
// rule 4
func TestFold_AnyDeliveryEndsInTheFactsOfAllRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		now := began.Add(time.Minute)
		store := newModelStore(func() time.Time { return now })
		f := &folding{interval: 2 * time.Second, refused: never}
		roll := func() {
			switch rapid.IntRange(0, 5).Draw(t, "crash") {
			case 0: // before COMMIT
				store.fault = func(string, []int64) *fault { return &fault{err: errBroken} }
			case 1: // after it
				store.fault = func(string, []int64) *fault { return &fault{err: errBroken, done: true} }
			default:
				store.fault = nil
			}
			if _, err := store.RollSessions(ctx, 0, 1, f.fold); err != nil && !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
		}
		tour := drawTour(t)
		order := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
			for i := range tour {
				if !yield(i) {
					return
				}
			}
		})).Draw(t, "order")
		for _, number := range order {
			tour[number].receivedAt = now
			store.load(1, int64(number+1), tour[number])
			if rapid.IntRange(0, 9).Draw(t, "property changes") == 0 {
				store.setProperty("loft", facts.Property{Zone: time.FixedZone("", rapid.IntRange(-12, 12).Draw(t, "zone")*3600)})
			}
			for range rapid.IntRange(0, 2).Draw(t, "roll-ups") {
				roll()
				now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 2, 10, 3600}).Draw(t, "passes")) * time.Second)
			}
		}
		for range 100 {
			if store.touched() == 0 {
				break
			}
			now = now.Add(recomputeLimit)
			roll()
		}
		assertExact(t, store, 1, tour)
	})
}

// Sessions that are folded anew are read one after the other: two of them can be
// more than there is memory.
//
// rule 9
func TestFold_ReadsOneSessionAtATime(t *testing.T) {
	t.Parallel()
	claims := make([]*facts.Claim, 3)
	for i := range claims {
		claims[i] = &facts.Claim{SessionNo: int64(i + 1), Now: at(0)} // not new, and without a state
	}
	f := &folding{interval: 2 * time.Second, refused: never}
	reads := 0
	err := f.fold(claims, func(whole []*facts.Claim) error {
		reads++
		for _, c := range claims {
			if len(c.Events) > 0 {
				t.Errorf("session %d is still in memory", c.SessionNo)
			}
		}
		for _, c := range whole {
			c.Events, c.Whole = []facts.Event{pose(0, c.SessionNo)}, true
		}
		return nil
	})
	if err != nil || reads != len(claims) {
		t.Errorf("%d reads for %d sessions, %v", reads, len(claims), err)
	}
}

// assertExact fails unless a session is stored as folding all its batches at
// once gives, and the aggregates are its contributions.
func assertExact(t rapid.TB, store *modelStore, session int64, tour []modelBatch) {
	t.Helper()
	if n := store.touched(); n > 0 || len(store.violations) > 0 {
		t.Fatalf("%d touches left, violations %v", n, store.violations)
	}
	var events []facts.Event
	var reports []facts.Report
	for _, b := range tour {
		events, reports = append(events, b.events...), append(reports, b.reports...)
	}
	want := facts.Of(events, reports)
	m := store.sessions[session]
	if !bytes.Equal(m.state, want.Append(nil)) {
		stored, err := facts.Decode(m.state)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		t.Fatalf("other facts (-want +got):\n%s", cmp.Diff(want.Facts(), stored.Facts()))
	}
	contributes := want.Facts().Contributions(store.properties[want.Facts().PropertyID])
	if diff := cmp.Diff(contributes, store.aggregates); diff != "" {
		t.Fatalf("aggregates (-want +got):\n%s", diff)
	}
}

// claimOf is a claim of a session that folded what before says and got events.
func claimOf(before, events []facts.Event, change func(*facts.Claim)) *facts.Claim {
	c := &facts.Claim{SessionNo: 7, Now: at(60_000), Events: events}
	if before != nil {
		c.State = facts.Of(slices.Clone(before), nil)
		c.Contributed = c.State.Facts().Contributions(facts.Property{})
	}
	if change != nil {
		change(c)
	}
	return c
}

func TestFold_Decides(t *testing.T) {
	t.Parallel()
	second := microsOf(time.Second)
	early, late := []facts.Event{pose(1000, 1)}, []facts.Event{pose(2000, 2)}
	muchLater := []facts.Event{pose(500, 3)}
	muchLater[0].ReceivedAt = at(2000) + microsOf(quietAfter)
	reopened := []facts.Event{pose(2000+quietAfter.Milliseconds(), 3)}
	for _, test := range []struct {
		name  string
		claim *facts.Claim
		want  outcome
		// What is stored then; times are after Now, 0 for unchanged.
		due, recomputeAt event.Micros
		recomputes       int
	}{
		{"new", claimOf(nil, late, func(c *facts.Claim) { c.New = true }), outcomeFirst, 2 * second, 0, 0},
		{"new without rows", claimOf(nil, nil, func(c *facts.Claim) { c.New = true }), outcomeFirst, 2 * second, 0, 0},
		{"in order", claimOf(early, late, func(c *facts.Claim) { c.Recomputes = 3 }), outcomeExtended, 2 * second, 0, 3},
		{"nothing new", claimOf(early, nil, func(c *facts.Claim) { c.Recomputes = 3 }), outcomeRevised, 2 * second, 0, 3},
		{"in order after silence", claimOf(late, reopened, func(c *facts.Claim) { c.Recomputes = 3 }), outcomeExtended, 2 * second, 0, 0},
		{"out of order", claimOf(late, early, nil), outcomeRecomputed, 2 * second, 2 * second, 1},
		{"out of order again", claimOf(late, early, func(c *facts.Claim) { c.Recomputes = 3 }), outcomeRecomputed, 2 * second, 16 * second, 4},
		{"out of order for ever", claimOf(late, early, func(c *facts.Claim) { c.Recomputes = math.MaxInt32 - 1 }), outcomeRecomputed, 2 * second, 300 * second, math.MaxInt32},
		{"out of order too soon", claimOf(late, early, func(c *facts.Claim) { c.RecomputeAt = c.Now + 5*second }), outcomePostponed, 5 * second, 0, 0},
		{"out of order at the time", claimOf(late, early, func(c *facts.Claim) { c.RecomputeAt = c.Now }), outcomeRecomputed, 2 * second, 2 * second, 1},
		{
			"out of order after silence",
			claimOf(late, muchLater, func(c *facts.Claim) { c.Recomputes, c.RecomputeAt = 9, c.Now+5*second }),
			outcomeRecomputed, 2 * second, 2 * second, 1,
		},
		{
			"out of order too soon, to be sealed",
			claimOf(late, early, func(c *facts.Claim) { c.RecomputeAt, c.Seal = c.Now+5*second, true }),
			outcomeRecomputed, 2 * second, 2 * second, 1,
		},
		{"unreadable state", claimOf(nil, late, nil), outcomeRecomputed, 2 * second, 2 * second, 1},
		{"sealed", claimOf(early, late, func(c *facts.Claim) { c.Sealed = true }), outcomeAbsorbed, 2 * second, 0, 0},
		{"sealed, out of order", claimOf(late, early, func(c *facts.Claim) { c.Sealed = true }), outcomeAbsorbed, 2 * second, 0, 0},
		{"sealed, nothing new", claimOf(early, nil, func(c *facts.Claim) { c.Sealed = true }), outcomeRevised, 2 * second, 0, 0},
		{"sealed, unreadable state", claimOf(nil, late, func(c *facts.Claim) { c.Sealed = true }), outcomePostponed, microsOf(refusedPause), 0, 0},
		{"refused", claimOf(early, late, func(c *facts.Claim) { c.SessionNo = 13 }), outcomePostponed, microsOf(refusedPause), 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &folding{interval: 2 * time.Second, refused: func(session int64) bool { return session == 13 }}
			c := test.claim
			now, before, sealed := c.Now, c.RecomputeAt, 0
			if c.Seal {
				sealed = 1
			}
			err := f.fold([]*facts.Claim{c}, func(claims []*facts.Claim) error {
				for _, c := range claims {
					c.Events, c.Whole = []facts.Event{pose(2000, 2), pose(1000, 1)}, true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want := [outcomes]int{}
			want[test.want]++
			if f.counts != want || f.seals != sealed || !slices.Equal(f.sessions, []int64{c.SessionNo}) {
				t.Errorf("outcomes %v, %d seals of %v, want %s", f.counts, f.seals, f.sessions, test.want)
			}
			if test.recomputeAt != 0 {
				before = now + test.recomputeAt
			}
			r := c.Result
			if r.Due != now+test.due || r.Postponed != (test.want == outcomePostponed) {
				t.Errorf("due after %d µs, postponed %v, want %d", r.Due-now, r.Postponed, test.due)
			}
			if r.Postponed {
				return
			}
			if r.Recomputes != test.recomputes || r.RecomputeAt != before {
				t.Errorf("%d recomputes, the next at %d, want %d and %d", r.Recomputes, r.RecomputeAt-now, test.recomputes, before-now)
			}
			if diff := cmp.Diff(r.State.Facts(), r.Facts); diff != "" {
				t.Errorf("facts are not those of the state (-state +facts):\n%s", diff)
			}
			if diff := cmp.Diff(r.Facts.Contributions(facts.Property{}), r.Contributed); diff != "" {
				t.Errorf("contributions are not those of the facts:\n%s", diff)
			}
		})
	}
}

// A session at the limit of its events is read again for a few of them only
// when they have waited long, or it is to be sealed.
//
// rule 9
func TestFold_FullSessionWaits(t *testing.T) {
	t.Parallel()
	events := make([]facts.Event, facts.MaxEvents)
	for i := range events {
		events[i] = pose(1000+int64(i)/10, 1)
		events[i].Index = int16(i % 10)
	}
	full := facts.Of(events, nil)
	early := pose(500, 2)
	early.ReceivedAt = at(60_000)
	for _, test := range []struct {
		waited time.Duration
		seal   bool
		want   outcome
	}{
		{time.Second, false, outcomePostponed},
		{quietAfter, false, outcomeRecomputed},
		{time.Second, true, outcomeRecomputed},
	} {
		c := &facts.Claim{State: full, Events: []facts.Event{early}, Now: early.ReceivedAt + microsOf(test.waited), Seal: test.seal}
		f := &folding{interval: 2 * time.Second, refused: never}
		if got, err := f.decide(c); got != test.want || err != nil {
			t.Errorf("after %s, seal %v: %s, %v, want %s", test.waited, test.seal, got, err, test.want)
		}
		if due := early.ReceivedAt + microsOf(quietAfter); c.Result.Postponed && c.Result.Due != due {
			t.Errorf("due at %d, want %d", c.Result.Due, due)
		}
	}
}

// What is more than can be folded is counted, wherever it is read.
func TestFold_CountsUnread(t *testing.T) {
	t.Parallel()
	unread := func(c *facts.Claim) { c.Unread, c.UnreadFrom, c.UnreadUntil = 5, at(90_000), at(90_000) }
	for name, c := range map[string]*facts.Claim{
		"extended": claimOf([]facts.Event{pose(1, 1)}, []facts.Event{pose(2, 2)}, unread),
		"new": claimOf(nil, []facts.Event{pose(2, 2)}, func(c *facts.Claim) {
			unread(c)
			c.New = true
		}),
		"recomputed": claimOf([]facts.Event{pose(2, 2)}, []facts.Event{pose(1, 1)}, nil),
		"absorbed": claimOf([]facts.Event{pose(1, 1)}, nil, func(c *facts.Claim) {
			unread(c)
			c.Sealed = true
		}),
	} {
		f := &folding{interval: time.Second, refused: never}
		err := f.fold([]*facts.Claim{c}, func(claims []*facts.Claim) error {
			unread(claims[0])
			claims[0].Whole = true
			return nil
		})
		if got := c.Result.Facts; err != nil || got.OverLimit != 5 || got.LastReceived != at(90_000) {
			t.Errorf("%s: %d over the limit, last received %d, %v", name, got.OverLimit, got.LastReceived, err)
		}
	}
}

// The path goes with the raw poses, and only then.
//
// rule 8
func TestFold_ForgetsThePath(t *testing.T) {
	t.Parallel()
	for _, forget := range []bool{false, true} {
		for name, c := range map[string]*facts.Claim{
			"as it was":  claimOf([]facts.Event{pose(1, 1), pose(5000, 1)}, nil, nil),
			"recomputed": claimOf([]facts.Event{pose(5000, 1)}, []facts.Event{pose(1, 2)}, nil),
			"sealed":     claimOf([]facts.Event{pose(1, 1), pose(5000, 1)}, nil, func(c *facts.Claim) { c.Sealed = true }),
		} {
			c.Seal, c.ForgetPath = true, forget
			f := &folding{interval: time.Second, refused: never}
			err := f.fold([]*facts.Claim{c}, func(claims []*facts.Claim) error {
				claims[0].Events, claims[0].Whole = []facts.Event{pose(1, 2), pose(5000, 1)}, true
				return nil
			})
			if path := c.Result.Facts.Path; err != nil || (len(path) == 0) != forget {
				t.Errorf("%s, forget %v: a path of %d points, %v", name, forget, len(path), err)
			}
		}
	}
}

// A reader that fails, or that reads less than it was asked for, stores nothing.
func TestFold_WholeFails(t *testing.T) {
	t.Parallel()
	disorder := func() []*facts.Claim {
		return []*facts.Claim{claimOf([]facts.Event{pose(2, 2)}, []facts.Event{pose(1, 1)}, nil)}
	}
	f := &folding{interval: time.Second, refused: never}
	if err := f.fold(disorder(), func([]*facts.Claim) error { return errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want the reader's", err)
	}
	if err := f.fold(disorder(), func([]*facts.Claim) error { return nil }); err == nil {
		t.Error("a part of a session was taken for all of it")
	}
}

// However long events come out of order, reading them again costs about as
// much as the session has in the end.
func TestFold_DisorderStaysCheap(t *testing.T) {
	t.Parallel()
	now := began
	store := newModelStore(func() time.Time { return now })
	f := &folding{interval: 2 * time.Second, refused: never}
	const batches = 900 // of half an hour
	for i := range int64(batches) {
		late := i*2000 - 3000*(i%2) // every other one belongs before its neighbour
		store.load(1, i+1, modelBatch{receivedAt: now, events: []facts.Event{pose(late, i+1)}})
		now = now.Add(2 * time.Second)
		if _, err := store.RollSessions(t.Context(), 0, 1, f.fold); err != nil {
			t.Fatal(err)
		}
	}
	if read := store.sessions[1].read; read > 12*batches {
		t.Errorf("%d events were read for a session of %d", read, batches)
	}
}
