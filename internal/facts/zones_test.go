package facts

import (
	"testing"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestVisits(t *testing.T) {
	t.Parallel()
	const enter, exit, beat = event.ZoneEnter, event.ZoneExit, event.Heartbeat
	for name, c := range map[string]struct {
		tour *tour
		want string
	}{
		"enter and exit": {
			newTour().at(0, enter, in("hall")).at(5000, exit, in("hall")),
			"hall/0 0-5000 5000 exit",
		},
		"missing exit, closed by the next enter": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("bath")).at(8000, exit, in("bath")),
			`hall/0 0-5000 5000 next_enter
			 bath/0 5000-8000 3000 exit`,
		},
		"missing exit, closed by the session's end": {
			newTour().at(0, enter, in("hall")).at(7000, beat),
			"hall/0 0-7000 7000 session_end",
		},
		"another level's enter closes nothing": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("attic"), level(2)).at(9000, beat),
			`hall/0 0-9000 9000 session_end
			 attic/2 5000-9000 4000 session_end`,
		},
		"nested zones": {
			newTour().at(0, enter, in("floor")).at(1000, enter, in("bath")).at(3000, exit, in("bath")).
				at(4000, enter, in("hall")).at(6000, exit, in("hall")).at(9000, exit, in("floor")),
			`floor/0 0-9000 9000 exit
			 bath/0 1000-3000 2000 exit
			 hall/0 4000-6000 2000 exit`,
		},
		"nested zones, and the outer exit is lost": {
			newTour().at(0, enter, in("floor")).at(1000, enter, in("bath")).at(3000, exit, in("bath")).at(9000, beat),
			`floor/0 0-1000 1000 next_enter
			 bath/0 1000-3000 2000 exit`,
		},
		"zones overlap at the door": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("bath")).at(5400, exit, in("hall")).at(8000, exit, in("bath")),
			`hall/0 0-5400 5400 exit
			 bath/0 5000-8000 3000 exit`,
		},
		"doorway flicker is one visit": {
			newTour().at(0, enter, in("hall")).at(5000, exit, in("hall")).at(5500, enter, in("hall")).
				at(5900, exit, in("hall")).at(6900, enter, in("hall")).at(9000, exit, in("hall")),
			"hall/0 0-9000 9000 exit",
		},
		"back after more than a second is a new visit": {
			newTour().at(0, enter, in("hall")).at(5000, exit, in("hall")).at(6001, enter, in("hall")).at(9000, exit, in("hall")),
			`hall/0 0-5000 5000 exit
			 hall/0 6001-9000 2999 exit`,
		},
		"flicker over two zones": {
			newTour().at(0, enter, in("hall")).at(5000, exit, in("hall")).at(5000, enter, in("bath")).
				at(5600, exit, in("bath")).at(5600, enter, in("hall")).at(9000, exit, in("hall")),
			`hall/0 0-9000 9000 exit
			 bath/0 5000-5600 600 exit`,
		},
		"flicker without exits": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("bath")).at(5500, enter, in("hall")).at(9000, beat),
			`hall/0 0-9000 9000 session_end
			 bath/0 5000-5500 500 next_enter`,
		},
		"flicker without exits, a second apart and a little more": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("bath")).at(6000, enter, in("hall")).
				at(7001, enter, in("bath")).at(9000, beat),
			`hall/0 0-7001 7001 next_enter
			 bath/0 5000-6000 1000 next_enter
			 bath/0 7001-9000 1999 session_end`,
		},
		"entered again after a lost exit": {
			newTour().at(0, enter, in("hall")).at(5000, enter, in("bath")).at(7000, enter, in("hall")).at(9000, exit, in("hall")),
			`hall/0 0-5000 5000 next_enter
			 bath/0 5000-7000 2000 next_enter
			 hall/0 7000-9000 2000 exit`,
		},
		"entered twice": {
			newTour().at(0, enter, in("hall")).at(4000, enter, in("hall")).at(9000, exit, in("hall")),
			"hall/0 0-9000 9000 exit",
		},
		"exits that fit nothing": {
			newTour().at(0, exit, in("hall")).at(1000, enter, in("hall"), level(1)).at(2000, exit, in("hall"), level(2)).
				at(3000, exit, in("bath")).at(4000, exit, in("hall"), level(1)).at(5000, exit, in("hall")),
			"hall/1 1000-4000 3000 exit",
		},
		"an exit without a level, and one without a name": {
			newTour().at(0, enter, in("hall"), level(3)).at(500, enter, in("bath"), level(3)).
				at(1000, exit).at(2000, exit, in("hall")),
			`hall/3 0-2000 2000 exit
			 bath/3 500-1000 500 exit`,
		},
		"an enter without a name opens nothing": {
			newTour().at(0, enter, in("hall")).at(1000, enter).at(2000, exit, in("hall")),
			"hall/0 0-2000 2000 exit",
		},
		"two events at one instant, told apart by their sequence": {
			newTour().at(0, enter, in("hall"), sequenced(1)).at(5000, enter, in("bath"), sequenced(3)).
				at(5000, exit, in("hall"), sequenced(2)).at(6000, exit, in("bath"), sequenced(4)),
			`hall/0 0-5000 5000 exit
			 bath/0 5000-6000 1000 exit`,
		},
		"two events at one instant, told apart by their batch": {
			newTour().at(5000, exit, in("hall"), batch(2)).at(5000, enter, in("hall"), batch(1)),
			"hall/0 5000-5000 0 exit",
		},
		"idle inside a visit": {
			newTour().at(0, enter, in("hall")).at(10_000, beat).at(80_000, beat).at(100_000, exit, in("hall")),
			"hall/0 0-100000 30000 exit",
		},
		"a minute without events is not idle": {
			newTour().at(0, enter, in("hall")).at(60_000, exit, in("hall")),
			"hall/0 0-60000 60000 exit",
		},
		"headset off inside a visit, events going on": {
			newTour().at(0, enter, in("hall")).at(1000, event.IdleStart).steps(2000, 30_000, 1000, beat).
				at(31_000, event.IdleEnd).at(40_000, exit, in("hall")),
			"hall/0 0-40000 10000 exit",
		},
		"idle_end lost: the next zone event ends it": {
			newTour().at(0, enter, in("hall")).at(1000, event.IdleStart).at(21_000, exit, in("hall")).
				at(21_000, enter, in("bath")).at(25_000, exit, in("bath")),
			`hall/0 0-21000 1000 exit
			 bath/0 21000-25000 4000 exit`,
		},
		"declared and silent idle time count once": {
			newTour().at(0, enter, in("hall")).at(1000, event.IdleStart).at(2000, beat).at(90_000, beat).
				at(95_000, event.IdleEnd).at(100_000, exit, in("hall")),
			"hall/0 0-100000 6000 exit",
		},
		"a long look is no idle time": {
			newTour().at(0, enter, in("hall")).at(1000, event.Gaze, target("sea"), length(90_000)).at(100_000, exit, in("hall")),
			"hall/0 0-100000 100000 exit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "visits", c.want, visitLines(c.tour.facts()))
		})
	}
}

