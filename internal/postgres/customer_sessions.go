package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// readCustomerSessions takes departures in the statement that reads sessions, so
// that both are of one moment: a session that is being deleted is one or the
// other, never both and never neither.
const readCustomerSessions = `
WITH wanted (tenant_id, customer_id) AS (SELECT * FROM unnest($1::integer[], $2::text[])),
departed AS (
    DELETE FROM nexero.customer_departures d USING wanted
    WHERE d.tenant_id = wanted.tenant_id AND d.customer_id = wanted.customer_id AND d.generation = $3
    RETURNING d.tenant_id, d.customer_id, d.property_id, d.started_at, d.ended_at
)
SELECT f.tenant_id, f.customer_id, coalesce(f.property_id, ''), f.started_at, coalesce(f.ended_at, f.started_at), false
FROM wanted
JOIN nexero.session_facts f USING (tenant_id, customer_id)
WHERE f.generation = $3 AND f.started_at IS NOT NULL
UNION ALL
SELECT tenant_id, customer_id, coalesce(property_id, ''), started_at, coalesce(ended_at, started_at), true FROM departed`

func (r *customerRollup) readSessions(ctx context.Context) error {
	crashpoint.At(crashpoint.CustomersTouchesTaken)
	// Departures of a customer whose row is damaged are left: they would be lost.
	var sound customerKeys
	for key := range r.claims {
		sound.add(key)
	}
	rows, err := r.conn.Query(ctx, readCustomerSessions, sound.tenants, sound.customers, r.generation)
	if err != nil {
		return err
	}
	var key customerKey
	var property string
	var departed bool
	var start, end time.Time
	names := make(map[string]string) // a customer with a million sessions has few properties
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.customer, &property, &start, &end, &departed}, func() error {
		c := r.claims[key]
		if _, ok := names[property]; !ok {
			names[property] = property
		}
		session := facts.CustomerSession{PropertyID: names[property], Start: event.MicrosOf(start), End: event.MicrosOf(end)}
		if departed {
			c.departed = append(c.departed, session)
		} else {
			c.sessions = append(c.sessions, session)
		}
		return nil
	})
	return err
}

// count makes the customer's facts, and what is past from now on. The aggregates
// see no difference when a session departs: sessions that are kept begin after
// the same first end as before, and what departed sessions have counted is in
// result or in past.
func (c *customerClaim) count(properties map[string]facts.Property) {
	first := min(c.firstEnd, facts.FirstEnd(c.sessions), facts.FirstEnd(c.departed))
	departed := facts.CustomerContributions(first, c.departed, properties)
	c.firstEnd = min(c.firstEnd, facts.FirstEnd(c.departed))
	own := facts.CustomerContributions(c.firstEnd, c.sessions, properties)
	c.result, c.shared, c.past = facts.WithDeparted(own, facts.Either(departed, c.shared))
}

// storedShared is NULL for nothing.
func storedShared(shared facts.Contributions) []byte {
	if len(shared) == 0 {
		return nil
	}
	return shared.Append(nil)
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
