package rollup

import (
	"context"
	"log/slog"
	"time"

	"github.com/nexero-vr/nexero/internal/facts"
)

// claimer makes roll-ups of sessions, of fewer ones after a failure: one of
// them may be more than the store can do in its time, or something that it
// refuses. It belongs to one goroutine.
type claimer struct {
	*Roller

	// limit is how many sessions the next roll-up claims.
	limit int
}

func newClaimer(r *Roller) claimer { return claimer{Roller: r, limit: r.opts.Sessions} }

// attempt makes one roll-up and, when it is committed, counts it. With an error
// it returns which sessions had been claimed, as far as it came to that.
func (c *claimer) attempt(ctx context.Context, work string, roll func(int, facts.Fold) (facts.Rolled, error)) (facts.Rolled, []int64, error) {
	f := &folding{interval: c.opts.Interval, refused: c.refused.has}
	began := time.Now()
	rolled, err := roll(c.limit, f.fold)
	c.metrics.duration.WithLabelValues(work).Observe(time.Since(began).Seconds())
	if err == nil {
		c.limit = min(2*c.limit, c.opts.Sessions)
		c.refused.worked(f)
		c.metrics.rolled(rolled, f)
		return rolled, nil, nil
	}
	claimed := rolled.Sessions
	if ended(ctx) || len(claimed) == 0 {
		return facts.Rolled{}, nil, err // says nothing about what was claimed
	}
	class := c.classify(err)
	switch {
	case len(claimed) > 1 && class == ClassData:
		c.limit = 1
	case len(claimed) > 1:
		c.limit = max(1, len(claimed)/2)
	default:
		c.limit = 1 // its neighbours may be like it
		if c.refused.failed(claimed[0], class) {
			c.metrics.refused.Inc()
			c.log.LogAttrs(ctx, slog.LevelError, "session cannot be rolled up and is left alone for a while; its facts are behind",
				slog.Int64("session_no", claimed[0]), slog.Duration("pause", refusedPause), slog.Any("error", err))
		}
	}
	return facts.Rolled{}, claimed, err
}
