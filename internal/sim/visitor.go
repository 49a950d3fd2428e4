package sim

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/nexero-vr/nexero/internal/event"
)

// visitor is a person during one tour.
type visitor struct {
	rand *rand.Rand
	plan *layout
	app  *app

	// What kind of person it is. pace is in cm/s, eyes the height above the floor
	// in cm, nimble the fastest turn of the head in degrees a second; the others
	// are probabilities.
	pace, eyes, nimble            float64
	curious, handy, jumpy, sleepy float64
	leaves                        int64 // when it has seen enough
	interval                      int64 // between head poses, ms

	// Where it is and looks. floor is the height under its feet.
	now              int64
	room             int
	at               Spot
	floor            float64
	pitch, yaw, roll float64
	drift            float64 // where the eyes wander when nothing draws them, degrees

	// way is where it walks; piece and climb describe its first piece.
	way          []waypoint
	piece, climb float64

	// thing is what draws the eyes, nothing without one, and lookedFrom when they
	// came to rest on it, never before.
	thing      int
	lookedFrom int64
	beat       int64 // of the last heartbeat
	visits     []int // by room
	seen       []int // by thing
}

const (
	nothing = -1
	never   = -1
	// levelHeight is from floor to floor, in centimetres.
	levelHeight = 300
	// slowest and quickest bound how people walk in headsets, in cm/s.
	slowest, quickest = 60, 140
	// quickestTurn bounds how they turn their heads, in degrees a second;
	// upDown is that of nodding.
	quickestTurn, upDown = 220, 90
	beatMS               = 30_000
)

// newVisitor puts a person into the plan's first room. length is how long it
// stays, in milliseconds.
func newVisitor(r *rand.Rand, plan *layout, at, length int64, rate int) *visitor {
	v := &visitor{
		rand: r, plan: plan, now: at, beat: at, leaves: at + length, interval: int64(1000 / rate),
		pace: slowest + r.Float64()*(quickest-slowest), eyes: 150 + r.Float64()*32, nimble: 110 + r.Float64()*(quickestTurn-110),
		curious: 0.4 + r.Float64()*0.6, handy: r.Float64() * 0.7, sleepy: 0.04 * r.Float64(),
		room: plan.Entry, at: plan.EntryAt, yaw: r.Float64()*360 - 180, thing: nothing, lookedFrom: never,
		visits: make([]int, len(plan.Rooms)), seen: make([]int, len(plan.Things)),
	}
	if chance(r, 0.4) {
		v.jumpy = 0.5 * r.Float64()
	}
	v.floor = float64(plan.Rooms[v.room].Level) * levelHeight
	return v
}

// tour lives the whole visit through a.
func (v *visitor) tour(a *app) {
	v.app = a
	v.tell(&moment{kind: event.SessionStart, at: v.now})
	v.tell(v.mark(event.ZoneEnter, v.now+1, v.room))
	v.visits[v.room]++
	on := v.pause(1000 + v.rand.Int64N(3000))
	for on {
		room := v.wish()
		if chance(v.rand, v.jumpy) {
			on = v.jump(room)
		} else {
			on = v.walkTo(room, v.spot(room))
		}
		on = on && v.visit()
	}
	v.lookAway(v.now)
	// Later than whatever happened in the last tick.
	v.tell(v.mark(event.ZoneExit, v.now+3, v.room))
	v.tell(&moment{kind: event.SessionEnd, at: v.now + 4})
}

// tell passes a moment on, in Unreal's world.
func (v *visitor) tell(m *moment) { v.app.note(m) }

func (v *visitor) mark(kind event.Type, at int64, room int) *moment {
	return &moment{kind: kind, at: at, zone: v.plan.Rooms[room].Zone, level: v.plan.Rooms[room].Level}
}

// here is a moment of a kind where the visitor is.
func (v *visitor) here(kind event.Type, at int64) *moment { return v.mark(kind, at, v.room) }

// place adds where the head is.
func (v *visitor) place(m *moment) *moment {
	m.placed = true
	m.x, m.y, m.z = v.plan.OriginX+v.at.X, v.plan.OriginY+v.at.Y, v.floor+v.eyes
	return m
}

