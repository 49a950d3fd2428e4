package facts

import (
	"maps"
	"slices"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// clock keeps the shifts that the edge applied to a session's times.
type clock struct {
	// shifts counts folded events by shift; what was counted under recent is not
	// in it yet.
	shifts map[int64]int64
	recent struct{ shift, events int64 }
	// low and high bound the shifts of all events, over the limit or not.
	low, high int64
}

// bounds returns low and high as they will be after events. known says whether
// there were events before.
func (c *clock) bounds(events []Event, known bool) (low, high int64) {
	low, high = c.low, c.high
	if !known && len(events) > 0 {
		low, high = events[0].ShiftMS, events[0].ShiftMS
	}
	for i := range events {
		low, high = min(low, events[i].ShiftMS), max(high, events[i].ShiftMS)
	}
	return low, high
}

// count adds one event. Neighbours mostly share a shift.
func (c *clock) count(shift int64) {
	if shift != c.recent.shift {
		c.flush()
		c.recent.shift = shift
	}
	c.recent.events++
}

func (c *clock) flush() {
	if c.recent.events > 0 {
		c.shifts[c.recent.shift] += c.recent.events
		c.recent.events = 0
	}
}

// median returns the lower median of the shifts of the folded events.
func (c *clock) median() int64 {
	c.flush()
	total := int64(0)
	for _, events := range c.shifts {
		total += events
	}
	below := int64(0)
	for _, shift := range slices.Sorted(maps.Keys(c.shifts)) {
		below += c.shifts[shift]
		if 2*below >= total {
			return shift
		}
	}
	return 0
}

// correction returns what is added to the session's times to place them in the
// calendar, in milliseconds.
func (s *State) correction() int64 {
	if s.stepped {
		return 0
	}
	return s.clock.median()
}

// quarterHour is the resolution in which single events are kept until the
// property's time zone is known. Every zone's offset since 1972 is a multiple
// of it, so a local day or hour never begins within one.
const quarterHour = 15 * time.Minute

// quarterOf returns the quarter of an hour since 1970 in which at lies.
func quarterOf(at event.Micros) int32 {
	return int32(floorDiv(int64(at), quarterHour.Microseconds()))
}

// quarterStart is the instant at which a quarter begins.
func quarterStart(quarter int32) event.Micros {
	return event.Micros(int64(quarter) * quarterHour.Microseconds())
}

// localDay returns the date at the instant at in zone, as days since 1970-01-01.
func localDay(at event.Micros, zone *time.Location) int32 {
	_, offset := at.Time().In(zone).Zone()
	return int32(floorDiv(floorDiv(int64(at), 1e6)+int64(offset), 24*60*60))
}

// localHour returns the instant, in seconds since 1970, at which the hour of the
// clock in zone began that shows the instant at.
func localHour(at event.Micros, zone *time.Location) int64 {
	_, offset := at.Time().In(zone).Zone()
	seconds := floorDiv(int64(at), 1e6)
	return floorDiv(seconds+int64(offset), 60*60)*60*60 - int64(offset)
}

// hourKey is what events are counted by.
type hourKey struct {
	quarter int32
	kind    event.Type
}

// recentTypes is how many types have a counter without a map; it only has to
// cover the usual ones.
const recentTypes = 32

// hours counts events by type and quarter of an hour.
type hours struct {
	counts map[hourKey]int64
	// quarter is the one that recent counts, from..until its bounds.
	quarter     int32
	from, until event.Micros
	recent      [recentTypes]int64
}

// count adds one event and returns the quarter in which it lies.
func (h *hours) count(at event.Micros, kind event.Type) int32 {
	if at < h.from || at >= h.until {
		h.flush()
		h.quarter = quarterOf(at)
		h.from, h.until = quarterStart(h.quarter), quarterStart(h.quarter+1)
	}
	if kind >= 0 && kind < recentTypes {
		h.recent[kind]++
	} else {
		h.counts[hourKey{h.quarter, kind}]++
	}
	return h.quarter
}

func (h *hours) flush() {
	for kind, events := range h.recent {
		if events > 0 {
			h.counts[hourKey{h.quarter, event.Type(kind)}] += events
		}
	}
	clear(h.recent[:])
}
