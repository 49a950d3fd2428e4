package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

const customerCheck = "customers are what their sessions say"

// customerPage is how many customers are fetched together.
const customerPage = 500

// storedCustomer is a customer as stored, with the sessions that name it.
type storedCustomer struct {
	tenant                 int32
	id                     string
	there, rolled, touched bool
	version                int16
	sessions               int64
	contributions, shared  []byte
	firstEnd               *time.Time
	properties             []string
	starts, ends           []time.Time
}

// declareCustomers pairs customers with their sessions, each of which may lack
// the other.
const declareCustomers = `
DECLARE verify_customers NO SCROLL CURSOR FOR
SELECT tenant_id, customer_id, c.generation IS NOT NULL, coalesce(c.rolled_at IS NOT NULL, false), coalesce(c.facts_version, 0), coalesce(c.sessions, 0), c.contributions, c.first_end, c.shared,
       EXISTS (SELECT FROM nexero.customer_touches t
               WHERE t.tenant_id = coalesce(c.tenant_id, s.tenant_id) AND t.customer_id = coalesce(c.customer_id, s.customer_id)),
       s.properties, s.starts, s.ends
FROM (SELECT * FROM nexero.customer_facts WHERE generation = %[1]d) c
FULL JOIN (
    SELECT tenant_id, customer_id, array_agg(coalesce(property_id, '')) AS properties, array_agg(started_at) AS starts,
           array_agg(coalesce(ended_at, started_at)) AS ends
    FROM nexero.session_facts
    WHERE generation = %[1]d AND customer_id IS NOT NULL AND started_at IS NOT NULL
    GROUP BY tenant_id, customer_id
) s USING (tenant_id, customer_id)`

// checkCustomers makes every customer's facts again from the stored facts of
// the customer's sessions.
func (v *verifier) checkCustomers(ctx context.Context) error {
	if _, err := v.conn.Exec(ctx, fmt.Sprintf(declareCustomers, v.generation)); err != nil {
		return err
	}
	for {
		v.progress(Progress{"customers", v.found.Customers + v.found.CustomersWaiting, 0})
		rows, err := v.conn.Query(ctx, fmt.Sprintf("FETCH %d FROM verify_customers", customerPage))
		if err != nil {
			return err
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*storedCustomer, error) {
			c := &storedCustomer{}
			err := row.Scan(&c.tenant, &c.id, &c.there, &c.rolled, &c.version, &c.sessions, &c.contributions, &c.firstEnd, &c.shared, &c.touched, &c.properties, &c.starts, &c.ends)
			return c, err
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, c := range page {
			if err := v.checkCustomer(ctx, c); err != nil {
				return err
			}
		}
	}
}

func (v *verifier) checkCustomer(ctx context.Context, c *storedCustomer) error {
	row := fmt.Sprintf("tenant %d customer %s", c.tenant, c.id)
	if c.contributions != nil {
		contributed, err := facts.DecodeContributions(c.contributions)
		if err != nil {
			v.differ(customerCheck, row, "contributions cannot be read, so they are in no sum: %v", err)
			return nil
		}
		if err := v.sums.add(ctx, c.tenant, contributed); err != nil {
			return err
		}
	}
	switch {
	case c.touched:
		v.found.CustomersWaiting++
		return nil
	case !c.there || !c.rolled && len(c.starts) > 0:
		v.differ(customerCheck, row, "%d sessions are in no facts, and no touch asks for them", len(c.starts))
		return nil
	case c.rolled && c.version != facts.Version:
		v.differ(customerCheck, row, "counted by definitions %d, this program has %d", c.version, facts.Version)
		return nil
	}
	v.found.Customers++
	if c.sessions != int64(len(c.starts)) {
		v.differ(customerCheck, row, "sessions is %d, must be %d", c.sessions, len(c.starts))
	}
	shared, err := decodeStored(c.shared)
	if err != nil {
		v.differ(customerCheck, row, "what it shares with deleted sessions cannot be read: %v", err)
		return nil
	}
	made, _, alone := facts.WithDeparted(v.customerContributions(c), shared)
	for i := range alone {
		v.differ(customerCheck, row, "%s is shared with deleted sessions, and no session has it", rowText(&alone[i].Key))
	}
	if found := contributionDifference(c.contributions, made); found != "" {
		v.differ(customerCheck, row, "%s", found)
	}
	return nil
}

// customerContributions are those of the sessions that are kept.
func (v *verifier) customerContributions(c *storedCustomer) facts.Contributions {
	sessions := make([]facts.CustomerSession, len(c.starts))
	properties := make(map[string]facts.Property)
	for i := range sessions {
		name := c.properties[i]
		sessions[i] = facts.CustomerSession{PropertyID: name, Start: event.MicrosOf(c.starts[i]), End: event.MicrosOf(c.ends[i])}
		properties[name] = v.properties[propertyKey{c.tenant, name}]
	}
	return facts.CustomerContributions(firstEndOf(c.firstEnd), sessions, properties)
}
