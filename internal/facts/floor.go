package facts

import (
	"math"

	"github.com/nexero-vr/nexero/internal/event"
)

// CellCM is the edge of a floor cell in centimetres.
const CellCM = 25

// longestWeight is what a pose counts at most for its cell, in milliseconds.
const longestWeight = 1000

// farthestCM bounds positions that are on a floor, in centimetres: 250 km.
const farthestCM = 25_000_000

// cellKey is a cell in a quarter of an hour.
type cellKey struct {
	x, y    int32
	quarter int32
	level   int16
}

// floor sums the time spent in each cell.
type floor struct {
	cells map[cellKey]int64
	// The last pose has no weight before the next one comes. placed is set when
	// it has a position, cell.
	posed, placed bool
	at            int64
	cell          cellKey
	// recent is the weight that cell has and cells does not know of yet.
	recent int64
}

func (f *floor) flush() {
	if f.recent > 0 {
		f.cells[f.cell] += f.recent
		f.recent = 0
	}
}

// pose folds a pose: it ends the weight of the one before and begins its own.
func (s *State) pose(e *Event, at int64, quarter int32) {
	f := &s.floor
	if f.placed {
		f.recent += min(at-f.at, longestWeight)
	}
	f.posed, f.at = true, at
	if !e.placed() {
		f.flush()
		f.placed, f.cell = false, cellKey{}
		return
	}
	cell := cellKey{cellOf(e.X), cellOf(e.Y), quarter, e.level()}
	if !f.placed || cell != f.cell {
		f.flush()
		f.placed, f.cell = true, cell
	}
	if !s.pathless {
		s.path.add(e, at)
	}
}

// placed reports whether e has a position that can be on a floor.
func (e *Event) placed() bool {
	const position = event.FieldX | event.FieldY
	return e.Has&position == position && onFloor(e.X) && onFloor(e.Y)
}

// onFloor is false for NaN as well.
func onFloor(cm float32) bool { return cm >= -farthestCM && cm <= farthestCM }

// cellOf returns the cell of a coordinate. The quotient of a float32 by a small
// integer is never rounded across a whole number in float64, so this is exact.
func cellOf(cm float32) int32 { return int32(math.Floor(float64(cm) / CellCM)) }

// pathStep is the finest interval of the path, in milliseconds.
const pathStep = 1000

// pathPoint is a pose that the path keeps, in decimetres and 256ths of a turn.
type pathPoint struct {
	at    int64
	x, y  int32
	level int16
	yaw   uint8
	// facing is set when the pose had a yaw.
	facing bool
}

// path keeps the first pose of each interval of step milliseconds. When there
// are too many, the step doubles; points of the coarser grid are points of the
// finer one, so the result does not depend on when it doubled.
type path struct {
	step   int64
	points []pathPoint
	// until is where the interval of the last point ends.
	until int64
}

func (p *path) add(e *Event, at int64) {
	if len(p.points) > 0 && at < p.until {
		return
	}
	point := pathPoint{at: at, x: decimetres(e.X), y: decimetres(e.Y), level: e.level()}
	// The difference is NaN for NaN and both infinities, 0 otherwise.
	if e.Has&event.FieldYaw != 0 && e.Yaw-e.Yaw == 0 {
		point.yaw, point.facing = turn(e.Yaw), true
	}
	p.points = append(p.points, point)
	for len(p.points) > MaxPathPoints {
		p.coarsen()
	}
	p.setUntil()
}

func (p *path) setUntil() {
	if n := len(p.points); n > 0 {
		p.until = (floorDiv(p.points[n-1].at, p.step) + 1) * p.step
	}
}

func (p *path) coarsen() {
	p.step *= 2
	kept := p.points[:0]
	for _, point := range p.points {
		if n := len(kept); n == 0 || floorDiv(kept[n-1].at, p.step) != floorDiv(point.at, p.step) {
			kept = append(kept, point)
		}
	}
	p.points = kept
}

func decimetres(cm float32) int32 { return int32(math.Round(float64(cm) / 10)) }

// turn rounds a yaw to 256ths of a turn; all spellings of one direction, beyond
// ±180 degrees too, give the same.
func turn(yaw float32) uint8 {
	return uint8(int(math.Round(math.Mod(float64(yaw), 360) / (360.0 / 256))))
}
