package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/sim"
)

// show prints what analysts read.
func (d *demo) show(o *postgres.Overview) {
	d.days(o.Days)
	if o.Busiest == nil {
		return
	}
	busiest := o.Busiest
	where := name(busiest.Name, busiest.Property) + " on " + busiest.Day.Format("2 January")
	d.zones(where, o.Zones)
	d.targets(where, o.Targets)
	d.objects(where, o.Objects)
	if len(o.Cells) == 0 {
		return
	}
	d.title(fmt.Sprintf("Level %d of %s", o.Level, where), "floor_heatmap_daily")
	f := newFloor(o.Cells, roomsOf(busiest.Property, o.Level))
	d.block(f.draw(d.look))
}

// title names what follows and the view that it is read from.
func (d *demo) title(title, view string) {
	d.line("\n%s  %s\n\n", d.look.bold(title), d.look.faint("analytics."+view))
}

// block prints lines a little indented.
func (d *demo) block(lines string) {
	for line := range strings.Lines(lines + "\n") {
		d.line("  %s\n", strings.TrimRight(line, " \n"))
	}
}

// table prints a table.
func (d *demo) table(t table.Writer) {
	// The line below the header underlines the padding behind the last column too.
	d.block(strings.Replace(t.Render(), "──\n", "\n", 1))
}

func (d *demo) days(days []postgres.PropertyDay) {
	d.title("Tours a day", "properties_daily")
	t := newTable("property", "day", "tours", "visitors", "returned", "median", "3 min+", "events")
	for i := range days {
		day := &days[i]
		t.AppendRow(table.Row{
			fit(narrow, day.Name, day.Property), day.Day.Format("2 Jan"), number(day.Sessions), number(day.Customers), number(day.RepeatVisitors),
			length(day.DurationP50), number(day.Engaged), number(day.Events),
		})
	}
	d.table(t)
}

func (d *demo) zones(where string, zones []postgres.ZoneDay) {
	d.title("Rooms of "+where, "zones_daily")
	t := newTable("zone", "visits", "tours", "median stay", "9 of 10 under", "last room")
	for i := range zones {
		zone := &zones[i]
		t.AppendRow(table.Row{
			fit(narrow, zone.Zone), number(zone.Visits), number(zone.Sessions), length(zone.DwellP50), length(zone.DwellP90),
			number(zone.Exits),
		})
	}
	d.table(t)
}

func (d *demo) targets(where string, targets []postgres.TargetDay) {
	d.title("Looked at most in "+where, "gaze_targets_daily")
	t := newTable("target", "seen from", "looks", "tours", "total", "first look after")
	for i := range targets {
		target := &targets[i]
		t.AppendRow(table.Row{
			fit(narrow, target.Target), fit(narrow, target.Zone), number(target.Looks), number(target.Sessions), length(target.Time), length(target.FirstLook),
		})
	}
	d.table(t)
}

func (d *demo) objects(where string, objects []postgres.ObjectDay) {
	d.title("Touched most in "+where, "interactions_daily")
	t := newTable("object", "what was done", "in", "times", "tours")
	for i := range objects {
		object := &objects[i]
		t.AppendRow(table.Row{
			fit(narrow, object.Object), fit(wide, object.Kind), fit(narrow, object.Zone), number(object.Times), number(object.Sessions),
		})
	}
	d.table(t)
}

// Widths of names with which tables stay within 80 columns, whatever clients
// call things.
const narrow, wide = 18, 24

// fit returns the first of names that says something, cut to a width.
func fit(width int, names ...string) string { return text.Snip(name(names...), width, "…") }

// newTable returns a table whose numbers stand at the right.
func newTable(header ...string) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{SeparateHeader: true}
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	row := make(table.Row, len(header))
	for i, title := range header {
		row[i] = title
	}
	t.AppendHeader(row)
	return t
}

// number is an integer as a cell; cells that are no strings stand at the right.
type number int64

// String has the thousands apart.
func (n number) String() string { return count(int(n)) }

// name returns the first of names that says something, fit to be printed: they
// come from clients and may hold anything.
func name(names ...string) string {
	for _, name := range names {
		if name != "" {
			return strings.Map(func(r rune) rune {
				if !unicode.IsPrint(r) {
					return '·'
				}
				return r
			}, name)
		}
	}
	return "(not said)"
}

// length is a duration for people.
type length time.Duration

// String has two units at most.
func (l length) String() string {
	tenths, d := time.Duration(l).Round(time.Second/10), time.Duration(l).Round(time.Second)
	switch {
	case l == 0:
		return "-"
	case tenths < time.Minute:
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// roomsOf returns the rooms of a property's level, as far as its plan is known.
func roomsOf(property string, level int16) []sim.Room {
	var rooms []sim.Room
	for _, plan := range sim.Plans() {
		for i := range plan.Rooms {
			if plan.PropertyID == property && plan.Rooms[i].Level == level {
				rooms = append(rooms, plan.Rooms[i])
			}
		}
	}
	return rooms
}
