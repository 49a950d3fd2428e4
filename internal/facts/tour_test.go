package facts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// begin is when hand-made tours begin.
var begin = time.Date(2026, time.March, 10, 9, 0, 0, 0, time.UTC)

// tour is a session made by hand: events at milliseconds after begin.
type tour struct {
	begin  time.Time
	events []Event
}

func newTour() *tour { return &tour{begin: begin} }

// at adds an event. Without other word it is received at once, in one batch.
func (t *tour) at(ms int64, kind event.Type, with ...func(*Event)) *tour {
	at := event.MicrosOf(t.begin) + event.Micros(ms*1000)
	e := Event{OccurredAt: at, ReceivedAt: at, BatchNo: 1, Index: int16(len(t.events) % 1000), Type: kind, Text: new(Text)}
	for _, change := range with {
		change(&e)
	}
	if *e.Text == noText {
		e.Text = nil
	}
	t.events = append(t.events, e)
	return t
}

// steps adds one event of a kind each step from from to to.
func (t *tour) steps(from, to, step int64, kind event.Type, with ...func(*Event)) *tour {
	for ms := from; ms <= to; ms += step {
		t.at(ms, kind, with...)
	}
	return t
}

func (t *tour) state(reports ...Report) *State { return Of(append([]Event(nil), t.events...), reports) }

func (t *tour) facts(reports ...Report) *Facts { return t.state(reports...).Facts() }

func in(zone string) func(*Event)     { return func(e *Event) { e.Text.Zone = zone } }
func target(name string) func(*Event) { return func(e *Event) { e.Text.Target = name } }
func object(name string) func(*Event) { return func(e *Event) { e.Text.Object = name } }
func action(name string) func(*Event) { return func(e *Event) { e.Text.Action = name } }
func received(ms int64) func(*Event) {
	return func(e *Event) { e.ReceivedAt += event.Micros(ms * 1000) }
}
func batch(n int64) func(*Event) { return func(e *Event) { e.BatchNo = n } }
func length(ms int32) func(*Event) {
	return func(e *Event) { e.DurationMS, e.Has = ms, e.Has|event.FieldDuration }
}

func level(n int16) func(*Event) {
	return func(e *Event) { e.Level, e.Has = n, e.Has|event.FieldLevel }
}

func sequenced(n int64) func(*Event) {
	return func(e *Event) { e.Seq, e.Has = n, e.Has|event.FieldSeq }
}

func facing(degrees float32) func(*Event) {
	return func(e *Event) { e.Yaw, e.Has = degrees, e.Has|event.FieldYaw }
}

func position(x, y float32) func(*Event) {
	return func(e *Event) { e.X, e.Y, e.Has = x, y, e.Has|event.FieldX|event.FieldY }
}

// shifted keeps the client's time and moves the corrected one.
func shifted(ms int64) func(*Event) {
	return func(e *Event) {
		e.OccurredAt += event.Micros(ms * 1000)
		e.ShiftMS = ms
	}
}

// ms returns a time as milliseconds after begin.
func ms(at event.Micros) int64 { return (int64(at) - begin.UnixMicro()) / 1000 }

// visitLines prints visits one a line: zone/level entered-left dwell end.
func visitLines(f *Facts) string {
	var lines []string
	for _, v := range f.Visits {
		lines = append(lines, fmt.Sprintf("%s/%d %d-%d %d %s", v.Zone, v.Level, ms(v.Entered), ms(v.Left), v.DwellMS, v.ClosedBy))
	}
	return strings.Join(lines, "\n")
}

// lookLines prints looks one a line: zone>target count length, fixations and
// the time to the first look where there are any.
func lookLines(f *Facts) string {
	var lines []string
	for _, l := range f.Looks {
		line := fmt.Sprintf("%s>%s %d %d", l.Zone, l.Target, l.Looks, l.LookMS)
		if l.Fixations > 0 {
			line += fmt.Sprintf(" fix %d %d", l.Fixations, l.FixationMS)
		}
		if l.First {
			line += fmt.Sprintf(" first %d", l.FirstLookMS)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// cellLines prints cells one a line: level x,y milliseconds.
func cellLines(f *Facts) string {
	var lines []string
	for _, c := range f.Cells {
		lines = append(lines, fmt.Sprintf("%d %d,%d %d", c.Level, c.X, c.Y, c.MS))
	}
	return strings.Join(lines, "\n")
}

// rowLines prints the rows of one table one a line: its key, refs and sums.
func rowLines(c Contributions, table Table) string {
	var lines []string
	for _, r := range c {
		if r.Table != table {
			continue
		}
		var key []string
		for _, column := range table.Columns().Key {
			switch column {
			case KeyDay:
				key = append(key, time.Unix(int64(r.Day)*86400, 0).UTC().Format("2006-01-02"))
			case KeyHour:
				key = append(key, time.Unix(r.Hour, 0).UTC().Format("2006-01-02T15:04Z"))
			case KeyZone:
				key = append(key, "zone="+r.Zone)
			case KeyObject:
				key = append(key, "object="+r.Object)
			case KeyKind:
				key = append(key, "kind="+r.Kind)
			case KeyLevel:
				key = append(key, fmt.Sprint("level=", r.Level))
			case KeyX:
				key = append(key, fmt.Sprint("x=", r.X))
			case KeyY:
				key = append(key, fmt.Sprint("y=", r.Y))
			case KeyType:
				key = append(key, r.Type.String())
			case KeyProperty:
				if r.Property != "" {
					key = append(key, "property="+r.Property)
				}
			}
		}
		lines = append(lines, fmt.Sprint(strings.Join(key, " "), " refs=", r.Refs, " ", r.Sums))
	}
	return strings.Join(lines, "\n")
}

// equal fails the test when two texts of lines differ. Leading tabs in want do
// not count.
func equal(t *testing.T, what, want, got string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(want)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	if diff := cmp.Diff(lines, strings.Split(got, "\n")); diff != "" && (want != "" || got != "") {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
