package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// outcome is what one caller of Submit was told.
type outcome struct {
	name  string
	err   error
	after time.Duration
}

// submitAll submits the batches in order, without waiting in between, and
// returns what each caller was told and when.
func submitAll(t *testing.T, c *committer, q *modelQueue, timeout time.Duration, names ...string) []outcome {
	t.Helper()
	outcomes := make([]outcome, len(names))
	var waiters sync.WaitGroup
	for i, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		start := time.Now()
		g, err := c.join(ctx, encodedBatch(t, name, 100))
		waiters.Go(func() {
			defer cancel()
			if err == nil {
				err = g.wait(ctx)
			}
			outcomes[i] = outcome{name, err, time.Since(start)}
			if err == nil && !q.holds(name) {
				t.Errorf("%s was acknowledged before it was stored", name) // rule 1
			}
		})
	}
	waiters.Wait()
	return outcomes
}

func drain(t *testing.T, c *committer) {
	t.Helper()
	if err := c.Drain(t.Context()); err != nil {
		t.Errorf("drain: %v", err)
	}
}

func TestCommit_LoneBatchDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(nil)
		c := testCommitter(t, q, nil)
		got := submitAll(t, c, q, time.Second, "a")
		if want := []outcome{{"a", nil, 0}}; got[0] != want[0] {
			t.Errorf("got %+v, want %+v", got, want)
		}
		drain(t, c)
	})
}

func TestCommit_BatchesShareEnvelopes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(func(int) fate { return fate{after: 10 * time.Millisecond, persist: true} })
		c := testCommitter(t, q, nil)
		for _, o := range submitAll(t, c, q, time.Second, "a", "b", "c", "d") {
			if o.err != nil {
				t.Errorf("%s: %v", o.name, o.err)
			}
		}
		// The first leaves alone; the others gather while it is away and keep
		// their order.
		got, wrong := q.batches()
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c", "d"}}, got); diff != "" || wrong != nil {
			t.Errorf("stored (-want +got):\n%s%v", diff, wrong)
		}
		drain(t, c)
	})
}

// Each way of failing comes twice: the message was lost, and it was stored all
// the same. // rules 1, 2
func TestCommit_FaultPairs(t *testing.T) {
	t.Parallel()
	const timeout = 5 * time.Second
	reset := errors.New("connection reset")
	for name, tc := range map[string]struct {
		fates    []fate
		want     error // nil: acknowledged
		stored   bool
		attempts int
		within   time.Duration
	}{
		"stored":                         {[]fate{{persist: true}}, nil, true, 1, 0},
		"slow":                           {[]fate{{after: time.Second, persist: true}}, nil, true, 1, time.Second},
		"unknown, not persisted":         {[]fate{{answer: ErrUnknownOutcome}}, nil, true, 2, lastPause},
		"unknown, persisted":             {[]fate{{answer: ErrUnknownOutcome, persist: true}}, nil, true, 2, lastPause},
		"other error, not persisted":     {[]fate{{answer: reset}}, nil, true, 2, lastPause},
		"other error, persisted":         {[]fate{{answer: reset, persist: true}}, nil, true, 2, lastPause},
		"attempt silent, not persisted":  {[]fate{{silent: true}}, nil, true, 2, 3 * time.Second},
		"attempt silent, persisted":      {[]fate{{silent: true, persist: true}}, nil, true, 2, 3 * time.Second},
		"panic, not persisted":           {[]fate{{panicked: true}}, nil, true, 2, lastPause},
		"panic, persisted":               {[]fate{{panicked: true, persist: true}}, nil, true, 2, lastPause},
		"full at once":                   {[]fate{{answer: ErrFull}}, ErrFull, false, 1, 0},
		"full after unknown, persisted":  {[]fate{{answer: reset, persist: true}, {answer: ErrFull}}, ErrUnknownOutcome, true, 2, lastPause},
		"full after unknown, lost":       {[]fate{{answer: reset}, {answer: ErrFull}}, ErrUnknownOutcome, false, 2, lastPause},
		"too large after unknown":        {[]fate{{silent: true, persist: true}, {answer: ErrTooLarge}}, ErrUnknownOutcome, true, 2, 3 * time.Second},
		"too large":                      {[]fate{{answer: fmt.Errorf("publish: %w", ErrTooLarge)}}, ErrTooLarge, false, 1, 0},
		"never answers, never persisted": {slices.Repeat([]fate{{silent: true}}, 9), errWaitOver, false, 3, timeout},
		"never answers, persisted":       {slices.Repeat([]fate{{silent: true, persist: true}}, 9), errWaitOver, true, 3, timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := newModelQueue(script(tc.fates...))
				c := testCommitter(t, q, nil)
				got := submitAll(t, c, q, timeout, "a")[0]
				// At the deadline the caller may hear of it before its envelope ends.
				gaveUp := errors.Is(tc.want, errWaitOver) && errors.Is(got.err, ErrUnknownOutcome)
				if !gaveUp && !errors.Is(got.err, tc.want) {
					t.Errorf("got error %v, want %v", got.err, tc.want)
				}
				if errors.Is(got.err, ErrUnknownOutcome) && (errors.Is(got.err, ErrFull) || errors.Is(got.err, ErrTooLarge)) {
					t.Errorf("%v says that nothing was stored, and that it is not known", got.err)
				}
				if got.after > tc.within {
					t.Errorf("answered after %s, want within %s", got.after, tc.within)
				}
				drain(t, c)
				if q.holds("a") != tc.stored || q.attempts != tc.attempts {
					t.Errorf("stored %v after %d attempts, want %v after %d", q.holds("a"), q.attempts, tc.stored, tc.attempts)
				}
				if _, wrong := q.batches(); wrong != nil {
					t.Error(wrong)
				}
			})
		})
	}
}

