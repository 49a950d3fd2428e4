package facts

import (
	"cmp"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Table is an aggregate table. Tables are locked in the order of their numbers,
// which are stored and never change their meaning.
type Table uint8

// The aggregate tables.
const (
	ZonesDaily Table = iota + 1
	ZoneTransitionsDaily
	GazeTargetsDaily
	InteractionsDaily
	FloorHeatmapDaily
	EventsHourly
	PropertiesDaily
	CustomersDaily // of customers; all others are of sessions

	tableEnd // keep last
)

// Columns says how a table stores a [Row] beside tenant and generation.
type Columns struct {
	// Table is the name of the table.
	Table string
	// Key are the columns of Row.Key, in the order of [Key.Compare].
	Key []KeyColumn
	// Sums are the columns of Row.Sums. All are bigint.
	Sums []string
	// Bins is the column of Row.Bins, an array of BinCount bigints whose first
	// element is bin 0, or "".
	Bins string
}

// KeyColumn is a field of [Key] that a table has.
type KeyColumn uint8

// The key columns with what they are in SQL.
const (
	KeyProperty KeyColumn = iota + 1 // text, '' while unknown
	KeyDay                           // date, stored in Key as days since 1970-01-01
	KeyHour                          // timestamptz, stored in Key as seconds since 1970
	KeyZone                          // text, '' outside all zones
	KeyObject                        // text
	KeyKind                          // text
	KeyLevel                         // smallint
	KeyX                             // integer
	KeyY                             // integer
	KeyType                          // smallint, as in nexero.event_types
)

// tables describes each table; the index is the Table.
var tables = [tableEnd]Columns{ //nolint:gochecknoglobals // a table that never changes
	ZonesDaily: {
		"zones_daily",
		[]KeyColumn{KeyProperty, KeyDay, KeyZone},
		[]string{"visits", "dwell_ms", "pass_throughs", "revisits", "entries", "exits", "bounces"},
		"dwell_bins",
	},
	ZoneTransitionsDaily: {
		"zone_transitions_daily",
		[]KeyColumn{KeyProperty, KeyDay, KeyZone, KeyObject},
		[]string{"transitions"},
		"",
	},
	GazeTargetsDaily: {
		"gaze_targets_daily",
		[]KeyColumn{KeyProperty, KeyDay, KeyZone, KeyObject},
		[]string{"looks", "look_ms", "fixations", "fixation_ms", "first_looks", "first_look_ms"},
		"first_look_bins",
	},
	InteractionsDaily: {
		"interactions_daily",
		[]KeyColumn{KeyProperty, KeyDay, KeyZone, KeyObject, KeyKind},
		[]string{"interactions"},
		"",
	},
	FloorHeatmapDaily: {
		"floor_heatmap_daily",
		[]KeyColumn{KeyProperty, KeyDay, KeyLevel, KeyX, KeyY},
		[]string{"heat_ms"},
		"",
	},
	EventsHourly: {
		"events_hourly",
		[]KeyColumn{KeyProperty, KeyHour, KeyType},
		[]string{"events"},
		"",
	},
	PropertiesDaily: {
		"properties_daily",
		[]KeyColumn{KeyProperty, KeyDay},
		[]string{"duration_ms", "active_ms", "engaged", "high_intent", "events", "over_limit"},
		"duration_bins",
	},
	CustomersDaily: {
		"customers_daily",
		[]KeyColumn{KeyProperty, KeyDay},
		[]string{"repeat_visitors"},
		"",
	},
}

// Positions in Row.Sums.
const (
	zoneVisits = iota
	zoneDwellMS
	zonePassThroughs
	zoneRevisits
	zoneEntries
	zoneExits
	zoneBounces
)

const (
	gazeLooks = iota
	gazeLookMS
	gazeFixations
	gazeFixationMS
	gazeFirstLooks
	gazeFirstLookMS
)

const (
	propertyDurationMS = iota
	propertyActiveMS
	propertyEngaged
	propertyHighIntent
	propertyEvents
	propertyOverLimit
)

// Valid reports whether t is one of the tables above.
func (t Table) Valid() bool { return t > 0 && t < tableEnd }

// Columns returns the layout of t, which must be valid. The slices are the
// package's own: do not change them.
func (t Table) Columns() Columns { return tables[t] }

// String returns the table's name.
func (t Table) String() string {
	if !t.Valid() {
		return "unknown"
	}
	return tables[t].Table
}

// Tables returns every table in the order of its number.
func Tables() []Table {
	all := make([]Table, 0, tableEnd-1)
	for t := ZonesDaily; t < tableEnd; t++ {
		all = append(all, t)
	}
	return all
}

// Key names one row of one table within a tenant and a generation. Fields that
// the table has no column for are zero.
type Key struct {
	Table Table
	// Property is the session's property, "" while unknown.
	Property string
	// Day is a date in the property's time zone, in days since 1970-01-01.
	Day int32
	// Hour is the instant, in seconds since 1970, at which an hour of the
	// property's clock began.
	Hour int64
	// Zone is the zone; of a transition the one it leads from, "" for the start.
	Zone string
	// Object is the object of an interaction, the target of a look, the zone
	// that a transition leads to, "" for the end.
	Object string
	// Kind is the kind of an interaction.
	Kind string
	// Level, X and Y are a floor cell.
	Level int16
	X, Y  int32
	// Type is an event type.
	Type event.Type
}

// Compare orders keys: the order in which rows are stored and locked.
func (k *Key) Compare(other *Key) int {
	if order := cmp.Or(
		cmp.Compare(k.Table, other.Table), cmp.Compare(k.Property, other.Property),
		cmp.Compare(k.Day, other.Day), cmp.Compare(k.Hour, other.Hour),
	); order != 0 {
		return order
	}
	// The heat map has nearly all rows, and no text.
	if order := cmp.Or(cmp.Compare(k.Level, other.Level), cmp.Compare(k.X, other.X), cmp.Compare(k.Y, other.Y)); order != 0 {
		return order
	}
	return cmp.Or(
		cmp.Compare(k.Zone, other.Zone), cmp.Compare(k.Object, other.Object), cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(k.Type, other.Type),
	)
}

// Bin is how many lengths are in one bin.
type Bin struct {
	Bin   int
	Count int64
}

// Row is what is added to one aggregate row.
type Row struct {
	Key
	// Refs counts sessions, or customers in CustomersDaily: 1 in what one of them
	// contributes. A row of the table is deleted when its refs reach 0.
	Refs int64
	// Sums has one number for each of the table's sum columns.
	Sums []int64
	// Bins are the bins that are not 0, ascending.
	Bins []Bin
}

// Counts returns the row's bins as the table stores them: BinCount numbers, the
// first of which is bin 0.
func (r *Row) Counts() []int64 {
	counts := make([]int64, BinCount)
	for _, bin := range r.Bins {
		counts[bin.Bin] = bin.Count
	}
	return counts
}

// Contributions is a list of rows with ascending keys, none of them all zeros:
// what a session or a customer contributes, or a difference of such lists. A list is never
// changed after it was made; lists share rows.
type Contributions []Row

// Add returns a + b, row by row: what several of them contribute together.
func Add(a, b Contributions) Contributions { return combine(a, b, 1) }

// Difference returns new - old: what has to be added to the aggregates when a
// session that contributed old contributes new. A session that is removed has
// no new ones, one that is new no old ones.
func Difference(newer, older Contributions) Contributions { return combine(newer, older, -1) }

// combine returns a + sign * b, without the rows that come to nothing.
func combine(a, b Contributions, sign int64) Contributions {
	var result Contributions
	for len(a) > 0 || len(b) > 0 {
		order := -1
		switch {
		case len(a) == 0:
			order = 1
		case len(b) > 0:
			order = a[0].Compare(&b[0].Key)
		}
		switch {
		case order < 0:
			result, a = append(result, a[0]), a[1:]
		case order > 0:
			result, b = append(result, b[0].times(sign)), b[1:]
		default:
			if !a[0].cancels(&b[0], sign) {
				result = append(result, a[0].plus(&b[0], sign))
			}
			a, b = a[1:], b[1:]
		}
	}
	return result
}

// times returns sign times r.
func (r *Row) times(sign int64) Row {
	if sign == 1 {
		return *r
	}
	zero := Row{Key: r.Key, Sums: make([]int64, len(r.Sums))}
	return zero.plus(r, sign)
}

// cancels reports whether r + sign * other is all zeros.
func (r *Row) cancels(other *Row, sign int64) bool {
	if r.Refs+sign*other.Refs != 0 || len(r.Bins) != len(other.Bins) {
		return false
	}
	for i, sum := range r.Sums {
		if sum+sign*other.Sums[i] != 0 {
			return false
		}
	}
	for i, bin := range r.Bins {
		if bin.Bin != other.Bins[i].Bin || bin.Count+sign*other.Bins[i].Count != 0 {
			return false
		}
	}
	return true
}

// plus returns r + sign * other, which have the same key.
func (r *Row) plus(other *Row, sign int64) Row {
	sum := Row{Key: r.Key, Refs: r.Refs + sign*other.Refs, Sums: slices.Clone(r.Sums)}
	for i, v := range other.Sums {
		sum.Sums[i] += sign * v
	}
	left, right := r.Bins, other.Bins
	for len(left) > 0 || len(right) > 0 {
		var bin Bin
		switch {
		case len(right) == 0 || len(left) > 0 && left[0].Bin < right[0].Bin:
			bin, left = left[0], left[1:]
		case len(left) == 0 || right[0].Bin < left[0].Bin:
			bin, right = Bin{right[0].Bin, sign * right[0].Count}, right[1:]
		default:
			bin, left, right = Bin{left[0].Bin, left[0].Count + sign*right[0].Count}, left[1:], right[1:]
		}
		if bin.Count != 0 {
			sum.Bins = append(sum.Bins, bin)
		}
	}
	return sum
}
