package facts

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// same fails the test when got is not want.
func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	const pose = event.Pose
	for name, c := range map[string]struct {
		tour *tour
		want string
	}{
		"each pose weighs until the next, the last nothing": {
			newTour().at(0, pose, position(0, 0)).at(100, pose, position(24.99, 0)).at(250, pose, position(25, 0)).
				at(260, pose, position(100, 100)),
			`0 0,0 250
			 0 1,0 10`,
		},
		"at most a second": {
			newTour().at(0, pose, position(0, 0)).at(5000, pose, position(0, 0)),
			"0 0,0 1000",
		},
		"cells below zero": {
			newTour().at(0, pose, position(-0.01, -25)).at(10, pose, position(-25.01, -26)).at(30, pose),
			`0 -2,-2 20
			 0 -1,-1 10`,
		},
		"two poses at one instant": {
			newTour().at(0, pose, position(0, 0), sequenced(1)).at(0, pose, position(50, 0), sequenced(2)).at(40, pose),
			"0 2,0 40",
		},
		"levels": {
			newTour().at(0, pose, position(0, 0)).at(10, pose, position(0, 0), level(-1)).at(40, pose),
			`-1 0,0 30
			 0 0,0 10`,
		},
		"a teleport": {
			newTour().at(0, pose, position(0, 0)).at(500, event.Teleport).at(600, pose, position(9000, 9000)).at(650, pose),
			`0 0,0 600
			 0 360,360 50`,
		},
		"a pose without a position ends a weight and has none": {
			newTour().at(0, pose, position(0, 0)).at(100, pose).at(900, pose, position(0, 0)).at(950, pose),
			"0 0,0 150",
		},
		"positions that are on no floor": {
			newTour().at(0, pose, position(math.MaxFloat32, 0)).at(100, pose, position(0, float32(math.NaN()))).
				at(200, pose, position(0, 0)).at(201, pose),
			"0 0,0 1",
		},
		"whole milliseconds add up": {
			newTour().steps(0, 10, 1, pose, position(0, 0), func(e *Event) { e.OccurredAt += event.Micros(e.Index) * 388 }),
			"0 0,0 13",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "cells", c.want, cellLines(c.tour.facts()))
		})
	}
}

func TestCellOf(t *testing.T) {
	t.Parallel()
	for cm, want := range map[float32]int32{
		0: 0, 24.999998: 0, 25: 1, -0.0001: -1, -25: -1, -25.000002: -2,
		8_388_607.5: 335_544, math.Nextafter32(10_000_000, 0): 399_999, 10_000_000: 400_000,
	} {
		if got := cellOf(cm); got != want {
			t.Errorf("%v cm is in cell %d, want %d", cm, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	f := newTour().at(0, event.Pose, position(1, 2), facing(179.9)).at(400, event.Pose, position(9, 9)).
		at(1100, event.Pose, position(104, -206), facing(-179.9), level(1)).at(2000, event.Pose, position(200, 0)).
		at(3000, event.Pose).facts()
	begin := event.MicrosOf(begin)
	same(t, []Point{
		{At: begin, X: 0, Y: 0, Yaw: -180, Facing: true},
		{At: begin + 1_100_000, X: 100, Y: -210, Yaw: -180, Facing: true, Level: 1},
		{At: begin + 2_000_000, X: 200, Y: 0},
	}, f.Path)
}

func TestPath_YawWraps(t *testing.T) {
	t.Parallel()
	for yaw, want := range map[float32]int16{
		0: 0, 90: 90, -90: -90, 180: -180, -180: -180, 179: 179, 190: -170, 270: -90, 360: 0, -270: 90, 540: -180,
		720.5: 0, 45: 45, 1e30: 0,
	} {
		f := newTour().at(0, event.Pose, position(0, 0), facing(yaw)).facts()
		got := f.Path[0].Yaw
		if off := (int(got) - int(want) + 540) % 360; yaw != 1e30 && (off < 179 || off > 181) || got < -180 || got >= 180 {
			t.Errorf("yaw %v is %d on the path, want %d ± 1", yaw, got, want)
		}
	}
	if f := newTour().at(0, event.Pose, position(0, 0), facing(float32(math.Inf(1)))).facts(); f.Path[0].Facing {
		t.Error("an infinite yaw is kept")
	}
}

func TestPath_IsBoundedAndForgotten(t *testing.T) { // rule 9
	t.Parallel()
	const hour = 3_600_000
	tour := newTour().steps(0, 24*hour, 1000, event.Pose, position(10, 10))
	s := tour.state()
	points := s.Facts().Path
	if len(points) > MaxPathPoints || len(points) <= MaxPathPoints/2 {
		t.Errorf("24 hours have %d points, want more than %d and at most %d", len(points), MaxPathPoints/2, MaxPathPoints)
	}
	for i := 1; i < len(points); i++ {
		if step := points[i].At - points[i-1].At; step != 128_000_000 && i != 1 {
			t.Fatalf("point %d comes after %d µs", i, step)
		}
	}
	s.ForgetPath()
	if err := s.Extend([]Event{{OccurredAt: s.mark.at + 1_000_000, Type: event.Pose, Has: event.FieldX | event.FieldY}}, nil); err != nil {
		t.Fatal(err)
	}
	if f := s.Facts(); f.Path != nil || len(f.Cells) == 0 {
		t.Errorf("after ForgetPath there are %d points and %d cells", len(f.Path), len(f.Cells))
	}
}