// A queue that comes back shortly before the deadline is still used.
func TestCommit_LastAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		q := newModelQueue(func(int) fate {
			if time.Since(start) < 4950*time.Millisecond {
				return fate{answer: ErrUnknownOutcome}
			}
			return fate{persist: true}
		})
		c := testCommitter(t, q, nil)
		got := submitAll(t, c, q, 5*time.Second, "a")[0]
		if got.err != nil || q.attempts > 60 {
			t.Errorf("%d attempts ended with %v after %s", q.attempts, got.err, got.after)
		}
		drain(t, c)
	})
}

func TestCommit_FullReachesEveryWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(script(fate{after: time.Second, persist: true}, fate{answer: ErrFull}))
		c := testCommitter(t, q, nil)
		got := submitAll(t, c, q, 5*time.Second, "a", "b", "c")
		for i, want := range []error{nil, ErrFull, ErrFull} {
			if !errors.Is(got[i].err, want) || got[i].after != time.Second {
				t.Errorf("%s: got %v after %s, want %v after 1s", got[i].name, got[i].err, got[i].after, want)
			}
		}
		drain(t, c)
	})
}

// A caller that leaves does not take its batch out of the envelope, and those
// who wait longer keep it alive. // rule 2
func TestCommit_LeaverLeavesEnvelopeWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(script(fate{after: 2 * time.Second, persist: true}, fate{answer: ErrUnknownOutcome}))
		c := testCommitter(t, q, nil)
		_ = joinFor(t, c, "a", 5*time.Second)
		hasty := joinFor(t, c, "b", time.Second)
		gone := joinFor(t, c, "c", time.Hour)
		patient := joinFor(t, c, "d", 5*time.Second)
		gone.cancel()
		start := time.Now()
		if err := gone.wait(); !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("the client that left: %v after %s", err, time.Since(start))
		}
		if err := hasty.wait(); !errors.Is(err, errWaitOver) || time.Since(start) != time.Second {
			t.Errorf("the hasty caller: %v after %s", err, time.Since(start))
		}
		if err := patient.wait(); err != nil {
			t.Errorf("the patient caller: %v", err)
		}
		drain(t, c)
		got, wrong := q.batches()
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c", "d"}}, got); diff != "" || wrong != nil {
			t.Errorf("stored (-want +got):\n%s%v", diff, wrong)
		}
	})
}

// waiter is a caller between joining and waiting.
type waiter struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  *group
}

func (w waiter) wait() error { return w.group.wait(w.ctx) }

func joinFor(t *testing.T, c *committer, name string, timeout time.Duration) waiter {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	g, err := c.join(ctx, encodedBatch(t, name, 100))
	if err != nil {
		t.Fatalf("join %s: %v", name, err)
	}
	return waiter{ctx, cancel, g}
}

