package sim

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

func TestPlans_Table(t *testing.T) {
	t.Parallel()
	plans := Plans()
	if len(plans) < 3 {
		t.Errorf("%d plans, want at least 3", len(plans))
	}
	ids := map[string]bool{}
	for i := range plans {
		p := &plans[i]
		if ids[p.PropertyID] {
			t.Errorf("two plans are called %s", p.PropertyID)
		}
		ids[p.PropertyID] = true
		if _, err := time.LoadLocation(p.TimeZone); err != nil || p.TimeZone == "" || p.Name == "" {
			t.Errorf("%s: time zone %q, name %q: %v", p.PropertyID, p.TimeZone, p.Name, err)
		}
		if _, err := newLayout(p); err != nil {
			t.Error(err)
		}
		checkRooms(t, p)
		checkLinks(t, p)
		checkThings(t, p)
	}
}

// plain reports whether a name can stand in JSON without escapes.
func plain(name string) bool {
	return name != "" && len(name) < 60 && !strings.ContainsAny(name, "\"\\\n\t ")
}

func checkRooms(t *testing.T, p *Plan) {
	t.Helper()
	zones := map[string]int16{}
	for i := range p.Rooms {
		a := &p.Rooms[i]
		if _, twice := zones[a.Zone]; twice && zones[a.Zone] == a.Level || !plain(a.Zone) {
			t.Errorf("%s: zone %q is not a name of its own", p.PropertyID, a.Zone)
		}
		zones[a.Zone] = a.Level
		if a.Max.X-a.Min.X < 100 || a.Max.Y-a.Min.Y < 100 || a.Interest <= 0 || a.Level < 0 {
			t.Errorf("%s: room %s: %+v", p.PropertyID, a.Zone, a)
		}
		for j := range p.Rooms[:i] {
			b := &p.Rooms[j]
			if a.Level == b.Level && a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y {
				t.Errorf("%s: %s and %s overlap", p.PropertyID, a.Zone, b.Zone)
			}
		}
	}
	if entry := &p.Rooms[p.Entry]; !entry.Contains(p.EntryAt, personal) {
		t.Errorf("%s: tours begin outside %s", p.PropertyID, entry.Zone)
	}
}

func checkLinks(t *testing.T, p *Plan) {
	t.Helper()
	for i := range p.Links {
		l := &p.Links[i]
		if l.A < 0 || l.B < 0 || l.A == l.B {
			t.Errorf("%s: link %d is between rooms %d and %d", p.PropertyID, i, l.A, l.B)
			continue
		}
		a, b := &p.Rooms[l.A], &p.Rooms[l.B]
		if !l.Stairs() {
			if a.Level != b.Level || !onWall(a, l.AtA) || !onWall(b, l.AtA) {
				t.Errorf("%s: the door from %s to %s is not in a wall of both", p.PropertyID, a.Zone, b.Zone)
			}
			continue
		}
		if b.Level != a.Level+1 {
			t.Errorf("%s: stairs lead from level %d to %d", p.PropertyID, a.Level, b.Level)
		}
		for _, end := range []Spot{l.AtA, l.AtB} {
			if !a.Contains(end, personal) || !b.Contains(end, personal) {
				t.Errorf("%s: stairs from %s to %s leave them", p.PropertyID, a.Zone, b.Zone)
			}
		}
	}
}

// onWall reports whether a spot lies in a wall and away from its corners.
func onWall(r *Room, s Spot) bool {
	const corner = 40
	inX, inY := s.X >= r.Min.X+corner && s.X <= r.Max.X-corner, s.Y >= r.Min.Y+corner && s.Y <= r.Max.Y-corner
	return inX && (s.Y == r.Min.Y || s.Y == r.Max.Y) || inY && (s.X == r.Min.X || s.X == r.Max.X)
}

func checkThings(t *testing.T, p *Plan) {
	t.Helper()
	names := map[string]bool{}
	for i := range p.Things {
		thing := &p.Things[i]
		if names[thing.Name] || !plain(thing.Name) {
			t.Errorf("%s: %q is not a name of its own", p.PropertyID, thing.Name)
		}
		names[thing.Name] = true
		if thing.Room < 0 || !p.Rooms[thing.Room].Contains(thing.At, 0) {
			t.Errorf("%s: %s stands outside its room", p.PropertyID, thing.Name)
		}
		for j := range p.Links {
			if l := &p.Links[j]; l.A == thing.Room || l.B == thing.Room {
				if away := min(l.AtA.distance(thing.At), l.AtB.distance(thing.At)); thing.Radius > 0 && away < thing.Radius+10 {
					t.Errorf("%s: %s stands in the way of link %d", p.PropertyID, thing.Name, j)
				}
			}
		}
		if thing.Interest <= 0 || thing.Radius < 0 || math.Abs(thing.Height) > levelHeight {
			t.Errorf("%s: %+v", p.PropertyID, thing)
		}
		for _, touch := range thing.Touches {
			if touch.Type == event.Interaction && touch.Action == "" || !touch.Type.Valid() || touch.Action != "" && !plain(touch.Action) {
				t.Errorf("%s: %s is touched by %+v", p.PropertyID, thing.Name, touch)
			}
		}
	}
}

func TestPlan_WithoutAWayIsRefused(t *testing.T) {
	t.Parallel()
	locked := Plans()[0]
	locked.Links = locked.Links[1:4]
	for _, plan := range []Plan{locked, {PropertyID: "empty"}} {
		if _, err := New(Options{Headsets: 1, Duration: time.Minute, Plans: []Plan{plan}}); err == nil || !strings.Contains(err.Error(), plan.PropertyID) {
			t.Errorf("error %v, want one about %s", err, plan.PropertyID)
		}
	}
}
