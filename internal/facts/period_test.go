package facts

import (
	"errors"
	"math"
	"testing"

	"github.com/nexero-vr/nexero/internal/event"
)

func micros(ms int64) event.Micros { return event.MicrosOf(begin) + event.Micros(ms*1000) }

func TestPeriod(t *testing.T) {
	t.Parallel()
	type want struct {
		Start, End, Duration, Active int64
		Ended                        bool
	}
	beats := func() *tour { return newTour().steps(1000, 11_000, 1000, event.Heartbeat) }
	for name, c := range map[string]struct {
		tour    *tour
		reports []Report
		want    want
	}{
		"first and last event":  {beats(), nil, want{1000, 11_000, 10_000, 10_000, false}},
		"an event ends it":      {beats().at(12_000, event.SessionEnd), nil, want{1000, 12_000, 11_000, 11_000, true}},
		"declared times win":    {beats(), []Report{{Start: new(micros(0)), End: new(micros(13_000))}}, want{0, 13_000, 13_000, 13_000, true}},
		"only the start":        {beats(), []Report{{Start: new(micros(-500))}}, want{-500, 11_000, 11_500, 11_500, false}},
		"a report without time": {beats(), []Report{{Device: "headset"}}, want{1000, 11_000, 10_000, 10_000, false}},
		"end in the future": {
			beats(),
			[]Report{{End: new(micros(311_000))}},
			want{1000, 311_000, 310_000, 10_000, true},
		},
		"end before the start": {
			beats(),
			[]Report{{Start: new(micros(5000)), End: new(micros(4000))}},
			want{5000, 4000, 0, 0, true},
		},
		"longer than a session can be": {
			beats(),
			[]Report{{End: new(micros(1000 + 100*86_400_000))}},
			want{1000, 1000 + 100*86_400_000, 86_400_000, 10_000, true},
		},
		"reports alone": {
			newTour(),
			[]Report{{Start: new(micros(0)), End: new(micros(300_000))}},
			want{0, 300_000, 300_000, 300_000, true},
		},
		"an end alone":     {newTour(), []Report{{End: new(micros(9000))}}, want{9000, 9000, 0, 0, true}},
		"nothing but word": {newTour(), []Report{{ReceivedAt: micros(70), Device: "headset"}}, want{70, 70, 0, 0, false}},
		"silence is idle":  {newTour().at(0, event.Heartbeat).at(70_000, event.Heartbeat), nil, want{0, 70_000, 70_000, 0, false}},
		"headset off till the end": {
			newTour().at(0, event.Heartbeat).at(4000, event.IdleStart).at(9000, event.Heartbeat),
			nil,
			want{0, 9000, 9000, 4000, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := c.tour.facts(c.reports...)
			same(t, c.want, want{ms(f.Start), ms(f.End), f.DurationMS, f.ActiveMS, f.Ended})
			if f.IdleMS+f.ActiveMS != f.DurationMS {
				t.Errorf("%d idle and %d active do not make %d", f.IdleMS, f.ActiveMS, f.DurationMS)
			}
		})
	}
}

func TestVisits_SessionEndIsTheDeclaredOne(t *testing.T) {
	t.Parallel()
	tour := newTour().at(0, event.ZoneEnter, in("hall")).at(9500, event.Heartbeat)
	equal(t, "declared within the last second", "hall/0 0-9000 9000 session_end",
		visitLines(tour.facts(Report{End: new(micros(9000))})))
	equal(t, "declared much later", "hall/0 0-209500 9500 session_end",
		visitLines(tour.facts(Report{End: new(micros(209_500))})))
	equal(t, "declared before the visit", "hall/0 0-0 0 session_end",
		visitLines(tour.facts(Report{End: new(micros(-5000))})))
}

func TestReports_LatestReceivedWinsPerField(t *testing.T) {
	t.Parallel()
	reports := []Report{
		{ReceivedAt: 10, BatchID: event.UUID{9}, CustomerID: "anna", PropertyID: "loft", Start: new(micros(0))},
		{ReceivedAt: 20, BatchID: event.UUID{1}, PropertyID: "villa"},
		{ReceivedAt: 20, BatchID: event.UUID{2}, PropertyID: "tower", Device: "headset"},
		{ReceivedAt: 5, BatchID: event.UUID{9}, PropertyID: "barn", Device: "phone", End: new(micros(5))},
	}
	for first := range reports {
		turned := append(append([]Report(nil), reports[first:]...), reports[:first]...)
		f := Of(nil, turned).Facts()
		if f.CustomerID != "anna" || f.PropertyID != "tower" || f.Device != "headset" || ms(f.Start) != 0 || ms(f.End) != 5 {
			t.Errorf("from report %d on: %+v", first, f)
		}
	}
}

