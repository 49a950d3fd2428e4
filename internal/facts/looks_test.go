package facts

import (
	"testing"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestLooks(t *testing.T) {
	t.Parallel()
	const gaze, enter, exit = event.Gaze, event.ZoneEnter, event.ZoneExit
	sea, oven := target("sea"), target("oven")
	for name, c := range map[string]struct {
		tour *tour
		want string
	}{
		"lengths count in full": {
			newTour().at(0, event.Heartbeat).at(100, gaze, sea, length(20)).at(500, gaze, sea, length(4000)),
			">sea 2 4020 first 100",
		},
		"a length of 0 is a sample": {
			newTour().at(0, gaze, sea, length(0)).at(10, event.Heartbeat),
			"",
		},
		"samples of 300 ms are a look, of 299 none": {
			newTour().steps(0, 300, 100, gaze, sea).steps(1000, 1299, 23, gaze, oven),
			">sea 1 300 first 0",
		},
		"a hole of 200 ms is none, one of 201 ends the run": {
			newTour().at(0, gaze, sea).at(200, gaze, sea).at(400, gaze, sea).at(601, gaze, sea).at(801, gaze, sea),
			">sea 1 400 first 0",
		},
		"another target ends the run, no target is a hole": {
			newTour().steps(0, 300, 100, gaze, sea).at(350, gaze).steps(400, 500, 100, gaze, sea).
				at(550, gaze, oven).steps(600, 1000, 100, gaze, sea),
			">sea 2 900 first 0",
		},
		"the run at the end counts": {
			newTour().at(0, event.Heartbeat).steps(5000, 5400, 100, gaze, sea),
			">sea 1 400 first 5000",
		},
		"a look belongs to the innermost zone at its start": {
			newTour().at(0, enter, in("floor")).at(100, gaze, sea, length(50)).at(1000, enter, in("bath")).
				at(1500, gaze, sea, length(9000)).at(2000, exit, in("bath")).at(2500, gaze, sea, length(60)).
				at(3000, exit, in("floor")).at(3500, gaze, sea, length(70)),
			`>sea 1 70 first 3500
			 bath>sea 1 9000 first 500
			 floor>sea 2 110 first 100`,
		},
		"where an exit was missing shows when the next one comes": {
			newTour().at(0, enter, in("hall")).at(1000, enter, in("bath")).at(2000, exit, in("bath")).
				at(2500, gaze, sea, length(60)),
			">sea 1 60 first 2500",
		},
		"the zone that a look names wins": {
			newTour().at(0, enter, in("hall")).at(1000, gaze, sea, length(50), in("balcony")).at(2000, exit, in("hall")),
			"balcony>sea 1 50",
		},
		"a flicker at the door does not lose a look": {
			newTour().at(0, enter, in("hall")).at(1000, exit, in("hall")).at(1200, gaze, sea, length(50)).
				at(1500, enter, in("hall")).at(3000, exit, in("hall")),
			"hall>sea 1 50 first 1200",
		},
		"first look since the first entry, not the last": {
			newTour().at(0, enter, in("hall")).at(1000, exit, in("hall")).at(5000, enter, in("hall")).
				at(5500, gaze, sea, length(50)).at(5700, gaze, sea, length(50)).at(6000, exit, in("hall")),
			"hall>sea 2 100 first 5500",
		},
		"fixations are no looks": {
			newTour().at(0, event.Heartbeat).at(100, event.Fixation, sea, length(150)).at(400, event.Fixation, sea),
			">sea 0 0 fix 2 150",
		},
		"a gaze without a target is at nothing": {
			newTour().at(100, gaze, length(150)),
			"",
		},
		"quarters of an hour apart": {
			newTour().at(0, gaze, sea, length(10)).at(900_000, gaze, sea, length(20)),
			`>sea 1 10 first 0
			 >sea 1 20`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "looks", c.want, lookLines(c.tour.facts()))
		})
	}
}

func TestInteractions(t *testing.T) {
	t.Parallel()
	f := newTour().at(0, event.ZoneEnter, in("kitchen")).
		at(100, event.Interaction, object("door"), action("open")).at(200, event.Interaction, object("door"), action("open")).
		at(300, event.Interaction, object("door")).
		at(400, event.CTA, action("book")).at(500, event.CTA).
		at(600, event.FeatureSelect, object("floor"), action("oak"), in("hall")).
		at(700, event.Teleport, object("nowhere")).at(800, event.Custom, object("door"), action("open")).
		at(1000, event.ZoneExit, in("kitchen")).facts()
	type line struct {
		Zone, Object, Kind string
		Times              int64
	}
	want := []line{
		{"hall", "floor", "feature_select:oak", 1},
		{"kitchen", "", "cta", 1},
		{"kitchen", "", "cta:book", 1},
		{"kitchen", "door", "interaction", 1},
		{"kitchen", "door", "open", 2},
	}
	var got []line
	for _, i := range f.Interactions {
		got = append(got, line{i.Zone, i.Object, i.Kind, i.Times})
	}
	same(t, want, got)
}
