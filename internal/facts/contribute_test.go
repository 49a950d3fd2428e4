package facts

import (
	"reflect"
	"testing"
	"time"
	_ "time/tzdata" // the tests know their time zones wherever they run

	"github.com/nexero-vr/nexero/internal/event"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestContributions(t *testing.T) { // rule 4
	t.Parallel()
	c := newTour().
		at(0, event.ZoneEnter, in("hall")).at(0, event.Pose, position(0, 0)).at(400, event.Pose, position(30, 0)).
		at(500, event.Gaze, target("sea"), length(2000)).at(600, event.Gaze, target("sea"), length(1000)).
		at(700, event.ZoneExit, in("hall")).at(700, event.ZoneEnter, in("bath")).
		at(800, event.Interaction, object("tap"), action("open")).at(900, event.Fixation, target("tap"), length(100)).
		at(30_700, event.ZoneExit, in("bath")).at(32_700, event.ZoneEnter, in("hall")).at(200_000, event.ZoneExit, in("hall")).
		facts(Report{PropertyID: "loft"}).Contributions(Property{OriginX: 60, OriginY: -1})
	for table, want := range map[Table]string{
		ZonesDaily: `property=loft 2026-03-10 zone=bath refs=1 [1 30000 0 0 0 0 0]
			property=loft 2026-03-10 zone=hall refs=1 [2 700 1 1 1 1 0]`,
		ZoneTransitionsDaily: `property=loft 2026-03-10 zone= object=hall refs=1 [1]
			property=loft 2026-03-10 zone=bath object=hall refs=1 [1]
			property=loft 2026-03-10 zone=hall object= refs=1 [1]
			property=loft 2026-03-10 zone=hall object=bath refs=1 [1]`,
		GazeTargetsDaily: `property=loft 2026-03-10 zone=bath object=tap refs=1 [0 0 1 100 0 0]
			property=loft 2026-03-10 zone=hall object=sea refs=1 [2 3000 0 0 1 500]`,
		InteractionsDaily: `property=loft 2026-03-10 zone=bath object=tap kind=open refs=1 [1]`,
		FloorHeatmapDaily: `property=loft 2026-03-10 level=0 x=-2 y=1 refs=1 [400]`,
		EventsHourly: `property=loft 2026-03-10T09:00Z pose refs=1 [2]
			property=loft 2026-03-10T09:00Z gaze refs=1 [2]
			property=loft 2026-03-10T09:00Z fixation refs=1 [1]
			property=loft 2026-03-10T09:00Z zone_enter refs=1 [3]
			property=loft 2026-03-10T09:00Z zone_exit refs=1 [3]
			property=loft 2026-03-10T09:00Z interaction refs=1 [1]`,
		PropertiesDaily: `property=loft 2026-03-10 refs=1 [200000 32700 1 0 12 0]`,
	} {
		equal(t, table.String(), want, rowLines(c, table))
	}
	for _, r := range c {
		columns, lengths := r.Table.Columns(), int64(0)
		for _, count := range r.Counts() {
			lengths += count
		}
		want := int64(0)
		switch r.Table {
		case ZonesDaily:
			want = r.Sums[zoneVisits]
		case GazeTargetsDaily:
			want = r.Sums[gazeFirstLooks]
		case PropertiesDaily:
			want = 1
		default:
		}
		if len(r.Sums) != len(columns.Sums) || lengths != want {
			t.Errorf("%s: %d sums of %d, %d lengths in bins of %d", r.Table, len(r.Sums), len(columns.Sums), lengths, want)
		}
	}
}

func TestContributions_Bounce(t *testing.T) {
	t.Parallel()
	c := newTour().at(0, event.ZoneEnter, in("hall")).at(900, event.ZoneExit, in("hall")).
		at(5000, event.ZoneEnter, in("hall")).at(9000, event.ZoneExit, in("hall")).facts().Contributions(Property{})
	equal(t, "zones", "2026-03-10 zone=hall refs=1 [2 4900 1 1 1 1 1]", rowLines(c, ZonesDaily))
	equal(t, "transitions", `2026-03-10 zone= object=hall refs=1 [1]
		2026-03-10 zone=hall object= refs=1 [1]`, rowLines(c, ZoneTransitionsDaily))
}

func TestContributions_NothingFolded(t *testing.T) {
	t.Parallel()
	if c := New().Facts().Contributions(Property{}); len(c) != 0 {
		t.Errorf("a session of which nothing is known contributes %v", c)
	}
	c := Of(nil, []Report{{ReceivedAt: micros(0), Device: "headset"}}).Facts().Contributions(Property{})
	equal(t, "a report alone", "2026-03-10 refs=1 [0 0 0 0 0 0]", rowLines(c, PropertiesDaily))
}

// midnightIn makes a session from ten seconds before to ten seconds after an
// instant: in one visit, with a pose a second.
func midnightIn(at time.Time) *tour {
	tour := newTour()
	tour.begin = at
	return tour.at(-10_000, event.ZoneEnter, in("hall")).steps(-10_000, 10_000, 1000, event.Pose, position(0, 0)).
		at(-5000, event.Gaze, target("sea"), length(8000)).at(5000, event.Gaze, target("sea"), length(100)).
		at(3000, event.Interaction, object("door")).
		at(4000, event.ZoneEnter, in("bath")).at(6000, event.ZoneExit, in("bath")).at(10_000, event.ZoneExit, in("hall"))
}

func TestContributions_MidnightInTheProperty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone      string
		midnight  time.Time // in UTC
		day, next string
	}{
		"UTC":           {"UTC", time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC), "2026-03-10", "2026-03-11"},
		"half an hour":  {"Asia/Kolkata", time.Date(2026, 3, 10, 18, 30, 0, 0, time.UTC), "2026-03-10", "2026-03-11"},
		"a quarter":     {"Asia/Kathmandu", time.Date(2026, 3, 10, 18, 15, 0, 0, time.UTC), "2026-03-10", "2026-03-11"},
		"west":          {"America/Los_Angeles", time.Date(2026, 3, 11, 7, 0, 0, 0, time.UTC), "2026-03-10", "2026-03-11"},
		"a day ahead":   {"Pacific/Kiritimati", time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC), "2026-03-10", "2026-03-11"},
		"spring begins": {"Europe/Berlin", time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC), "2026-03-28", "2026-03-29"},
		"spring began":  {"Europe/Berlin", time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC), "2026-03-29", "2026-03-30"},
		"no midnight":   {"Africa/Cairo", time.Date(2026, 4, 23, 22, 0, 0, 0, time.UTC), "2026-04-23", "2026-04-24"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := midnightIn(c.midnight).facts().Contributions(Property{Zone: zone(t, c.zone)})
			// The visit belongs to the day it began, the session to the day it
			// started, looks, interactions and poses to their own.
			equal(t, "zones", c.day+" zone=hall refs=1 [1 20000 0 0 1 1 0]\n"+
				c.next+" zone=bath refs=1 [1 2000 0 0 0 0 0]", rowLines(got, ZonesDaily))
			equal(t, "looks", c.day+" zone=hall object=sea refs=1 [1 8000 0 0 1 5000]\n"+
				c.next+" zone=bath object=sea refs=1 [1 100 0 0 1 1000]", rowLines(got, GazeTargetsDaily))
			equal(t, "interactions", c.next+" zone=hall object=door kind=interaction refs=1 [1]", rowLines(got, InteractionsDaily))
			equal(t, "heat", c.day+" level=0 x=0 y=0 refs=1 [10000]\n"+
				c.next+" level=0 x=0 y=0 refs=1 [10000]", rowLines(got, FloorHeatmapDaily))
			equal(t, "properties", c.day+" refs=1 [20000 20000 0 0 28 0]", rowLines(got, PropertiesDaily))
		})
	}
}

