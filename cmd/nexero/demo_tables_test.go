package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/sim"
)

func TestLength(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ms   int64
		want string
	}{
		{0, "-"},
		{50, "0.1s"},
		{59_900, "59.9s"},
		{59_990, "1m00s"},
		{60_000, "1m00s"},
		{191_499, "3m11s"},
		{191_500, "3m12s"},
		{3_599_600, "1h00m"},
		{3_600_000, "1h00m"},
		{7_384_000, "2h03m"},
	} {
		if got := length(time.Duration(test.ms) * time.Millisecond).String(); got != test.want {
			t.Errorf("%d ms are %q, want %q", test.ms, got, test.want)
		}
	}
}

// What clients call things is printed on somebody's terminal.
func TestName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"", "küche"}, "küche"},
		{[]string{"Maple Court", "maple"}, "Maple Court"},
		{[]string{"a\x1b[2Jb\nc\u202e"}, "a·[2Jb·c·"},
		{[]string{""}, "(not said)"},
	} {
		if got := name(test.names...); got != test.want {
			t.Errorf("%q is printed as %q, want %q", test.names, got, test.want)
		}
	}
}

// Whatever clients call things, lines fit a narrow terminal.
func TestTables_Fit(t *testing.T) {
	t.Parallel()
	long, many := strings.Repeat("w\u00fc", 200), int64(9_999)
	var printed strings.Builder
	d := demo{printer: &printer{w: &printed}}
	days := []postgres.PropertyDay{{
		Property: long, Name: long, Day: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC),
		Sessions: many, Customers: many, RepeatVisitors: many, DurationP50: 23 * time.Hour, Engaged: many, Events: 999_999,
	}}
	d.show(&postgres.Overview{
		Days: days, Busiest: &postgres.PropertyDay{Property: "loft", Day: days[0].Day},
		Zones:   []postgres.ZoneDay{{Zone: long, Visits: many, Sessions: many, DwellP50: time.Hour, DwellP90: time.Hour, Exits: many}},
		Targets: []postgres.TargetDay{{Target: long, Zone: long, Looks: many, Sessions: many, Time: time.Hour, FirstLook: time.Hour}},
		Objects: []postgres.ObjectDay{{Object: long, Kind: long, Zone: long, Times: many, Sessions: many}},
		Cells:   []postgres.FloorCell{{X: 0, Y: 0, Time: time.Second}, {X: 9000, Y: 300, Time: time.Second}},
	})
	for line := range strings.Lines(printed.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, view := range []string{"properties", "zones", "gaze_targets", "interactions", "floor_heatmap"} {
		if !strings.Contains(printed.String(), "analytics."+view+"_daily") {
			t.Errorf("no %s in:\n%s", view, printed.String())
		}
	}
}

func TestFloor(t *testing.T) {
	t.Parallel()
	cell := func(x, y int32, seconds int) postgres.FloorCell {
		return postgres.FloorCell{X: x, Y: y, Time: time.Duration(seconds) * time.Second}
	}
	// 3 m forward, 1 m to the right, and a balcony of 0.5 m by 0.5 m ahead.
	wide := []sim.Room{
		{Zone: "big_room", Max: sim.Spot{X: 300, Y: 100}},
		{Zone: "balcony", Min: sim.Spot{X: 300, Y: 50}, Max: sim.Spot{X: 350, Y: 100}},
	}
	for _, test := range []struct {
		name  string
		cells []postgres.FloorCell
		rooms []sim.Room
		want  []string
	}{
		{
			"forward is across",
			[]postgres.FloorCell{cell(0, 0, 1), cell(11, 3, 100), cell(0, 3, 25), cell(99, 99, 500)},
			wide,
			[]string{": big room .  ", "*........ balc"},
		},
		{
			"forward is up",
			[]postgres.FloorCell{cell(0, 0, 100), cell(3, 11, 25)},
			[]sim.Room{{Zone: "hall", Max: sim.Spot{X: 100, Y: 300}}},
			[]string{"... hall ..*", "@..........."},
		},
		{"no plan", []postgres.FloorCell{cell(-2, 5, 100), cell(1, 6, 100)}, nil, []string{"@  @"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFloor(test.cells, test.rooms)
			drawing, _, _ := strings.Cut(f.draw(look{}), "\n\n")
			if diff := cmp.Diff(strings.Join(test.want, "\n"), drawing); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// In colours it is the same floor: as many columns, as many lines.
			coloured, _, _ := strings.Cut(f.draw(look{colour: true}), "\n\n")
			if strings.Count(coloured, "\n") != strings.Count(drawing, "\n") || !strings.Contains(coloured, "\x1b[38;5;") {
				t.Errorf("in colours:\n%q", coloured)
			}
		})
	}
}

// A floor of any size fits a narrow terminal, and its legend says what a square
// is then.
func TestFloor_Scales(t *testing.T) {
	t.Parallel()
	for far, want := range map[int32]string{75: "1.0s or more in a square of 25 cm", 76: "1.0s or more in a square of 50 cm"} {
		f := newFloor([]postgres.FloorCell{{Time: time.Second}, {X: far, Time: time.Second}}, nil)
		if drawing := f.draw(look{}); !strings.HasSuffix(drawing, want) {
			t.Errorf("%d cells away: %q, want %q at the end", far, drawing, want)
		}
	}
	for _, far := range []int32{1, 75, 76, 500, 40_000} {
		f := newFloor([]postgres.FloorCell{{}, {X: far, Y: far / 3, Time: time.Second}, {X: far / 2, Y: -far, Time: time.Minute}}, nil)
		if f.width > floorWidth || f.height > floorHeight || f.width < 1 || f.height < 1 {
			t.Errorf("%d cells away: %d by %d", far, f.width, f.height)
		}
		for line := range strings.Lines(f.draw(look{})) {
			if n := len([]rune(line)); n > floorWidth+1 {
				t.Errorf("%d cells away: a line of %d", far, n)
			}
		}
	}
}
