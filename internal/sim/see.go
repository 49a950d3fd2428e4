package sim

import (
	"math"

	"github.com/nexero-vr/nexero/internal/event"
)

// onTarget is how far the head may point aside while the eyes rest on a thing,
// in degrees.
const onTarget = 14

// turn moves the head for a time in seconds, as far as a neck can.
func (v *visitor) turn(seconds float64) {
	yaw, pitch := v.drift, -6.0
	switch {
	case v.thing != nothing:
		yaw, pitch = v.bearing(v.thing)
	case len(v.way) > 0:
		yaw = v.heading()
	}
	// Heads slow down before they arrive.
	const eager = 6
	share := min(eager*seconds, 1)
	v.yaw = wrap(v.yaw + bounded(wrap(yaw-v.yaw)*share, v.nimble*seconds) + (v.rand.Float64()-0.5)*0.4*share)
	v.pitch += bounded((pitch-v.pitch)*share, upDown*seconds)
	v.roll = v.roll*0.9 + (v.rand.Float64()-0.5)*0.3
}

// bearing returns the direction of a thing from the eyes, in degrees.
func (v *visitor) bearing(thing int) (yaw, pitch float64) {
	t := &v.plan.Things[thing]
	dx, dy := t.At.X-v.at.X, t.At.Y-v.at.Y
	height := float64(v.plan.Rooms[t.Room].Level)*levelHeight + t.Height - v.floor - v.eyes
	yaw = math.Atan2(dy, dx) * 180 / math.Pi
	// Nobody bends the neck further than this to see what lies at the feet.
	return yaw, bounded(math.Atan2(height, math.Hypot(dx, dy))*180/math.Pi, 60)
}

// see notices whether the eyes rest on the thing that draws them.
func (v *visitor) see(at int64) {
	if v.thing == nothing {
		return
	}
	yaw, pitch := v.bearing(v.thing)
	if math.Hypot(wrap(yaw-v.yaw), pitch-v.pitch) > onTarget {
		v.blink(at)
		return
	}
	if v.lookedFrom == never {
		v.lookedFrom = at
		v.seen[v.thing]++
	}
	if v.app.client.sampled {
		sample := v.gaze(at)
		sample.lasting = v.app.client.padded
		v.tell(sample)
	}
}

// blink ends the look; the thing goes on drawing the eyes.
func (v *visitor) blink(at int64) {
	// A glance is not reported.
	const shortest = 100
	if from := v.lookedFrom; from != never && !v.app.client.sampled && at-from >= shortest {
		look := v.gaze(from)
		look.lasting, look.lengthMS = true, at-from
		v.tell(look)
	}
	v.lookedFrom = never
}

// gaze is a look at the thing that draws the eyes.
func (v *visitor) gaze(at int64) *moment {
	m := v.here(event.Gaze, at)
	m.target = v.plan.Things[v.thing].Name
	return m
}

// lookAway ends the look and forgets the thing.
func (v *visitor) lookAway(at int64) {
	if v.thing != nothing {
		v.blink(at)
		v.thing = nothing
		v.drift = v.yaw
	}
}

// study goes near a thing, looks at it and, perhaps, touches it.
func (v *visitor) study(thing int) bool {
	t := &v.plan.Things[thing]
	if v.at.distance(t.At) > t.Radius+160 || chance(v.rand, 0.3) {
		if !v.walkTo(v.room, v.beside(t)) {
			return false
		}
	}
	v.thing = thing
	length := span(v.rand, 2600*math.Sqrt(t.Interest), 700, 15_000)
	if !v.pause(length) {
		return false
	}
	if len(t.Touches) > 0 && chance(v.rand, v.handy) && !v.touch(t) {
		return false
	}
	v.lookAway(v.now)
	return v.pause(200 + v.rand.Int64N(1200))
}

// beside chooses where to stand for a good look at a thing.
func (v *visitor) beside(t *Thing) Spot {
	room := &v.plan.Rooms[t.Room]
	for try := range 12 {
		// From further away when there is no room nearby.
		angle, away := v.rand.Float64()*2*math.Pi, t.Radius+45+v.rand.Float64()*float64(60+20*try)
		spot := t.At.plus(math.Cos(angle)*away, math.Sin(angle)*away)
		if room.Contains(spot, personal) && !v.plan.taken(t.Room, spot) {
			return spot
		}
	}
	return v.spot(t.Room)
}

// touch does one or several of the things that can be done to an object.
func (v *visitor) touch(t *Thing) bool {
	for times := 1 + v.rand.IntN(2); times > 0; times-- {
		touch := t.Touches[v.rand.IntN(len(t.Touches))]
		m := v.here(touch.Type, v.now)
		m.object, m.action = t.Name, touch.Action
		if touch.Type == event.FeatureSelect {
			m.extra, m.extraValue = "option", options()[v.rand.IntN(len(options()))]
		}
		v.tell(m)
		if !v.pause(600 + v.rand.Int64N(2000)) {
			return false
		}
	}
	return true
}

// options are what a feature can be set to, as JSON.
func options() []string { return []string{`"oak"`, `"walnut"`, `"white"`, `"anthracite"`, `"marble"`} }

// bounded limits a value on both sides of 0.
func bounded(value, limit float64) float64 { return min(max(value, -limit), limit) }

// wrap brings an angle into -180 up to 180 degrees, as Unreal writes it.
func wrap(angle float64) float64 {
	switch {
	case angle > 180:
		return angle - 360
	case angle <= -180:
		return angle + 360
	default:
		return angle
	}
}