func TestVisits_OutOfOrderEventsAreFoldedInOrder(t *testing.T) {
	t.Parallel()
	tour := newTour().at(8000, event.ZoneExit, in("bath"), batch(1)).at(0, event.ZoneEnter, in("hall"), batch(2)).
		at(5000, event.ZoneExit, in("hall"), batch(3)).at(5000, event.ZoneEnter, in("bath"), batch(4))
	equal(t, "visits", `hall/0 0-5000 5000 exit
		bath/0 5000-8000 3000 exit`, visitLines(tour.facts()))
}

func TestVisits_OpenOnesAreBounded(t *testing.T) { // rule 9
	t.Parallel()
	tour := newTour()
	for i := range int64(MaxOpenVisits + 1) {
		tour.at(i*1000, event.ZoneEnter, in("tower"), level(int16(i)))
	}
	tour.at(100_000, event.Heartbeat)
	f := tour.facts()
	if got := f.Visits[0]; got.ClosedBy != ClosedByNextEnter || ms(got.Left) != MaxOpenVisits*1000 {
		t.Errorf("the oldest visit left at %d, %s; want closed by the enter that was too many", ms(got.Left), got.ClosedBy)
	}
	if got := f.Visits[1].ClosedBy; got != ClosedBySessionEnd {
		t.Errorf("the second visit is closed by %s", got)
	}
}

func TestFacts_EntryAndExitZone(t *testing.T) {
	t.Parallel()
	f := newTour().at(0, event.ZoneEnter, in("floor")).at(1000, event.ZoneEnter, in("bath")).
		at(3000, event.ZoneExit, in("bath")).at(9000, event.ZoneExit, in("floor")).facts()
	if f.EntryZone != "floor" || f.ExitZone != "floor" || f.Zones != 2 {
		t.Errorf("entry %q, exit %q, %d zones; want floor, floor, 2", f.EntryZone, f.ExitZone, f.Zones)
	}
	f = newTour().at(0, event.ZoneEnter, in("hall")).at(4000, event.ZoneEnter, in("bath")).at(9000, event.Heartbeat).facts()
	if f.EntryZone != "hall" || f.ExitZone != "bath" || f.Zones != 2 {
		t.Errorf("entry %q, exit %q, %d zones; want hall, bath, 2", f.EntryZone, f.ExitZone, f.Zones)
	}
	f = newTour().at(0, event.ZoneEnter, in("hall")).at(4000, event.ZoneEnter, in("attic"), level(2)).at(9000, event.Heartbeat).facts()
	if f.EntryZone != "hall" || f.ExitZone != "attic" {
		t.Errorf("both left at the end: entry %q, exit %q; want hall and the one entered last, attic", f.EntryZone, f.ExitZone)
	}
	equal(t, "zones", `2026-03-10 zone=attic refs=1 [1 5000 0 0 0 1 0]
		2026-03-10 zone=hall refs=1 [1 9000 0 0 1 0 0]`, rowLines(f.Contributions(Property{}), ZonesDaily))
}
