package postgres

import (
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// day is a UTC day, counted from 1970-01-01.
type day int

const microsPerDay = 24 * 60 * 60 * 1_000_000

func dayOf(t event.Micros) day {
	d := t / microsPerDay
	if t%microsPerDay < 0 {
		d--
	}
	return day(d)
}

func dayOfTime(t time.Time) day { return dayOf(event.MicrosOf(t)) }

// start returns the day's first instant.
func (d day) start() time.Time { return event.Micros(d * microsPerDay).Time() }

// suffix is the end of a partition's name.
func (d day) suffix() string { return d.start().Format("20060102") }

// String returns the day as SQL and people write it.
func (d day) String() string { return d.start().Format(time.DateOnly) }

// daysAhead is how far partitions are made in advance: a week without a worker
// costs nothing.
const daysAhead = 7

// window is the range of days of receipt that can be stored: from the shortest
// retention to tomorrow, since no two clocks agree.
type window struct{ oldest, today day }

func windowAt(now time.Time, retention time.Duration) window {
	return window{oldest: dayOfTime(now.Add(-retention)), today: dayOfTime(now)}
}

// refuses returns why a batch received on d cannot be stored, or "".
func (w window) refuses(d day) event.Code {
	switch {
	case d < w.oldest:
		return event.ReceivedTooOld
	case d > w.today+1:
		return event.ReceivedInFuture
	}
	return ""
}

// drops reports whether retention may drop d. The day before the oldest one is
// spared: a load that began before midnight, or that goes by a remembered time,
// can still be writing to it.
func (w window) drops(d day) bool { return d < w.oldest-1 }

// span returns the days from first to last, both included.
func span(first, last day) []day {
	var days []day
	for d := first; d <= last; d++ {
		days = append(days, d)
	}
	return days
}

// attachedDays remembers which partitions this process has seen attached, so
// that a load asks the database about new days only. The zero value is empty.
type attachedDays struct {
	mu       sync.Mutex
	events   map[day]bool
	rejected map[day]bool
}

// missing returns those of the wanted days of events that were not seen yet,
// and whether rejected_events lacks today.
func (a *attachedDays) missing(wanted map[day]bool, today day) (events []day, rejected bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for d := range wanted {
		if !a.events[d] {
			events = append(events, d)
		}
	}
	return events, !a.rejected[today]
}

func (a *attachedDays) remember(events, rejected []day) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.events == nil {
		a.events, a.rejected = make(map[day]bool), make(map[day]bool)
	}
	for _, d := range events {
		a.events[d] = true
	}
	for _, d := range rejected {
		a.rejected[d] = true
	}
}

// forget drops everything: a partition that was there is gone.
func (a *attachedDays) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events, a.rejected = nil, nil
}