// tick lets the time from one head pose to the next pass and reports whether the
// tour goes on.
func (v *visitor) tick() bool {
	jitter := v.interval / 20
	step := v.interval + v.rand.Int64N(2*jitter+1) - jitter
	until := v.now + step
	v.move(until)
	v.turn(float64(step) / 1000)
	v.see(until)
	v.now = until
	pose := v.place(v.here(event.Pose, until))
	pose.z += v.bob()
	pose.turned, pose.pitch, pose.yaw, pose.roll = true, v.pitch, v.yaw, v.roll
	v.tell(pose)
	if v.now-v.beat >= beatMS {
		v.beat = v.now
		beat := v.here(event.Heartbeat, v.now)
		beat.extra, beat.extraValue = "fps_avg", strconv.Itoa(68+v.rand.IntN(5))
		v.tell(beat)
	}
	return v.app.advance(v.now) && v.now < v.leaves
}

// bob is how the head goes up and down: with each step, and with each breath.
func (v *visitor) bob() float64 {
	if len(v.way) > 0 {
		return 2.2 * math.Sin(float64(v.now)/1000*2*math.Pi*1.8)
	}
	return 0.4 * math.Sin(float64(v.now)/1000*2*math.Pi*0.25)
}

// pause stands and looks around.
func (v *visitor) pause(length int64) bool {
	until := min(v.now+length, v.leaves)
	for v.now < until {
		if v.thing == nothing && chance(v.rand, 0.02) {
			v.drift = v.yaw + v.rand.Float64()*120 - 60
		}
		if !v.tick() {
			return false
		}
	}
	return true
}

// wish chooses the next room: one that is interesting, near and new.
func (v *visitor) wish() int {
	weights := make([]float64, len(v.plan.Rooms))
	for i := range weights {
		if i != v.room {
			weights[i] = v.plan.Rooms[i].Interest * math.Pow(0.3, float64(v.visits[i])) / float64(v.plan.hops[v.room][i])
		}
	}
	if chosen := choice(v.rand, weights); chosen != nothing {
		return chosen
	}
	return v.room
}

// spot chooses where to stand in a room.
func (v *visitor) spot(room int) Spot {
	r := &v.plan.Rooms[room]
	spot := r.middle()
	for range 8 {
		spot = Spot{
			r.Min.X + personal + v.rand.Float64()*(r.Max.X-r.Min.X-2*personal),
			r.Min.Y + personal + v.rand.Float64()*(r.Max.Y-r.Min.Y-2*personal),
		}
		if !v.plan.taken(room, spot) {
			break
		}
	}
	return spot
}

// visit looks around in the room.
func (v *visitor) visit() bool {
	v.visits[v.room]++
	for stops := 1 + v.rand.IntN(3+int(5*v.curious)); stops > 0; stops-- {
		thing := v.pick()
		if thing == nothing {
			return v.pause(1000 + v.rand.Int64N(3000))
		}
		if !v.study(thing) {
			return false
		}
		if chance(v.rand, v.sleepy) && !v.takeOff() {
			return false
		}
	}
	return true
}

// pick chooses something to look at: what is interesting and new.
func (v *visitor) pick() int {
	near := v.plan.things[v.room]
	weights := make([]float64, len(near))
	for i, thing := range near {
		weights[i] = v.plan.Things[thing].Interest * math.Pow(0.35, float64(v.seen[thing]))
	}
	chosen := choice(v.rand, weights)
	if chosen == nothing {
		return nothing
	}
	return near[chosen]
}

// choice returns an index with a probability that is its share of the weights,
// or nothing when there are none.
func choice(r *rand.Rand, weights []float64) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	if sum <= 0 {
		return nothing
	}
	at := r.Float64() * sum
	for i, w := range weights {
		if at -= w; at < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// span draws a length of time that is usually about median and sometimes much
// longer, as human times are, in milliseconds.
func span(r *rand.Rand, median, shortest, longest float64) int64 {
	return int64(min(max(median*math.Exp(r.NormFloat64()*0.7), shortest), longest))
}
