package sim

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// follow walks along with the poses of a session and checks that a human could
// have done so in the plan.
func follow(t check, plan *Plan, poses []event.Event) (walkedCM float64) {
	t.Helper()
	const topSpeed, topTurn, tolerance = 200.0, 240.0, 1.0
	var last *event.Event
	var room, before *Room
	jumped := false
	for i := range poses {
		e := &poses[i]
		if e.Type == event.Teleport {
			jumped = true
			continue
		}
		if e.Type == event.ZoneEnter {
			if before, room = room, find(plan, e); room == nil {
				t.Fatalf("%s: entered %q on level %d, which it does not have", plan.PropertyID, e.Zone, e.Level)
			}
			continue
		}
		at := Spot{float64(e.X) - plan.OriginX, float64(e.Y) - plan.OriginY}
		if room == nil || !room.Contains(at, -tolerance) {
			t.Fatalf("%s: stands at %v and not in %+v", plan.PropertyID, at, room)
		}
		if last == nil {
			last = e
			continue
		}
		seconds := float64(e.OccurredAt-last.OccurredAt) / 1e6
		from := Spot{float64(last.X) - plan.OriginX, float64(last.Y) - plan.OriginY}
		if way := from.distance(at); !jumped {
			walkedCM += way
			if way/seconds > topSpeed {
				t.Fatalf("%s: %.0f cm in %.3f s", plan.PropertyID, way, seconds)
			}
			// A piece between two poses that lie in different rooms goes through a door.
			if before != nil && before != room && !before.Contains(from, -tolerance) && !room.Contains(from, -tolerance) {
				t.Fatalf("%s: came from %v into %s, not from %s", plan.PropertyID, from, room.Zone, before.Zone)
			}
			if !room.Contains(from, -tolerance) && !throughDoor(plan, from, at) {
				t.Fatalf("%s: from %v through a wall to %v", plan.PropertyID, from, at)
			}
		}
		if turn := math.Abs(wrap(float64(e.Yaw - last.Yaw))); turn/seconds > topTurn {
			t.Fatalf("%s: turned %.1f degrees in %.3f s", plan.PropertyID, turn, seconds)
		}
		if math.Abs(float64(e.Pitch)) > 75 || math.Abs(float64(e.Roll)) > 20 {
			t.Fatalf("%s: pitch %f, roll %f", plan.PropertyID, e.Pitch, e.Roll)
		}
		if up := float64(e.Z) - float64(e.Level)*levelHeight; up < 140-levelHeight/2 || up > 190+levelHeight/2 {
			t.Fatalf("%s: eyes %.0f cm above level %d", plan.PropertyID, up, e.Level)
		}
		last, jumped = e, false
	}
	return walkedCM
}

func find(plan *Plan, e *event.Event) *Room {
	for i := range plan.Rooms {
		if r := &plan.Rooms[i]; r.Zone == e.Zone && r.Level == e.Level {
			return r
		}
	}
	return nil
}

// throughDoor reports whether a straight piece passes a door. The way bends
// there, so a piece of a tenth of a second misses its middle by some centimetres.
func throughDoor(plan *Plan, from, to Spot) bool {
	const opening = 25
	for i := range plan.Links {
		if _, away := along(from, to, plan.Links[i].AtA); !plan.Links[i].Stairs() && away < opening {
			return true
		}
	}
	return false
}

func planOf(t check, property string) *Plan {
	plans := Plans()
	for i := range plans {
		if plans[i].PropertyID == property {
			return &plans[i]
		}
	}
	t.Fatalf("no plan %q", property)
	return nil
}

func TestVisitor_IsHuman(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run := newRun(t, Options{
			Seed: rapid.Uint64().Draw(t, "seed"), Headsets: 1, Duration: 2 * time.Minute,
			Rate: rapid.SampledFrom([]int{10, 10, 30}).Draw(t, "rate"),
		})
		truth, recounted := checkTruth(t, run, atOnce(run))
		for _, s := range truth.Sessions {
			walked := follow(t, planOf(t, s.Plan), recounted.sessions[s.NormalID].poses)
			if walked > s.WalkedCM+30 || walked < s.WalkedCM*0.85-200 {
				t.Fatalf("poses walk %.0f cm, the truth is %.0f", walked, s.WalkedCM)
			}
		}
	})
}

// A visit ends where the next one begins, and nobody is in two rooms.
func TestVisitor_IsInOneRoomAtATime(t *testing.T) {
	t.Parallel()
	run := newRun(t, Options{Seed: 3, Headsets: 9, Duration: 12 * time.Minute})
	truth, _ := checkTruth(t, run, atOnce(run))
	rooms := map[string]bool{}
	for _, s := range truth.Sessions {
		for i, v := range s.Visits {
			rooms[s.Plan+" "+v.Zone] = true
			if v.ClosedBy != "exit" || v.LeftMS < v.EnteredMS {
				t.Errorf("headset %d, tour %d: visit %+v", s.Headset, s.Tour, v)
			}
			if i == 0 {
				continue
			}
			if gap := v.EnteredMS - s.Visits[i-1].LeftMS; gap < 0 || gap > 2 || v.Zone == s.Visits[i-1].Zone && v.Level == s.Visits[i-1].Level {
				t.Errorf("headset %d, tour %d: from %+v to %+v", s.Headset, s.Tour, s.Visits[i-1], v)
			}
		}
	}
	all := 0
	for _, p := range Plans() {
		all += len(p.Rooms)
	}
	if len(rooms) != all {
		t.Errorf("%d rooms were visited, there are %d", len(rooms), all)
	}
}
