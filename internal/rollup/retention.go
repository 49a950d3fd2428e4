package rollup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/facts"
)

// keepDays gives up expired days and ledger rows at once, and these and sessions
// at every interval, until soft ends. What fails is logged and comes again with the next
// round: what stays too long is no reason to stop anything.
func (r *Roller) keepDays(soft, hard context.Context) {
	for first := true; ; first = false {
		r.expire(soft, hard)
		// After the days of rejected events, for which the ledger keeps their rows.
		r.forgetBatches(soft, hard)
		// After all days: a session is kept as long as any of its events. Not in the
		// first round: in an upgrade workers may still run that trust their memory of
		// sessions for good, and would store events of one that is gone.
		if !first {
			r.forgetSessions(soft, hard)
		}
		if !wait(soft, r.opts.RetentionInterval) {
			return
		}
	}
}

// expire makes one round through the expired partitions, oldest first. One that
// cannot be dropped does not keep the others.
func (r *Roller) expire(soft, hard context.Context) {
	expired, err := r.archive.Expired(soft)
	if err != nil {
		r.retentionFailed(soft, workExpired, facts.Expired{}, err)
		return
	}
	for _, partition := range expired {
		if ended(soft) {
			return
		}
		sealed, err := r.seal(soft, hard, partition)
		if err != nil {
			r.retentionFailed(soft, workSealing, partition, err)
			continue
		}
		if !sealed {
			return // asked to stop
		}
		crashpoint.At(crashpoint.RetentionSealed)
		// With hard: a partition that is half detached is in the way of loads.
		if err := r.archive.Drop(hard, partition); err != nil {
			r.retentionFailed(hard, workDropping, partition, err)
			continue
		}
		r.metrics.dropped.Inc()
	}
}

// forgetBatches deletes ledger rows a few at a time until there are none left to
// delete, or the queue does not say how far back its messages go.
func (r *Roller) forgetBatches(soft, hard context.Context) {
	var last time.Time
	for r.yield(soft, last) {
		rows, err := r.forget(hard)
		last = time.Now()
		if err != nil {
			r.retentionFailed(hard, workForgetting, facts.Expired{}, err)
			return
		}
		r.metrics.forgotten.Add(float64(rows))
		if rows == 0 {
			return
		}
	}
}

// forgetSessions deletes old sessions a few at a time until none are left. What
// fails is tried with fewer of them, so that one session keeps no other.
func (r *Roller) forgetSessions(soft, hard context.Context) {
	var last time.Time
	failures := 0
	for r.yield(soft, last) {
		sessions, more, err := r.forgetOld(hard)
		last = time.Now()
		if err != nil {
			if failures++; !more || failures == sealAttempts {
				r.retentionFailed(hard, workForgettingSessions, facts.Expired{}, err)
				return
			}
			r.metrics.errors.WithLabelValues(workForgettingSessions, r.classify(err).String()).Inc()
			if !wait(soft, firstPause) {
				return
			}
			continue
		}
		failures = 0
		r.metrics.expired.Add(float64(sessions))
		if !more {
			return
		}
	}
}

// sealAttempts is how many attempts in a row may fail before a partition, or what
// is to be forgotten, waits for the next round: enough to find one session among many, and to leave it
// alone.
const sealAttempts = 12

// seal rolls up and seals the partition's sessions until none is left. It
// returns false when it was asked to stop before that.
//
// Nothing may be dropped before: a session that loses raw events while it is
// not sealed would be recomputed without them, and take its history out of the
// aggregates.
func (r *Roller) seal(soft, hard context.Context, partition facts.Expired) (bool, error) {
	c := newClaimer(r)
	var last time.Time
	failures := 0
	for r.yield(soft, last) {
		limit := c.limit
		rolled, claimed, err := c.attempt(hard, workSealing, func(limit int, fold facts.Fold) (facts.Rolled, error) {
			return r.archive.SealSessions(hard, partition, limit, fold)
		})
		last = time.Now()
		switch {
		case ended(hard): // cut off, and none of it stored
			return false, nil
		case err != nil:
			// Fewer of them next time, or without the one that failed by itself.
			if failures++; len(claimed) == 0 || failures == sealAttempts {
				return false, fmt.Errorf("seal sessions: %w", err)
			}
			r.metrics.errors.WithLabelValues(workSealing, r.classify(err).String()).Inc()
			if !wait(soft, firstPause) {
				return false, nil
			}
		case rolled.Claimed == 0:
			return true, nil
		case rolled.Claimed > rolled.Postponed:
			crashpoint.At(crashpoint.RetentionPortion)
			failures = 0
		case rolled.Claimed < limit || limit == r.opts.Sessions:
			return false, fmt.Errorf("seal sessions: %d cannot be sealed now", rolled.Postponed)
		}
	}
	return false, nil
}

// retentionFailed logs a failure, which is of a partition or of none.
func (r *Roller) retentionFailed(ctx context.Context, work string, partition facts.Expired, err error) {
	if ended(ctx) {
		return // stopped, not failed
	}
	class := r.classify(err)
	r.metrics.errors.WithLabelValues(work, class.String()).Inc()
	attrs := []slog.Attr{slog.String("step", work)}
	if partition.Partition != "" {
		attrs = append(attrs, slog.String("partition", partition.Partition))
	}
	attrs = append(attrs, slog.String("class", class.String()), slog.Duration("next", r.opts.RetentionInterval), slog.Any("error", err))
	r.log.LogAttrs(ctx, slog.LevelError, "expired rows are kept longer than they should be, trying again with the next round", attrs...)
}
