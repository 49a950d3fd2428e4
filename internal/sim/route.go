package sim

import "fmt"

// personal is how far people keep from walls, in centimetres.
const personal = 35

// layout is a plan and the ways through it.
type layout struct {
	*Plan

	// things are the numbers of each room's things.
	things [][]int
	// next is, by room and destination, the number of the link to take, and hops
	// how many links there are to go.
	next, hops [][]int
}

// newLayout finds the shortest way, in links, from every room to every other. It
// refuses a plan in which there is none: a visitor would be locked in.
func newLayout(plan *Plan) (*layout, error) {
	if len(plan.Rooms) == 0 || plan.Entry < 0 || plan.Entry >= len(plan.Rooms) {
		return nil, fmt.Errorf("plan %s: no room to begin in", plan.PropertyID)
	}
	l := &layout{Plan: plan, things: make([][]int, len(plan.Rooms))}
	for i := range plan.Things {
		room := plan.Things[i].Room
		l.things[room] = append(l.things[room], i)
	}
	for from := range plan.Rooms {
		next, hops := l.search(from)
		for to, n := range hops {
			if n < 0 {
				return nil, fmt.Errorf("plan %s: no way from %s to %s", plan.PropertyID, plan.Rooms[from].Zone, plan.Rooms[to].Zone)
			}
		}
		l.next, l.hops = append(l.next, next), append(l.hops, hops)
	}
	return l, nil
}

// search goes out from a room, nearest rooms first.
func (l *layout) search(from int) (first, hops []int) {
	first, hops = make([]int, len(l.Rooms)), make([]int, len(l.Rooms))
	for i := range hops {
		first[i], hops[i] = -1, -1
	}
	hops[from] = 0
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		here := queue[0]
		for i := range l.Links {
			there, ok := l.Links[i].across(here)
			if !ok || hops[there] >= 0 {
				continue
			}
			hops[there] = hops[here] + 1
			first[there] = first[here]
			if here == from {
				first[there] = i
			}
			queue = append(queue, there)
		}
	}
	return first, hops
}

// across returns the room on the other side of the link.
func (l *Link) across(from int) (to int, ok bool) {
	switch from {
	case l.A:
		return l.B, true
	case l.B:
		return l.A, true
	default:
		return 0, false
	}
}

// waypoint is where a straight piece of a way ends. A gate is where it leads
// into another room.
type waypoint struct {
	at   Spot
	gate bool
	room int // that the gate leads into
	// rise is the share of a level that the piece climbs, negative downwards.
	rise float64
}

// leg appends the way from a spot through one link, up to the gate itself for a
// door and to the far end for stairs.
func (l *layout) leg(way []waypoint, room int, from Spot, link *Link) (out []waypoint, at Spot) {
	to, _ := link.across(room)
	near, far, rise := link.AtA, link.AtB, 1.0
	if room == link.B {
		near, far, rise = far, near, -1
	}
	way = l.around(way, room, from, near, 0)
	if !link.Stairs() {
		return append(way, waypoint{at: near, gate: true, room: to}), near
	}
	// The level changes half way up.
	return append(
		way, waypoint{at: near},
		waypoint{at: near.towards(far, 0.5), gate: true, room: to, rise: rise / 2},
		waypoint{at: far, rise: rise / 2},
	), far
}

// around appends the corners of a way within a room that keeps clear of its
// furniture. Rooms are convex and so the way never leaves them. It is an
// attempt: with furniture that leaves no gap the way leads through.
func (l *layout) around(way []waypoint, room int, from, to Spot, depth int) []waypoint {
	const deepest, clearance = 4, 30
	if depth == deepest {
		return way
	}
	nearest, share := -1, 2.0
	for _, i := range l.things[room] {
		t := &l.Things[i]
		if t.Radius == 0 || t.At.distance(to) < t.Radius+clearance || t.At.distance(from) < t.Radius {
			continue
		}
		at, away := along(from, to, t.At)
		if away < t.Radius+10 && at < share {
			nearest, share = i, at
		}
	}
	if nearest < 0 {
		return way
	}
	t := &l.Things[nearest]
	length := max(from.distance(to), 1)
	aside := t.Radius + clearance
	// To the side on which the straight way already passes.
	if side := (to.X-from.X)*(t.At.Y-from.Y) - (to.Y-from.Y)*(t.At.X-from.X); side < 0 {
		aside = -aside
	}
	corner := t.At.plus((to.Y-from.Y)/length*aside, -(to.X-from.X)/length*aside)
	if inside := l.Rooms[room].clamp(corner, personal); inside != corner {
		other := t.At.plus(-(to.Y-from.Y)/length*aside, (to.X-from.X)/length*aside)
		corner = l.Rooms[room].clamp(other, personal)
	}
	way = append(way, waypoint{at: corner})
	return l.around(way, room, corner, to, depth+1)
}

// along returns at which share of the straight way it comes closest to a spot,
// and how close.
func along(from, to, spot Spot) (share, away float64) {
	dx, dy := to.X-from.X, to.Y-from.Y
	square := dx*dx + dy*dy
	if square == 0 {
		return 0, from.distance(spot)
	}
	share = min(max(((spot.X-from.X)*dx+(spot.Y-from.Y)*dy)/square, 0), 1)
	return share, from.towards(to, share).distance(spot)
}

// taken reports whether furniture stands at a spot of a room.
func (l *layout) taken(room int, spot Spot) bool {
	for _, i := range l.things[room] {
		if t := &l.Things[i]; t.Radius > 0 && t.At.distance(spot) < t.Radius+10 {
			return true
		}
	}
	return false
}
