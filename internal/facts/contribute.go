package facts

import (
	"slices"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// What makes a session count, and a visit not, in milliseconds.
const (
	engagedFrom    = 180_000
	highIntentFrom = 600_000
	passThrough    = 1000
)

// Property is what contributions need to know of a property. The zero value is
// a property of which nothing is known.
type Property struct {
	// Zone is its time zone, UTC when nil.
	Zone *time.Location
	// OriginX and OriginY, in centimetres of the Unreal world, are where its
	// floor plan begins. Cells are counted from the cell in which that lies;
	// what remains, less than a cell, matters for drawing only.
	OriginX, OriginY float32
}

// zone returns the time zone in which the property's days begin.
func (p Property) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// contributor collects the rows of one session.
type contributor struct {
	property string
	zone     *time.Location
	rows     []*Row
}

// Contributions returns what the session adds to the aggregates.
//
// A visit counts on the day on which it began, the session on the day on which
// it started, everything else on the day, or in the hour, in which it was.
func (f *Facts) Contributions(p Property) Contributions {
	c := &contributor{property: f.PropertyID, zone: p.zone()}
	c.visits(f)
	c.transitions(f.Visits)
	c.looks(f.Looks)
	c.interactions(f.Interactions)
	c.counts(f.Counts)
	c.session(f)
	rows := c.merged()
	// The heat map is made in order, so it is put where it belongs instead of
	// being sorted with the rest.
	heat := c.heat(f.Cells, originCell(p.OriginX), originCell(p.OriginY))
	behind := slices.IndexFunc(rows, func(r Row) bool { return r.Table > FloorHeatmapDaily })
	if behind < 0 {
		behind = len(rows)
	}
	return slices.Concat(rows[:behind], heat, rows[behind:])
}

// merged returns one row for each key, in order, with what was collected for it.
func (c *contributor) merged() Contributions {
	slices.SortFunc(c.rows, func(a, b *Row) int { return a.Compare(&b.Key) })
	rows := make(Contributions, 0, len(c.rows))
	for _, r := range c.rows {
		last := len(rows) - 1
		if last < 0 || rows[last].Key != r.Key {
			rows = append(rows, *r)
			continue
		}
		rows[last] = rows[last].plus(r, 1)
		rows[last].Refs = 1 // one session, however often it was here
	}
	return rows
}

// originCell returns the cell in which an origin lies; an impossible origin is
// none.
func originCell(cm float32) int32 {
	if !onFloor(cm) {
		return 0
	}
	return cellOf(cm)
}

// row returns a row to add to what key has.
func (c *contributor) row(key Key) *Row {
	key.Property = c.property
	r := &Row{Key: key, Refs: 1, Sums: make([]int64, len(tables[key.Table].Sums))}
	c.rows = append(c.rows, r)
	return r
}

// length counts the one length that r brings.
func (r *Row) length(ms int64) { r.Bins = []Bin{{BinOf(ms), 1}} }

func (c *contributor) zoneRow(v *Visit) *Row {
	return c.row(Key{Table: ZonesDaily, Day: localDay(v.Entered, c.zone), Zone: v.Zone})
}

func (c *contributor) visits(f *Facts) {
	seen := make(map[string]int)
	exit := -1
	for i := range f.Visits {
		v := &f.Visits[i]
		r := c.zoneRow(v)
		r.Sums[zoneVisits]++
		r.Sums[zoneDwellMS] += v.DwellMS
		r.length(v.DwellMS)
		if v.Left-v.Entered < event.Micros(passThrough*1000) {
			r.Sums[zonePassThroughs]++
		}
		if seen[v.Zone]++; seen[v.Zone] == 2 {
			r.Sums[zoneRevisits]++
		}
		if exit < 0 || v.Left >= f.Visits[exit].Left {
			exit = i
		}
	}
	if exit < 0 {
		return
	}
	entered := c.zoneRow(&f.Visits[0])
	entered.Sums[zoneEntries]++
	if f.Zones == 1 {
		entered.Sums[zoneBounces]++
	}
	c.zoneRow(&f.Visits[exit]).Sums[zoneExits]++
}

// transitions counts the ways from zone to zone, with "" for the session's
// start and end. A transition belongs to the day on which the zone it leads to
// was entered; the one to the end, to the last visit's day.
func (c *contributor) transitions(visits []Visit) {
	from := ""
	for i := range visits {
		day := localDay(visits[i].Entered, c.zone)
		if to := visits[i].Zone; to != from {
			c.row(Key{Table: ZoneTransitionsDaily, Day: day, Zone: from, Object: to}).Sums[0]++
			from = to
		}
		if i == len(visits)-1 {
			c.row(Key{Table: ZoneTransitionsDaily, Day: day, Zone: from}).Sums[0]++
		}
	}
}

func (c *contributor) looks(looks []Look) {
	for i := range looks {
		look := &looks[i]
		r := c.row(Key{Table: GazeTargetsDaily, Day: localDay(look.Quarter, c.zone), Zone: look.Zone, Object: look.Target})
		r.Sums[gazeLooks] += look.Looks
		r.Sums[gazeLookMS] += look.LookMS
		r.Sums[gazeFixations] += look.Fixations
		r.Sums[gazeFixationMS] += look.FixationMS
		if look.First {
			r.Sums[gazeFirstLooks]++
			r.Sums[gazeFirstLookMS] += look.FirstLookMS
			r.length(look.FirstLookMS)
		}
	}
}

func (c *contributor) interactions(interactions []Interaction) {
	for i := range interactions {
		done := &interactions[i]
		c.row(Key{
			Table: InteractionsDaily, Day: localDay(done.Quarter, c.zone),
			Zone: done.Zone, Object: done.Object, Kind: done.Kind,
		}).Sums[0] += done.Times
	}
}

func (c *contributor) counts(counts []Count) {
	for _, count := range counts {
		c.row(Key{Table: EventsHourly, Hour: localHour(count.Quarter, c.zone), Type: count.Type}).Sums[0] += count.Events
	}
}

func (c *contributor) session(f *Facts) {
	if f.Empty {
		return
	}
	r := c.row(Key{Table: PropertiesDaily, Day: localDay(f.Start, c.zone)})
	r.Sums[propertyDurationMS] = f.DurationMS
	r.Sums[propertyActiveMS] = f.ActiveMS
	r.Sums[propertyEngaged] = int64(bit(f.DurationMS >= engagedFrom))
	r.Sums[propertyHighIntent] = int64(bit(f.DurationMS >= highIntentFrom))
	r.Sums[propertyEvents] = f.Events
	r.Sums[propertyOverLimit] = f.OverLimit
	r.length(f.DurationMS)
}

// heat returns the rows of the heat map in order. cells are sorted by level, x,
// y and quarter, so for each day the rows come in order, and the quarters of one
// day are neighbours.
func (c *contributor) heat(cells []Cell, originX, originY int32) Contributions {
	if len(cells) == 0 {
		return nil
	}
	days := make(map[event.Micros]int32)
	for i := range cells {
		if _, known := days[cells[i].Quarter]; !known {
			days[cells[i].Quarter] = localDay(cells[i].Quarter, c.zone)
		}
	}
	each := make(map[int32]int)
	for i := range cells {
		each[days[cells[i].Quarter]]++
	}
	byDay := make(map[int32]Contributions, len(each))
	sums := make([]int64, len(cells))
	for i := range cells {
		cell := &cells[i]
		day := days[cell.Quarter]
		rows := byDay[day]
		key := Key{
			Table: FloorHeatmapDaily, Property: c.property, Day: day,
			Level: cell.Level, X: cell.X - originX, Y: cell.Y - originY,
		}
		if n := len(rows); n > 0 && rows[n-1].Level == key.Level && rows[n-1].X == key.X && rows[n-1].Y == key.Y {
			rows[n-1].Sums[0] += cell.MS
			continue
		}
		if rows == nil {
			rows = make(Contributions, 0, each[day])
		}
		sums[i] = cell.MS
		byDay[day] = append(rows, Row{Key: key, Refs: 1, Sums: sums[i : i+1 : i+1]})
	}
	var all Contributions
	for _, rows := range inOrder(byDay, func(a, b int32) int { return int(a - b) }) {
		all = append(all, rows...)
	}
	return all
}
