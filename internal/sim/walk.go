package sim

import (
	"math"

	"github.com/nexero-vr/nexero/internal/event"
)

// climbing is the share of the usual pace that stairs leave.
const climbing = 0.6

// walkTo walks to a spot of a room through all rooms on the way.
func (v *visitor) walkTo(room int, spot Spot) bool {
	v.lookAway(v.now)
	v.way = v.route(v.way[:0], room, spot)
	v.startPiece()
	glance := int64(never)
	for len(v.way) > 0 {
		switch {
		case v.thing != nothing && v.now >= glance:
			v.lookAway(v.now)
		case v.thing == nothing && chance(v.rand, 0.03*v.curious):
			if v.thing = v.pick(); v.thing != nothing {
				glance = v.now + span(v.rand, 700, 300, 2500)
			}
		}
		if !v.tick() {
			return false
		}
	}
	v.lookAway(v.now)
	v.drift = v.yaw
	return true
}

// route plans the way to a spot of a room.
func (v *visitor) route(way []waypoint, to int, spot Spot) []waypoint {
	room, at := v.room, v.at
	for room != to {
		link := &v.plan.Links[v.plan.next[room][to]]
		way, at = v.plan.leg(way, room, at, link)
		room, _ = link.across(room)
	}
	way = v.plan.around(way, room, at, spot, 0)
	return append(way, waypoint{at: spot})
}

// startPiece prepares the first piece of the way.
func (v *visitor) startPiece() {
	if len(v.way) > 0 {
		v.piece = v.at.distance(v.way[0].at)
		v.climb = v.way[0].rise * levelHeight
	}
}

// move walks on until a time.
func (v *visitor) move(until int64) {
	at := float64(v.now)
	for len(v.way) > 0 && at < float64(until) {
		speed := v.pace / 1000 // cm/ms
		if v.climb != 0 {
			speed *= climbing
		}
		next := &v.way[0]
		left := v.at.distance(next.at)
		reach := speed * (float64(until) - at)
		if reach < left {
			v.step(v.at.towards(next.at, reach/left), reach)
			return
		}
		at += left / speed
		v.step(next.at, left)
		if next.gate {
			v.cross(next.room, int64(at), false)
		}
		v.way = v.way[1:]
		v.startPiece()
	}
}

// step moves the body by a length.
func (v *visitor) step(to Spot, length float64) {
	v.at = to
	v.app.content.walkedCM += length
	if v.piece > 0 {
		v.floor += v.climb * length / v.piece
	}
}

// cross leads into another room. The exit of a teleport gets lost in some
// applications: nothing walks out of the trigger's volume.
func (v *visitor) cross(room int, at int64, teleported bool) {
	v.lookAway(at)
	if !teleported || !v.app.losesExit() {
		v.tell(v.mark(event.ZoneExit, at, v.room))
	}
	v.room = room
	v.tell(v.mark(event.ZoneEnter, at+1, room))
}

// jump teleports into a room.
func (v *visitor) jump(room int) bool {
	v.lookAway(v.now)
	to := v.spot(room)
	if room != v.room {
		v.cross(room, v.now+1, true)
	}
	v.at, v.way = to, nil
	v.floor = float64(v.plan.Rooms[room].Level) * levelHeight
	teleport := v.place(v.here(event.Teleport, v.now+3))
	teleport.action = "arc"
	v.tell(teleport)
	v.drift = v.yaw
	return v.pause(1500 + v.rand.Int64N(1500))
}

// takeOff takes the headset off for a while. Some applications say so, others
// fall silent. It does not when the end of the tour is near.
func (v *visitor) takeOff() bool {
	length := span(v.rand, 100_000, 65_000, 400_000)
	if v.now+length >= v.leaves {
		return true
	}
	v.lookAway(v.now)
	declared := v.app.client.declares
	if declared {
		v.tell(v.here(event.IdleStart, v.now+1))
	}
	v.now += length
	if !v.app.advance(v.now) {
		return false
	}
	if declared {
		v.tell(v.here(event.IdleEnd, v.now+1))
	}
	v.beat = v.now
	return v.tick()
}

// heading is the direction of the first piece of the way, in degrees.
func (v *visitor) heading() float64 {
	to := v.way[0].at
	return math.Atan2(to.Y-v.at.Y, to.X-v.at.X) * 180 / math.Pi
}