func TestCompleteness(t *testing.T) {
	t.Parallel()
	tour := newTour().at(0, event.Heartbeat, sequenced(7)).at(1, event.Heartbeat).at(2, event.Heartbeat, sequenced(10))
	f := tour.facts()
	if f.SeqReceived != 2 || f.SeqExpected != 4 {
		t.Errorf("%d of %d, want 2 of 4", f.SeqReceived, f.SeqExpected)
	}
	f = tour.at(3, event.Heartbeat, sequenced(math.MaxInt64)).at(4, event.Heartbeat, sequenced(math.MinInt64+1)).facts()
	if f.SeqExpected != math.MaxInt64 {
		t.Errorf("expected %d, want the largest integer", f.SeqExpected)
	}
	if f = newTour().at(0, event.Heartbeat).facts(); f.SeqReceived != 0 || f.SeqExpected != 0 {
		t.Errorf("without a counter %d of %d", f.SeqReceived, f.SeqExpected)
	}
}

func TestClock_OneCorrectionPlacesTheSession(t *testing.T) {
	t.Parallel()
	// A clock two hours ahead; each batch was moved back by a little more or less.
	back := func(jitter int64) func(*Event) { return shifted(-7_200_000 - jitter) }
	f := newTour().
		at(7_200_000, event.ZoneEnter, in("hall"), back(40)).at(7_201_000, event.Heartbeat, back(40)).
		at(7_205_000, event.ZoneExit, in("hall"), back(10)).at(7_206_000, event.ZoneEnter, in("bath"), back(25)).
		at(7_207_000, event.ZoneExit, in("bath"), back(25)).facts()
	if f.ShiftMS != -7_200_025 || ms(f.First) != -25 || ms(f.Last) != 6975 {
		t.Errorf("shift %d, events %d to %d; want the median -7200025, -25 to 6975", f.ShiftMS, ms(f.First), ms(f.Last))
	}
	equal(t, "visits", `hall/0 -25-4975 5000 exit
		bath/0 5975-6975 1000 exit`, visitLines(f))
}

func TestClock_SomeBatchesMovedSomeNot(t *testing.T) {
	t.Parallel()
	// A clock 62 s ahead: batches that took longer were believed. In corrected
	// time the exit would come before the enter.
	f := newTour().at(0, event.ZoneEnter, in("hall")).at(5000, event.ZoneExit, in("hall"), shifted(-62_000)).facts()
	equal(t, "visits", "hall/0 -62000--57000 5000 exit", visitLines(f))
}

func TestClock_SetDuringTheSession(t *testing.T) {
	t.Parallel()
	// The headset thinks it is 1970 until it finds a network.
	dead := begin.UnixMilli()
	tour := newTour().at(-dead, event.ZoneEnter, in("hall"), shifted(dead)).at(-dead+4000, event.Heartbeat, shifted(dead+10)).
		at(9000, event.ZoneExit, in("hall"))
	f := tour.facts()
	if !f.ClockStepped || f.OverLimit != 0 || f.ShiftMS != 0 {
		t.Errorf("stepped %v, %d over the limit, shift %d; want a step, all folded, no shift", f.ClockStepped, f.OverLimit, f.ShiftMS)
	}
	equal(t, "visits", "hall/0 0-9000 9000 exit", visitLines(f))

	s := Of(tour.events[:2:2], nil)
	if err := s.Extend(tour.events[2:], nil); !errors.Is(err, ErrRecompute) {
		t.Errorf("the step came later: %v, want ErrRecompute", err)
	}
}

func TestLimits_Span(t *testing.T) { // rule 9
	t.Parallel()
	const day = 86_400_000
	tour := newTour().at(0, event.ZoneEnter, in("hall")).at(day, event.ZoneExit, in("hall")).
		at(day+1, event.ZoneEnter, in("bath")).at(30*day, event.Pose, position(0, 0))
	s := tour.state()
	f := s.Facts()
	if f.Events != 2 || f.OverLimit != 2 || ms(f.Last) != day {
		t.Errorf("%d events up to %d, %d over the limit; want 2 up to %d, 2 over", f.Events, ms(f.Last), f.OverLimit, day)
	}
	equal(t, "visits", "hall/0 0-86400000 0 exit", visitLines(f))
	// What is over the limit is so in any order, and need not be in order.
	if err := s.Extend([]Event{{OccurredAt: micros(day + 50), Type: event.Pose}}, nil); err != nil || s.Facts().OverLimit != 3 {
		t.Errorf("%v, %d over the limit", err, s.Facts().OverLimit)
	}
	// An earlier first event would push the exit out of the session.
	early := Event{OccurredAt: micros(-1), Type: event.Heartbeat}
	if err := s.Extend([]Event{early}, nil); !errors.Is(err, ErrRecompute) {
		t.Errorf("an earlier first event: %v, want ErrRecompute", err)
	}
	s.Skip(100, micros(31*day), micros(31*day))
	if f = s.Facts(); f.OverLimit != 103 || f.LastReceived != micros(31*day) {
		t.Errorf("%d over the limit, last received %d", f.OverLimit, ms(f.LastReceived))
	}
}

