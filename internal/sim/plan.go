package sim

import (
	"math"

	"github.com/nexero-vr/nexero/internal/event"
)

// Plan is a furnished floor plan: a property that can be toured. All lengths are
// in centimetres from the plan's corner, which lies at the origin.
type Plan struct {
	// PropertyID is what headsets send as property_id, Name what people read.
	PropertyID, Name string
	// TimeZone is the property's, by its IANA name.
	TimeZone string
	// OriginX and OriginY are the plan's corner in Unreal's world.
	OriginX, OriginY float64
	// Entry is the number of the room in which tours begin, at EntryAt.
	Entry   int
	EntryAt Spot
	Rooms   []Room
	Links   []Link
	Things  []Thing
}

// Spot is a place on a floor.
type Spot struct{ X, Y float64 }

// Room is a rectangle on one level and a zone to the headset.
type Room struct {
	// Zone is the name that events carry.
	Zone  string
	Level int16
	// Min and Max are opposite corners.
	Min, Max Spot
	// Interest is how much people want to see it; 1 is usual.
	Interest float64
}

// Link is a way between two rooms, numbered in the plan. In a door both ends
// are the same spot, in the wall that the rooms share. Stairs lead up from
// room A to room B, one level higher; both ends lie in both rectangles.
type Link struct {
	A, B     int
	AtA, AtB Spot
}

// Thing is something to look at: furniture, a picture, the view from a window.
type Thing struct {
	// Name is the target and the object that events carry, once in a plan.
	Name string
	// Room is its number in the plan.
	Room int
	At   Spot
	// Height is that of what eyes rest on, above the room's floor.
	Height float64
	// Radius is how far people keep from its middle; 0 for what hangs on a wall.
	Radius float64
	// Interest is how much it draws the eye; 1 is usual.
	Interest float64
	// Touches are the ways in which it is touched, none for a thing to look at.
	Touches []Touch
}

// Touch is one thing that can be done to an object: a type of event and the
// action that it carries.
type Touch struct {
	Type   event.Type
	Action string
}

// Kind is the touch as aggregates count it: what was done or, for types that
// say it themselves, their name with what was done behind a colon.
func (t Touch) Kind() string {
	switch {
	case t.Type == event.Interaction:
		return t.Action
	case t.Action == "":
		return t.Type.String()
	default:
		return t.Type.String() + ":" + t.Action
	}
}

// Stairs reports whether the link leads to another level.
func (l *Link) Stairs() bool { return l.AtA != l.AtB }

// Levels returns how many levels the plan has.
func (p *Plan) Levels() int {
	highest := int16(0)
	for i := range p.Rooms {
		highest = max(highest, p.Rooms[i].Level)
	}
	return int(highest) + 1
}

// Contains reports whether a spot lies in the room, at least margin from its walls.
func (r *Room) Contains(s Spot, margin float64) bool {
	return s.X >= r.Min.X+margin && s.X <= r.Max.X-margin && s.Y >= r.Min.Y+margin && s.Y <= r.Max.Y-margin
}

// middle returns the centre of the room.
func (r *Room) middle() Spot { return Spot{(r.Min.X + r.Max.X) / 2, (r.Min.Y + r.Max.Y) / 2} }

// clamp moves a spot into the room, at least margin from its walls.
func (r *Room) clamp(s Spot, margin float64) Spot {
	return Spot{
		min(max(s.X, r.Min.X+margin), r.Max.X-margin),
		min(max(s.Y, r.Min.Y+margin), r.Max.Y-margin),
	}
}

// plus returns the spot that lies by (x, y) further.
func (s Spot) plus(x, y float64) Spot { return Spot{s.X + x, s.Y + y} }

// towards returns the spot at a share of the way to another.
func (s Spot) towards(to Spot, share float64) Spot {
	return Spot{s.X + (to.X-s.X)*share, s.Y + (to.Y-s.Y)*share}
}

// distance returns the length of the straight way between two spots.
func (s Spot) distance(to Spot) float64 { return math.Hypot(to.X-s.X, to.Y-s.Y) }
