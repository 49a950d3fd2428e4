package worker

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Options bound the work. A zero value takes its default.
type Options struct {
	// Loops is the number of loops that gather and write; default 2.
	Loops int
	// MaxMessages, MaxBytes and MaxEvents bound a gather; defaults 64, 16 MiB
	// and 50,000. MaxBytes must not be below the queue's largest message. A
	// gather with more events is written in several transactions.
	MaxMessages, MaxBytes, MaxEvents int
	// Linger is how long the first message of a gather waits for more; default
	// 20 ms, negative for not at all.
	Linger time.Duration
	// FetchWait bounds the wait for a first message; default 5 s. It says how
	// often a worker without work looks at the other reasons to do something.
	FetchWait time.Duration
	// AckWait is the queue's: a message about which nothing is said for so long
	// is delivered again. Default 30 s.
	AckWait time.Duration
	// LoadTimeout bounds one write; default 20 s, below AckWait.
	LoadTimeout time.Duration
	// MaxHold bounds how long a message is held while its write is tried again;
	// then another worker gets it. Default 4 × AckWait.
	MaxHold time.Duration
	// DrainTimeout bounds what Run does after its context ended; default 20 s.
	DrainTimeout time.Duration
	// PartitionInterval is how often partitions are made; default 1 h.
	PartitionInterval time.Duration
}

const (
	// maxLoops keeps a mistake in Options.Loops from exhausting the database.
	maxLoops = 1000
	// aloneAfter is how many deliveries a message gets in company. Whatever
	// ended a worker that often may be in the message.
	aloneAfter = 5
	// splitAfter is how many writes of a group may fail before its messages are
	// tried one by one: one of them may be locked by another transaction.
	splitAfter = 3
	// deferAfter is how many writes of a message alone may fail, while others
	// succeed, before it is given back for a while.
	deferAfter = 2
	// condemnAfter is how often a batch must be refused by itself before its
	// message is kept as damaged; refusalPause lies between.
	condemnAfter = 2
	refusalPause = 2 * time.Second
	// deferDelay is that while, and the pause before a redelivery after a stop.
	deferDelay = 5 * time.Second
	// versionDelay is the pause in fetching after a message of a newer layout,
	// and the time that the message stays away.
	versionDelay = 30 * time.Second
	// emptyPause lies between fetches that return empty at once, which a source
	// should not do, so that a mistake there does not burn a processor.
	emptyPause = 10 * time.Millisecond
	// keepAlives is how many chances a message has to be kept within AckWait.
	keepAlives = 3

	// The pauses between attempts. The longest, jitter included, is 3.9 s: work
	// resumes within 5 s of the store's return.
	firstPause  = 100 * time.Millisecond
	pauseFactor = 2
	pauseJitter = 0.3
	pauseLimit  = 3 * time.Second
)

func (o Options) withDefaults() Options {
	o.Loops = cmp.Or(o.Loops, 2)
	o.MaxMessages = cmp.Or(o.MaxMessages, 64)
	o.MaxBytes = cmp.Or(o.MaxBytes, 16<<20)
	o.MaxEvents = cmp.Or(o.MaxEvents, 50_000)
	o.Linger = max(cmp.Or(o.Linger, 20*time.Millisecond), 0)
	o.FetchWait = cmp.Or(o.FetchWait, 5*time.Second)
	o.AckWait = cmp.Or(o.AckWait, 30*time.Second)
	o.LoadTimeout = cmp.Or(o.LoadTimeout, 20*time.Second)
	o.MaxHold = cmp.Or(o.MaxHold, 4*o.AckWait)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 20*time.Second)
	o.PartitionInterval = cmp.Or(o.PartitionInterval, time.Hour)
	return o
}

func (o Options) validate() error {
	var errs []error
	for _, n := range [...]struct {
		name  string
		value int64
	}{
		{"Loops", int64(o.Loops)},
		{"MaxMessages", int64(o.MaxMessages)},
		{"MaxBytes", int64(o.MaxBytes)},
		{"MaxEvents", int64(o.MaxEvents)},
		{"FetchWait", int64(o.FetchWait)},
		{"AckWait", int64(o.AckWait)},
		{"LoadTimeout", int64(o.LoadTimeout)},
		{"MaxHold", int64(o.MaxHold)},
		{"DrainTimeout", int64(o.DrainTimeout)},
		{"PartitionInterval", int64(o.PartitionInterval)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", n.name))
		}
	}
	if o.Loops > maxLoops {
		errs = append(errs, fmt.Errorf("%d Loops, more than %d", o.Loops, maxLoops))
	}
	if o.LoadTimeout >= o.AckWait {
		// Not needed for exactly-once, but a second worker would wait for the
		// first one's locks, for ever again.
		errs = append(errs, fmt.Errorf("LoadTimeout %s is not below AckWait %s", o.LoadTimeout, o.AckWait))
	}
	return errors.Join(errs...)
}
