package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/facts"
)

// claimCustomers skips customers in other hands. One that another roll-up has
// just let go of is looked at again by the server.
const claimCustomers = `
SELECT f.tenant_id, f.customer_id, f.contributions, f.first_end, f.shared
FROM nexero.customer_facts f
JOIN unnest($1::integer[], $2::text[]) AS n (tenant_id, customer_id) USING (tenant_id, customer_id)
WHERE f.generation = $3 AND f.facts_version <= $4 AND ` + customerDue + `
ORDER BY f.tenant_id, f.customer_id
LIMIT $5
FOR UPDATE OF f SKIP LOCKED`

func (r *customerRollup) claim(ctx context.Context) error {
	rows, err := r.conn.Query(ctx, claimCustomers, r.candidates.tenants, r.candidates.customers, r.generation, facts.Version, r.limit)
	if err != nil {
		return err
	}
	r.claims = make(map[customerKey]*customerClaim)
	var key customerKey
	var stored, shared []byte
	var firstEnd *time.Time
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.customer, &stored, &firstEnd, &shared}, func() error {
		r.locked.add(key)
		c := &customerClaim{firstEnd: firstEndOf(firstEnd)}
		var err error
		if c.contributed, err = decodeStored(stored); err == nil {
			c.shared, err = decodeStored(shared)
		}
		if err != nil {
			// What cannot be read can never be taken back: the row stays as it
			// is, and its touches go, so that it keeps nobody else waiting.
			r.damaged.add(key)
			r.store.log.ErrorContext(ctx, "customer cannot be rolled up: what is stored is damaged",
				slog.Int("tenant_id", int(key.tenant)), slog.Any("error", err))
			return nil
		}
		r.claims[key] = c
		return nil
	})
	return err
}

// decodeStored reads contributions, of which there are none in NULL.
func decodeStored(stored []byte) (facts.Contributions, error) {
	if stored == nil {
		return nil, nil
	}
	return facts.DecodeContributions(stored)
}

func (r *customerRollup) takeTouches(ctx context.Context) error {
	crashpoint.At(crashpoint.CustomersLocked)
	var batch pgx.Batch
	batch.Queue(deleteTouches, r.locked.tenants, r.locked.customers)
	if len(r.damaged.tenants) > 0 {
		batch.Queue(leaveDamaged, r.damaged.tenants, r.damaged.customers, r.generation, customerPause)
	}
	return r.conn.SendBatch(ctx, &batch).Close()
}

const (
	deleteTouches = `
DELETE FROM nexero.customer_touches t
USING unnest($1::integer[], $2::text[]) AS n (tenant_id, customer_id)
WHERE t.tenant_id = n.tenant_id AND t.customer_id = n.customer_id`
	// leaveDamaged is for departures of theirs, which stay.
	leaveDamaged = `
UPDATE nexero.customer_facts f SET due_at = now() + $4::interval
FROM unnest($1::integer[], $2::text[]) AS n (tenant_id, customer_id)
WHERE f.tenant_id = n.tenant_id AND f.customer_id = n.customer_id AND f.generation = $3`
)
