package facts_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// Names that are too long for an index are cut, stay text and stay apart,
// wherever they come from.
func TestOf_LongNamesAreShortened(t *testing.T) {
	t.Parallel()
	long := func(last string) string { return strings.Repeat("é", 2*facts.MaxNameBytes) + last }
	var events []facts.Event
	for i, last := range []string{"a", "b"} {
		at := event.Micros(1_700_000_000_000_000) + event.Micros(i)*10_000_000
		text := &facts.Text{Zone: long(last), Object: long(last), Target: long(last), Action: long(last)}
		for j, kind := range []event.Type{event.ZoneEnter, event.Gaze, event.Interaction, event.ZoneExit} {
			events = append(events, facts.Event{
				OccurredAt: at + event.Micros(j)*2_000_000, ReceivedAt: at, BatchNo: int64(i), Index: int16(j),
				Type: kind, Text: text, DurationMS: 400, Has: event.FieldDuration,
			})
		}
	}
	report := facts.Report{ReceivedAt: 1, CustomerID: long("c"), PropertyID: long("p"), Device: long("d")}
	state := facts.Of(events, []facts.Report{report})
	if _, err := facts.Decode(state.Append(nil)); err != nil {
		t.Fatal(err)
	}
	f := state.Facts()
	if f.Zones != 2 || len(f.Visits) != 2 || len(f.Interactions) != 2 || len(f.Looks) != 2 {
		t.Errorf("%d zones, %d visits, %d interactions, %d looks; want 2 of each", f.Zones, len(f.Visits), len(f.Interactions), len(f.Looks))
	}
	names := []string{f.CustomerID, f.PropertyID, f.Device}
	for _, row := range f.Contributions(facts.Property{}) {
		names = append(names, row.Property, row.Zone, row.Object, row.Kind)
	}
	for _, name := range names {
		if len(name) > facts.MaxNameBytes || !utf8.ValidString(name) {
			t.Errorf("a name of %d bytes, valid %v", len(name), utf8.ValidString(name))
		}
	}
}
