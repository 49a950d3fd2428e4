package apikey

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// compareEvery is how often the table is compared with the bucket.
	compareEvery = 500 * time.Millisecond
	// compareTimeout bounds one look at the bucket.
	compareTimeout = time.Second
	// lagAllowed is how long a change may be in the bucket and not in the table
	// before the watch counts as broken. The library notices a dead watch after
	// ten seconds only.
	lagAllowed = 100 * time.Millisecond
	// loadTimeout bounds reading all keys at the start of a watch.
	loadTimeout = 10 * time.Second
	// watchPause lies between two watches.
	watchPause = 100 * time.Millisecond
)

var (
	errLags     = errors.New("the table differs from the bucket")
	errSlowLoad = errors.New("reading all keys takes too long")
)

// source is what a Watcher needs of a bucket.
type source interface {
	// follow: see Bucket.follow.
	follow(ctx context.Context, see func(update) error) error
	// last: see Bucket.last.
	last(ctx context.Context) (position, error)
}

// Watcher keeps a table of all keys up to date while [Watcher.Run] runs. It is
// a prometheus.Collector of what it knows.
type Watcher struct {
	source source
	table  *table
	log    *slog.Logger
	gauges *gauges
	// again holds a token when the watch is to be made anew.
	again chan struct{}

	mu sync.Mutex
	// seen is the newest change in the table. Its time tells a bucket that was
	// made again, and has come as far, from the one that was read.
	seen position
}

// NewWatcher returns a Watcher that knows nothing before it runs.
func NewWatcher(bucket *Bucket, log *slog.Logger) *Watcher { return newWatcher(bucket, log) }

func newWatcher(from source, log *slog.Logger) *Watcher {
	return &Watcher{
		source: from, table: new(table), log: log.With("component", "apikey"),
		gauges: newGauges(), again: make(chan struct{}, 1),
	}
}

// Authenticate returns the record of the key that text is, if it may be used
// for scope: [ErrMalformed], [ErrUnknown], [ErrRevoked], [ErrScope], or
// [ErrUnavailable] while that cannot be told. The record must not be changed.
func (w *Watcher) Authenticate(text string, scope Scope) (Record, error) {
	return w.table.authenticate(text, scope, time.Now())
}

// Ready says why Authenticate cannot judge now, or nil.
func (w *Watcher) Ready() error { return w.table.ready(time.Now()) }

// Run watches the bucket and compares the table with it twice a second, until
// ctx ends. Its error is always nil: whatever goes wrong is tried again, and
// shows in Ready.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { w.watch(ctx) })
	wg.Go(func() { w.compare(ctx) })
	wg.Wait()
	return nil
}

// watch follows the bucket, again and again.
func (w *Watcher) watch(ctx context.Context) {
	for {
		err := w.watchOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		w.gauges.restarts.Inc()
		w.log.WarnContext(ctx, "key watch broke and is made anew", "error", err)
		if !pause(ctx, watchPause) {
			return
		}
	}
}

// watchOnce follows the bucket until that ends, lags, or does not get going.
func (w *Watcher) watchOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(loadTimeout, func() { cancel(errSlowLoad) })
	defer slow.Stop()

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil) // before the wait
	loading := make(map[string]Record)
	var seen position
	err := w.source.follow(ctx, func(u update) error {
		switch {
		case u.complete && loading != nil:
			slow.Stop()
			w.loaded(loading, seen)
			loading = nil
			wg.Go(func() { w.awaitLag(ctx, cancel) })
		case u.complete:
		case loading != nil:
			if u.at.revision > seen.revision {
				seen = u.at
			}
			delete(loading, u.id)
			if !u.deleted {
				loading[u.id] = w.read(ctx, u)
			}
		default:
			w.changed(ctx, u)
		}
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// awaitLag ends the watch when it is found to lag.
func (w *Watcher) awaitLag(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case <-w.again:
		cancel(errLags)
	case <-ctx.Done():
	}
}

// read is the record in an update, or one without a hash if it cannot be read.
func (w *Watcher) read(ctx context.Context, u update) Record {
	record, err := decodeRecord(u.id, u.value)
	if err != nil {
		w.gauges.damaged.Inc()
		w.log.ErrorContext(ctx, "record of a key cannot be read, so the key cannot be judged", "error", err)
		return Record{ID: u.id}
	}
	return record
}

func (w *Watcher) loaded(records map[string]Record, seen position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = seen
	w.table.replace(records, seen.revision)
	select {
	case <-w.again: // asked for before this watch was complete
	default:
	}
}

func (w *Watcher) changed(ctx context.Context, u update) {
	var record Record
	if !u.deleted {
		record = w.read(ctx, u)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = u.at
	switch {
	case u.deleted:
		w.table.remove(u.id, u.at.revision)
	case len(record.Hash) == 0:
		w.table.damage(u.id, u.at.revision)
	default:
		w.table.put(record, u.at.revision)
	}
}

// compare looks twice a second whether the table holds what the bucket does.
func (w *Watcher) compare(ctx context.Context) {
	for {
		if !w.equal(ctx) && pause(ctx, lagAllowed) && !w.equal(ctx) {
			select {
			case w.again <- struct{}{}:
			default:
			}
		}
		if !pause(ctx, compareEvery) {
			return
		}
	}
}

// equal says whether the table holds the bucket's last change; true, too, when
// the bucket does not say: a new watch would be of no use then.
//
// A table that is beyond the answer is right if it got there while the question
// was under way. If it was there before, the bucket has lost what it had.
func (w *Watcher) equal(ctx context.Context) bool {
	asked := time.Now()
	w.mu.Lock()
	before := w.seen
	w.mu.Unlock()
	look, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	last, err := w.source.last(look)
	if err != nil {
		w.gauges.compareErrors.Inc()
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	overtaken := w.seen.revision > last.revision && (before.equal(last) || before.revision < last.revision)
	return (w.seen.equal(last) || overtaken) && w.table.compare(last.revision, asked)
}

// pause waits d and returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
