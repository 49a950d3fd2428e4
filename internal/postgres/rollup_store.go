package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

const storeFacts = `
UPDATE nexero.session_facts SET
    rolled_at = now(), due_at = $3, recomputes = $4, recompute_at = $5, facts_version = $6,
    sealed = $7, path_kept = path_kept AND NOT $8,
    customer_id = $9, property_id = $10, device = $11, started_at = $12, ended_at = $13, start_declared = $14, end_declared = $15,
    ended = $16, first_received_at = $17, last_received_at = $18, duration_ms = $19, active_ms = $20, events = $21, over_limit = $22,
    seq_received = $23, seq_expected = $24, clock_stepped = $25, zones = $26, entry_zone = $27, exit_zone = $28,
    visit_zones = $29, visit_levels = $30, visit_entered_at = $31, visit_left_at = $32, visit_dwell_ms = $33, visit_closed_by = $34,
    state = $35, contributions = $36
WHERE session_no = $1 AND generation = $2`

// postponeSession leaves everything but the time.
const postponeSession = `UPDATE nexero.session_facts SET due_at = $3 WHERE session_no = $1 AND generation = $2`

const insertCustomerTouches = `
INSERT INTO nexero.customer_touches (tenant_id, customer_id)
SELECT * FROM unnest($1::integer[], $2::text[]) AS new (tenant_id, customer_id)`

// storeFacts writes what was decided: facts, or for postponed sessions their
// touches again. Customers whose sessions changed are left to their own
// roll-up: a customer's lock comes after those of sessions, and one that was
// held from here on would make roll-ups of different sessions wait for each
// other.
func (r *rollup) storeFacts(ctx context.Context) error {
	crashpoint.At(crashpoint.SessionsFolded)
	var batch pgx.Batch
	var back []touch
	touched := make(map[customerKey]bool)
	for _, c := range r.claims {
		if c.Result.Postponed {
			if c.restTaken {
				return fmt.Errorf("session no. %d is postponed after it was read from its first event", c.SessionNo)
			}
			batch.Queue(postponeSession, c.SessionNo, r.generation, c.Result.Due.Time()).Exec(wantRows(1))
			back = append(back, c.touches...)
			r.result.Postponed++
			continue
		}
		c.queueFacts(&batch, r.generation)
		c.touchCustomers(touched)
	}
	if len(back) > 0 {
		queueTouches(&batch, back)
	}
	if len(touched) > 0 {
		tenants, customers := make([]int32, 0, len(touched)), make([]string, 0, len(touched))
		for key := range touched {
			tenants, customers = append(tenants, key.tenant), append(customers, key.customer)
		}
		batch.Queue(insertCustomerTouches, tenants, customers)
	}
	r.result.Claimed = len(r.claims)
	if batch.Len() == 0 {
		return nil
	}
	return r.conn.SendBatch(ctx, &batch).Close()
}

// queueTouches writes touches as loads do.
func queueTouches(batch *pgx.Batch, touches []touch) {
	sessions, batches, times := make([]int64, len(touches)), make([]int64, len(touches)), make([]time.Time, len(touches))
	for i, t := range touches {
		sessions[i], batches[i], times[i] = t.session, t.batch, t.receivedAt
	}
	batch.Queue(insertTouches, sessions, batches, times).Exec(wantRows(len(touches)))
}

// queueFacts stores the facts of a session and the state that they are of.
func (c *claim) queueFacts(batch *pgx.Batch, generation int16) {
	result := &c.Result
	f := result.Facts
	arguments := []any{
		c.SessionNo, generation, result.Due.Time(), result.Recomputes, result.RecomputeAt.Time(), facts.Version,
		c.Sealed || c.Seal, c.ForgetPath,
	}
	arguments = append(arguments, factsColumns(f)...)
	arguments = append(arguments, result.State.Append(nil), result.Contributed.Append(nil))
	batch.Queue(storeFacts, arguments...).Exec(wantRows(1))
}

// factsColumns are the columns of nexero.session_facts that are shown, in the
// order of storeFacts from customer_id to visit_closed_by.
func factsColumns(f *facts.Facts) []any {
	n := len(f.Visits)
	zones, levels, closedBy := make([]string, n), make([]int16, n), make([]string, n)
	entered, left, dwell := make([]time.Time, n), make([]time.Time, n), make([]int64, n)
	for i := range f.Visits {
		v := &f.Visits[i]
		zones[i], levels[i], closedBy[i] = v.Zone, v.Level, v.ClosedBy.String()
		entered[i], left[i], dwell[i] = storableTime(v.Entered), storableTime(v.Left), v.DwellMS
	}
	return []any{
		optional(f.CustomerID), optional(f.PropertyID), optional(f.Device),
		storableTime(f.Start), storableTime(f.End), f.StartDeclared, f.EndDeclared,
		f.Ended, storableTime(f.FirstReceived), storableTime(f.LastReceived), f.DurationMS, f.ActiveMS, f.Events, f.OverLimit,
		f.SeqReceived, f.SeqExpected, f.ClockStepped, f.Zones, optional(f.EntryZone), optional(f.ExitZone),
		zones, levels, entered, left, dwell, closedBy,
	}
}

// optional is NULL for nothing.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type customerKey struct {
	tenant   int32
	customer string
}

// touchCustomers notes the customer that the session had and the one that it
// has now, if anything that a customer's facts are made of changed.
func (c *claim) touchCustomers(touched map[customerKey]bool) {
	f := c.Result.Facts
	same := equal(c.customer, optional(f.CustomerID)) && equal(c.property, optional(f.PropertyID)) &&
		c.start != nil && c.start.Equal(storableTime(f.Start)) && c.end != nil && c.end.Equal(storableTime(f.End))
	if same && !c.New {
		return
	}
	for _, customer := range []*string{c.customer, optional(f.CustomerID)} {
		if customer != nil {
			touched[customerKey{c.TenantID, *customer}] = true
		}
	}
}

func equal(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// apply adds what the sessions contribute now, less what they had contributed,
// to the aggregates: all sessions of a roll-up together, so that rows which
// they share are written once.
func (r *rollup) apply(ctx context.Context) error {
	crashpoint.At(crashpoint.SessionsStored)
	differences := make(tenantLists)
	for _, c := range r.claims {
		if !c.Result.Postponed {
			differences.add(c.TenantID, facts.Difference(c.Result.Contributed, c.Contributed))
		}
	}
	return applyDifferences(ctx, r.conn, r.generation, differences.sums())
}

// addAll adds lists in pairs: one after the other would copy the first ones
// again for each of the others.
func addAll(lists []facts.Contributions) facts.Contributions {
	for len(lists) > 1 {
		half := lists[:0]
		for pair := range slices.Chunk(lists, 2) {
			if len(pair) == 2 {
				half = append(half, facts.Add(pair[0], pair[1]))
			} else {
				half = append(half, pair[0])
			}
		}
		lists = half
	}
	if len(lists) == 0 {
		return nil
	}
	return lists[0]
}

// ages are, for each touch that was rolled up, the time from its receipt to the
// end of the roll-up, which took the given time.
func (r *rollup) ages(took time.Duration) []time.Duration {
	var ages []time.Duration
	for _, c := range r.claims {
		if c.Result.Postponed {
			continue
		}
		for _, t := range c.touches {
			if t.batch != 0 {
				age := time.Duration(c.Now-event.MicrosOf(t.receivedAt)) * time.Microsecond
				ages = append(ages, max(age, 0)+took)
			}
		}
	}
	return ages
}