// rule 9
func TestCommit_Bounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const envelopeBytes, inFlight, pending = 10_000, 2, 60_000
		q := newModelQueue(func(int) fate { return fate{after: time.Second, persist: true} })
		c := testCommitter(t, q, func(o *Options) {
			o.EnvelopeBytes, o.MaxEnvelopesInFlight, o.MaxPendingBytes = envelopeBytes, inFlight, pending
		})
		var waiters []waiter
		overloaded := 0
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			g, err := c.join(ctx, encodedBatch(t, fmt.Sprint("b", i), 1000))
			switch {
			case errors.Is(err, ErrOverloaded):
				overloaded++
			case err != nil:
				t.Fatal(err)
			default:
				waiters = append(waiters, waiter{ctx, cancel, g})
			}
		}
		// One that is larger than an envelope gets one of its own.
		if got := testutil.ToFloat64(c.metrics.pendingBytes); overloaded == 0 || got > pending || got < pending-2000 {
			t.Errorf("%d of 100 refused, %v bytes pending", overloaded, got)
		}
		for _, w := range waiters {
			if err := w.wait(); err != nil {
				t.Error(err)
			}
		}
		large := make([]byte, 0, 3*envelopeBytes)
		large = append(large, encodedBatch(t, "large", 2*envelopeBytes)...)
		if err := c.Submit(t.Context(), large); err != nil {
			t.Errorf("a batch larger than an envelope: %v", err)
		}
		for _, id := range q.ids {
			if size := len(q.stored[id]); size > envelopeBytes && size > len(large)+envelopeHeader {
				t.Errorf("an envelope has %d bytes", size)
			}
		}
		if q.mostFly != inFlight {
			t.Errorf("%d envelopes were in flight at once, want %d", q.mostFly, inFlight)
		}
		if c.held != 0 || c.inFlight != 0 || c.open != nil || len(c.ready) != 0 {
			t.Errorf("something is left: held %d, in flight %d", c.held, c.inFlight)
		}
		drain(t, c)
	})
}

// Full envelopes that wait for a flight leave oldest first.
func TestCommit_OldestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(func(int) fate { return fate{after: time.Second, persist: true} })
		c := testCommitter(t, q, func(o *Options) { o.EnvelopeBytes, o.MaxEnvelopesInFlight = 500, 1 })
		for _, o := range submitAll(t, c, q, time.Minute, "a", "b", "c", "d", "e", "f", "g") {
			if o.err != nil {
				t.Errorf("%s: %v", o.name, o.err)
			}
		}
		got, wrong := q.batches()
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c"}, {"d", "e"}, {"f", "g"}}, got); diff != "" || wrong != nil {
			t.Errorf("stored (-want +got):\n%s%v", diff, wrong)
		}
		drain(t, c)
	})
}

// An acknowledgement that is there is never thrown away.
func TestCommit_AcknowledgementBeatsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := testCommitter(t, newModelQueue(nil), nil)
		w := joinFor(t, c, "a", time.Second)
		drain(t, c)
		w.cancel()
		for range 100 {
			if err := w.wait(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// An envelope whose callers have all left before its turn is not sent: it would
// delay those behind it, and nobody was told that it is stored.
func TestCommit_AbandonedEnvelope(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(script(fate{after: 2 * time.Second, persist: true}))
		c := testCommitter(t, q, nil)
		_ = joinFor(t, c, "a", 5*time.Second)
		hasty := joinFor(t, c, "b", time.Second)
		if err := hasty.wait(); !errors.Is(err, errWaitOver) {
			t.Error(err)
		}
		drain(t, c)
		if q.holds("b") || q.attempts != 1 {
			t.Errorf("b is stored: %v, attempts %d", q.holds("b"), q.attempts)
		}
		if got := testutil.ToFloat64(c.metrics.envelopes.abandoned); got != 1 {
			t.Errorf("%v envelopes abandoned, want 1", got)
		}
	})
}

// rule 10
func TestCommit_Drain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(func(int) fate { return fate{after: time.Second, persist: true} })
		c := testCommitter(t, q, nil)
		first, second := joinFor(t, c, "a", 5*time.Second), joinFor(t, c, "b", 5*time.Second)
		start := time.Now()
		drain(t, c)
		// The open envelope leaves at the call, beside the one in flight.
		if took := time.Since(start); took != time.Second {
			t.Errorf("drain took %s, want 1s", took)
		}
		if err := errors.Join(first.wait(), second.wait()); err != nil {
			t.Error(err)
		}
		if err := c.Submit(t.Context(), encodedBatch(t, "late", 10)); !errors.Is(err, ErrDraining) {
			t.Errorf("submit after drain: %v", err)
		}
		drain(t, c)
		if q.holds("late") || !q.holds("a") || !q.holds("b") {
			t.Error("the wrong batches are stored")
		}
	})
}

// rule 10
func TestCommit_DrainGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newModelQueue(func(int) fate { return fate{silent: true} })
		c := testCommitter(t, q, nil)
		w := joinFor(t, c, "a", time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := c.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("drain: %v after %s", err, time.Since(start))
		}
		if err := w.wait(); !errors.Is(err, ErrUnknownOutcome) || time.Since(start) != 3*time.Second {
			t.Errorf("the caller: %v after %s", err, time.Since(start))
		}
	})
}