func TestContributions_HoursOfTheProperty(t *testing.T) {
	t.Parallel()
	// Clocks in Berlin go back from 3:00 to 2:00 at 1:00 UTC: the hour from 2 to 3
	// comes twice, and is two hours.
	tour := newTour()
	tour.begin = time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	tour.at(0, event.Heartbeat).at(3_600_000, event.Heartbeat).at(3_660_000, event.Heartbeat)
	equal(t, "Berlin", `2026-10-25T00:00Z heartbeat refs=1 [1]
		2026-10-25T01:00Z heartbeat refs=1 [2]`,
		rowLines(tour.facts().Contributions(Property{Zone: zone(t, "Europe/Berlin")}), EventsHourly))
	equal(t, "Kolkata", `2026-10-25T00:30Z heartbeat refs=1 [1]
		2026-10-25T01:30Z heartbeat refs=1 [2]`,
		rowLines(tour.facts().Contributions(Property{Zone: zone(t, "Asia/Kolkata")}), EventsHourly))
	// Clocks on Lord Howe go by half an hour.
	tour.begin = time.Date(2026, 4, 4, 14, 45, 0, 0, time.UTC)
	tour.events = nil
	tour.at(0, event.Heartbeat).at(1_800_000, event.Heartbeat)
	equal(t, "Lord Howe", `2026-04-04T14:00Z heartbeat refs=1 [1]
		2026-04-04T14:30Z heartbeat refs=1 [1]`,
		rowLines(tour.facts().Contributions(Property{Zone: zone(t, "Australia/Lord_Howe")}), EventsHourly))
}

func TestContributions_TimeZoneLearnedLater(t *testing.T) { // rule 4
	t.Parallel()
	f := midnightIn(time.Date(2026, 3, 10, 18, 30, 0, 0, time.UTC)).facts()
	before := f.Contributions(Property{})
	after := f.Contributions(Property{Zone: zone(t, "Asia/Kolkata"), OriginX: 100})
	same(t, after, Add(before, Difference(after, before)))
	if left := Add(after, Difference(nil, after)); len(left) != 0 {
		t.Errorf("taking away what was added leaves %v", left)
	}
}

func TestContributions_HoldNoFloat(t *testing.T) { // rule 4
	t.Parallel()
	seen := make(map[reflect.Type]bool)
	var walk func(reflect.Type, string)
	walk = func(kind reflect.Type, path string) {
		if seen[kind] {
			return
		}
		seen[kind] = true
		switch kind.Kind() {
		case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128, reflect.Interface:
			t.Errorf("%s is a %s", path, kind)
		case reflect.Map:
			walk(kind.Key(), path+" key")
			walk(kind.Elem(), path+" value")
		case reflect.Slice, reflect.Array, reflect.Pointer:
			walk(kind.Elem(), path)
		case reflect.Struct:
			for field := range kind.Fields() {
				walk(field.Type, path+"."+field.Name)
			}
		default:
		}
	}
	walk(reflect.TypeFor[Contributions](), "Contributions")
	walk(reflect.TypeFor[Facts](), "Facts")
	walk(reflect.TypeFor[State](), "State")
}

func TestTables(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, table := range Tables() {
		columns := table.Columns()
		if !table.Valid() || columns.Table == "" || names[columns.Table] || len(columns.Sums) == 0 || columns.Key[0] != KeyProperty {
			t.Errorf("table %d is %+v", table, columns)
		}
		names[columns.Table] = true
	}
	if Table(0).Valid() || tableEnd.Valid() || len(names) != 8 {
		t.Errorf("%d tables", len(names))
	}
}
