package rollup

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Options bound the work. A zero value takes its default.
type Options struct {
	// Loops is the number of goroutines that roll up sessions; default 1.
	// Customers have one more.
	Loops int
	// Interval is how long a session is left alone after a roll-up; default 2 s.
	Interval time.Duration
	// Sessions is how many sessions one roll-up claims at most; default 64.
	Sessions int
	// Pause lies between the beginnings of roll-ups while little is due; default
	// 250 ms. Freshness is about Interval and Pause.
	Pause time.Duration
	// YieldLimit is how long a loop yields at most to a queue that is behind;
	// default 5 s.
	YieldLimit time.Duration
	// DrainTimeout is how long roll-ups in progress may go on after the end of
	// Run's context; then they are rolled back. Default 5 s.
	DrainTimeout time.Duration
	// BacklogInterval lies between two looks at what waits; default 5 s.
	BacklogInterval time.Duration
	// RetentionInterval lies between two looks for expired days; default 1 h.
	RetentionInterval time.Duration
}

const (
	// maxLoops keeps a mistake in Options.Loops from exhausting the database.
	maxLoops = 1000
	// customersLimit is how many customers one roll-up claims: each is a few
	// rows of facts, read from an index.
	customersLimit = 256

	// The pauses between attempts. The longest, jitter included, is 3.9 s: work
	// resumes within 5 s of the store's return.
	firstPause  = 100 * time.Millisecond
	pauseFactor = 2
	pauseJitter = 0.3
	pauseLimit  = 3 * time.Second
)

func (o Options) withDefaults() Options {
	o.Loops = cmp.Or(o.Loops, 1)
	o.Interval = cmp.Or(o.Interval, 2*time.Second)
	o.Sessions = cmp.Or(o.Sessions, 64)
	o.Pause = cmp.Or(o.Pause, 250*time.Millisecond)
	o.YieldLimit = cmp.Or(o.YieldLimit, 5*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 5*time.Second)
	o.BacklogInterval = cmp.Or(o.BacklogInterval, 5*time.Second)
	o.RetentionInterval = cmp.Or(o.RetentionInterval, time.Hour)
	return o
}

func (o Options) validate() error {
	var errs []error
	for _, n := range [...]struct {
		name  string
		value int64
	}{
		{"Loops", int64(o.Loops)},
		{"Interval", int64(o.Interval)},
		{"Sessions", int64(o.Sessions)},
		{"Pause", int64(o.Pause)},
		{"YieldLimit", int64(o.YieldLimit)},
		{"DrainTimeout", int64(o.DrainTimeout)},
		{"BacklogInterval", int64(o.BacklogInterval)},
		{"RetentionInterval", int64(o.RetentionInterval)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", n.name))
		}
	}
	if o.Loops > maxLoops {
		errs = append(errs, fmt.Errorf("%d Loops, more than %d", o.Loops, maxLoops))
	}
	return errors.Join(errs...)
}
