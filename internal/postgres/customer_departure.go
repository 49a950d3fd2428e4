package postgres

import (
	"slices"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// all are the sessions that the customer's contributions are still made of.
func (c *customerClaim) all() []facts.CustomerSession { return slices.Concat(c.sessions, c.departed) }

// count makes the customer's facts. They are made with the sessions that
// departed too, so that the aggregates see no difference when one departs; what
// the others do not add by themselves is past from now on.
func (c *customerClaim) count(properties map[string]facts.Property) {
	c.counted = facts.CustomerContributions(c.firstEnd, c.all(), properties)
	c.firstEnd = min(c.firstEnd, facts.FirstEnd(c.departed))
	c.result = facts.CustomerContributions(c.firstEnd, c.sessions, properties)
}

// storedFirstEnd is NULL for no end.
func storedFirstEnd(end event.Micros) *time.Time {
	if end == facts.NoEnd {
		return nil
	}
	return new(end.Time())
}

// firstEndOf reads customer_facts.first_end.
func firstEndOf(stored *time.Time) event.Micros {
	if stored == nil {
		return facts.NoEnd
	}
	return event.MicrosOf(*stored)
}