func TestLimits_Events(t *testing.T) { // rule 9
	t.Parallel()
	events := make([]Event, MaxEvents+10)
	for i := range events {
		events[i] = Event{
			OccurredAt: micros(int64(i) * 100), Type: event.Pose, Has: event.FieldX | event.FieldY,
			BatchNo: int64(i / 1000), Index: int16(i % 1000),
		}
	}
	whole := Of(events, nil)
	f := whole.Facts()
	if f.Events != MaxEvents || f.OverLimit != 10 || !whole.Full() {
		t.Errorf("%d events, %d over the limit", f.Events, f.OverLimit)
	}
	halves := Of(events[:MaxEvents/2:MaxEvents/2], nil)
	if err := halves.Extend(events[MaxEvents/2:], nil); err != nil {
		t.Fatal(err)
	}
	if string(whole.Append(nil)) != string(halves.Append(nil)) {
		t.Error("in two halves the session's state is another")
	}
	if err := whole.Extend([]Event{{OccurredAt: micros(7), Type: event.Heartbeat}}, nil); !errors.Is(err, ErrRecompute) {
		t.Errorf("an event that pushes another one out: %v, want ErrRecompute", err)
	}
	if got := len(whole.Append(nil)); got > 16<<10 {
		t.Errorf("the state of a long session on one spot takes %d bytes", got)
	}
}

func TestLimits_Names(t *testing.T) { // rule 9
	t.Parallel()
	tour := newTour()
	name := func(i int64) string { return string([]rune{'a' + rune(i), 'b'}) }
	for i := range int64(MaxNames + 5) {
		tour.at(i*10, event.Gaze, target(name(i)), length(5))
	}
	s := tour.state()
	var others int64
	for _, look := range s.Facts().Looks {
		if look.Target == OtherName {
			others += look.Looks
		}
	}
	if others != 5 || len(s.names.texts) != MaxNames+2 {
		t.Errorf("%d looks at other things, %d names; want 5 and %d", others, len(s.names.texts), MaxNames+2)
	}
	late := func(target string) error {
		return s.Extend([]Event{{OccurredAt: micros(5), Type: event.Gaze, Has: event.FieldDuration, DurationMS: 9, Text: &Text{Target: target}}}, nil)
	}
	if err := late("new"); !errors.Is(err, ErrRecompute) {
		t.Errorf("a new name before the known ones: %v, want ErrRecompute", err)
	}
	if err := late(name(MaxNames - 1)); err != nil {
		t.Errorf("a known name before the known ones: %v", err)
	}
}

func TestExtend_LateEvents(t *testing.T) {
	t.Parallel()
	start := func() *State {
		return newTour().at(0, event.ZoneEnter, in("hall")).at(5000, event.Pose).at(9000, event.Pose).state()
	}
	late := func(kind event.Type, with ...func(*Event)) []Event { return newTour().at(4000, kind, with...).events }
	for name, c := range map[string]struct {
		events []Event
		want   error
	}{
		"a look":          {late(event.Gaze, target("sea"), length(6000)), nil},
		"an interaction":  {late(event.Interaction, object("door")), nil},
		"a session's end": {late(event.SessionEnd), nil},
		"a pose":          {late(event.Pose), ErrRecompute},
		"a gaze sample":   {late(event.Gaze, target("sea")), ErrRecompute},
		"an enter":        {late(event.ZoneEnter, in("bath")), ErrRecompute},
		"an exit":         {late(event.ZoneExit, in("hall")), ErrRecompute},
		"headset off":     {late(event.IdleStart), ErrRecompute},
		"headset on":      {late(event.IdleEnd), ErrRecompute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start()
			before := string(s.Append(nil))
			if err := s.Extend(c.events, []Report{{Device: "headset"}}); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if changed := string(s.Append(nil)) != before; changed != (c.want == nil) {
				t.Errorf("changed: %v", changed)
			}
		})
	}
}
