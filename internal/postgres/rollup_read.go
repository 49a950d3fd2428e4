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

// foldedColumns are what the fold needs of a row of nexero.events e, in the
// order in which eventReader takes them.
const foldedColumns = `e.session_no, e.batch_no, e.received_at, e.occurred_at, e.clock_shift_ms, e.client_seq, e.x, e.y, e.yaw,
       e.duration_ms, e.event_index, e.event_type, e.level, e.zone, e.object, e.target, e.action`

// readNewEvents names rows by their touches. The bounds on the time of receipt
// are there for the planner: they leave the partitions of other days alone.
const readNewEvents = `
SELECT ` + foldedColumns + `
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS t (session_no, batch_no, received_at)
JOIN nexero.events e USING (session_no, batch_no, received_at)
WHERE e.received_at BETWEEN $4 AND $5`

// A row whose touch is still there will come with it, so it is left out: it may
// have been committed since the touches were taken.
const (
	untouchedEvents = `
FROM nexero.events e
WHERE e.session_no = $1 AND e.received_at BETWEEN $2 AND $3
  AND NOT EXISTS (SELECT FROM nexero.session_touches t
                  WHERE t.session_no = $1 AND t.batch_no = e.batch_no AND t.received_at = e.received_at)`
	readWholeSession = `SELECT ` + foldedColumns + untouchedEvents + `
LIMIT $4`
	// readLongSession is for sessions with more events than can be folded: the
	// first ones, in the order in which they are.
	readLongSession = `SELECT ` + foldedColumns + untouchedEvents + `
ORDER BY e.occurred_at - coalesce(e.clock_shift_ms, 0) * interval '1 ms',
         e.client_seq NULLS FIRST, e.received_at, e.batch_no, e.event_index`
)

const reportColumnsRead = `r.session_no, r.received_at, r.batch_id, r.started_at, r.ended_at,
       coalesce(r.customer_id, ''), coalesce(r.property_id, ''), coalesce(r.device, '')`

// readNewReports names reports by the touches of their batches: what others said
// is in the state already, and a client may report every second. The times need
// not agree, since a replayed report keeps that of its batch.
const readNewReports = `
SELECT ` + reportColumnsRead + `
FROM (SELECT DISTINCT session_no, batch_no FROM unnest($1::bigint[], $2::bigint[]) AS u (session_no, batch_no)) t
JOIN nexero.session_reports r USING (session_no, batch_no)`

// readReports reads all reports of the sessions but those whose touch is still
// there. To hear one again changes nothing.
const readReports = `
SELECT ` + reportColumnsRead + `
FROM nexero.session_reports r
WHERE r.session_no = ANY($1)
  AND NOT EXISTS (SELECT FROM nexero.session_touches t
                  WHERE t.session_no = r.session_no AND t.batch_no = r.batch_no AND t.received_at = r.received_at)`

// read reads what the touches of the claims brought, their reports, and the
// properties that may be theirs.
func (r *rollup) read(ctx context.Context) error {
	crashpoint.At(crashpoint.SessionsTouchesTaken)
	byNumber := make(map[int64]*claim, len(r.claims))
	var sessions, batches []int64 // of all touches
	var unknown, reporting, reports []int64
	var times []time.Time
	for _, c := range r.claims {
		if c.Result.Postponed {
			continue
		}
		byNumber[c.SessionNo] = c
		if c.State == nil {
			unknown = append(unknown, c.SessionNo)
		}
		for _, t := range c.distinctTouches() {
			sessions, batches, times = append(sessions, t.session), append(batches, t.batch), append(times, t.receivedAt)
			if c.State != nil {
				reporting, reports = append(reporting, t.session), append(reports, t.batch)
			}
		}
	}
	if len(times) > 0 {
		from, to := slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
		rows, err := r.conn.Query(ctx, readNewEvents, sessions, batches, times, from, to)
		if err != nil {
			return err
		}
		if err := readEvents(rows, func(session int64) *[]facts.Event { return &byNumber[session].Events }); err != nil {
			return err
		}
	}
	if len(byNumber) == 0 {
		return nil
	}
	if err := r.readReports(ctx, readNewReports, byNumber, reporting, reports); err != nil {
		return err
	}
	if err := r.readReports(ctx, readReports, byNumber, unknown); err != nil {
		return err
	}
	return r.readProperties(ctx)
}

// distinctTouches returns the touches that name rows, each once.
func (c *claim) distinctTouches() []touch {
	touches := slices.DeleteFunc(slices.Clone(c.touches), func(t touch) bool { return t.batch == 0 })
	slices.SortFunc(touches, func(a, b touch) int {
		if a.batch != b.batch {
			return int(min(max(a.batch-b.batch, -1), 1))
		}
		return a.receivedAt.Compare(b.receivedAt)
	})
	return slices.CompactFunc(touches, func(a, b touch) bool { return a.batch == b.batch && a.receivedAt.Equal(b.receivedAt) })
}

// readReports adds what the query finds to the claims' reports. The query's first
// argument are numbers of sessions; without any it is left out.
func (r *rollup) readReports(ctx context.Context, query string, byNumber map[int64]*claim, arguments ...[]int64) error {
	if len(arguments[0]) == 0 {
		return nil
	}
	anyArguments := make([]any, len(arguments))
	for i := range arguments {
		anyArguments[i] = arguments[i]
	}
	rows, err := r.conn.Query(ctx, query, anyArguments...)
	if err != nil {
		return err
	}
	return collectReports(rows, func(session int64, report facts.Report) {
		c := byNumber[session]
		c.Reports = append(c.Reports, report)
	})
}

// collectReports gives each row of a query like readReports to hear.
func collectReports(rows pgx.Rows, hear func(session int64, report facts.Report)) error {
	var session int64
	var receivedAt time.Time
	var batchID [16]byte
	var start, end *time.Time
	var customer, property, device string
	_, err := pgx.ForEachRow(rows, []any{&session, &receivedAt, &batchID, &start, &end, &customer, &property, &device}, func() error {
		hear(session, facts.Report{
			ReceivedAt: event.MicrosOf(receivedAt), BatchID: batchID, Start: microsOf(start), End: microsOf(end),
			CustomerID: customer, PropertyID: property, Device: device,
		})
		return nil
	})
	return err
}

func microsOf(t *time.Time) *event.Micros {
	if t == nil {
		return nil
	}
	return new(event.MicrosOf(*t))
}

// readWhole replaces what was read of the claims by all that there is, in place.
func (r *rollup) readWhole(ctx context.Context, claims []*facts.Claim) error {
	for _, c := range r.claims {
		if !slices.Contains(claims, &c.Claim) {
			continue
		}
		if c.Sealed {
			return fmt.Errorf("session no. %d is sealed and cannot be read from its first event", c.SessionNo)
		}
		if c.partial && !c.restTaken {
			if err := r.takeRest(ctx, c); err != nil {
				return fmt.Errorf("session no. %d: take its other touches: %w", c.SessionNo, err)
			}
		}
		if err := r.readAllReports(ctx, c); err != nil {
			return fmt.Errorf("session no. %d: reports: %w", c.SessionNo, err)
		}
		from, to := c.received()
		if err := readSession(ctx, r.conn, &c.Claim, from, to, r.store.mostFolded); err != nil {
			return fmt.Errorf("session no. %d: %w", c.SessionNo, err)
		}
		r.result.Events += len(c.Events)
	}
	crashpoint.At(crashpoint.SessionsWholeRead)
	return nil
}

// readAllReports replaces the reports of a session that is folded anew. It comes
// after its touches were taken, like all reading.
func (r *rollup) readAllReports(ctx context.Context, c *claim) error {
	c.Reports = nil
	if err := r.readReports(ctx, readReports, map[int64]*claim{c.SessionNo: c}, []int64{c.SessionNo}); err != nil {
		return err
	}
	return r.readProperties(ctx)
}

// received bounds the receipt of all rows of the session that are rolled up
// here: what was known, and what its touches name.
func (c *claim) received() (from, to time.Time) {
	times := make([]time.Time, 0, len(c.touches)+4)
	for _, t := range c.touches {
		times = append(times, t.receivedAt)
	}
	for _, known := range []*time.Time{c.receivedFrom, c.receivedTo, c.restFrom, c.restTo} {
		if known != nil {
			times = append(times, *known)
		}
	}
	if len(times) == 0 {
		return time.Time{}, time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare)
}

// readSession reads a session's events from the first one on. Of one with more
// than most events it reads the first ones and counts the others.
func readSession(ctx context.Context, conn *pgx.Conn, c *facts.Claim, from, to time.Time, most int) error {
	c.Events, c.Whole = nil, true
	for _, read := range []struct {
		query     string
		arguments []any
	}{
		// One too many says that there are more; which ones are the first is not
		// known then.
		{readWholeSession, []any{c.SessionNo, from, to, most + 1}},
		{readLongSession, []any{c.SessionNo, from, to}},
	} {
		rows, err := conn.Query(ctx, read.query, read.arguments...)
		if err != nil {
			return err
		}
		var r eventReader
		c.Events, c.Unread = c.Events[:0], 0
		for rows.Next() {
			_, e := r.event(rows.RawValues())
			if len(c.Events) < most {
				c.Events = append(c.Events, e)
				continue
			}
			if c.Unread++; c.Unread == 1 {
				c.UnreadFrom, c.UnreadUntil = e.ReceivedAt, e.ReceivedAt
			}
			c.UnreadFrom, c.UnreadUntil = min(c.UnreadFrom, e.ReceivedAt), max(c.UnreadUntil, e.ReceivedAt)
		}
		rows.Close()
		if err := rows.Err(); err != nil || c.Unread == 0 {
			return err
		}
	}
	return nil
}

// readProperties reads those that the claims' sessions name or named.
func (r *rollup) readProperties(ctx context.Context) error {
	type key struct {
		tenant   int32
		property string
	}
	wanted := make(map[key][]*claim)
	for _, c := range r.claims {
		names := make(map[string]bool)
		if c.property != nil {
			names[*c.property] = true
		}
		for i := range c.Reports {
			names[facts.Name(c.Reports[i].PropertyID)] = true
		}
		delete(names, "")
		for name := range names {
			k := key{c.TenantID, name}
			wanted[k] = append(wanted[k], c)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	tenants, names := make([]int32, 0, len(wanted)), make([]string, 0, len(wanted))
	for k := range wanted {
		tenants, names = append(tenants, k.tenant), append(names, k.property)
	}
	return r.store.eachProperty(ctx, r.conn, tenants, names, func(tenant int32, id string, property facts.Property) {
		for _, c := range wanted[key{tenant, id}] {
			if c.Properties == nil {
				c.Properties = make(map[string]facts.Property)
			}
			c.Properties[id] = property
		}
	})
}

// eachProperty reads those of the named properties that an operator has
// described. The caller holds propertiesLock, so that they stay as they are.
func (s *Store) eachProperty(ctx context.Context, conn *pgx.Conn, tenants []int32, names []string, take func(tenant int32, id string, property facts.Property)) error {
	const query = `
SELECT p.tenant_id, p.property_id, p.time_zone, p.origin_x, p.origin_y
FROM unnest($1::integer[], $2::text[]) AS n (tenant_id, property_id)
JOIN nexero.properties p USING (tenant_id, property_id)`
	rows, err := conn.Query(ctx, query, tenants, names)
	if err != nil {
		return err
	}
	var tenant int32
	var id, zone string
	var property facts.Property
	_, err = pgx.ForEachRow(rows, []any{&tenant, &id, &zone, &property.OriginX, &property.OriginY}, func() error {
		location, err := s.location(zone)
		if err != nil {
			return fmt.Errorf("time zone of property %q: %w", id, err)
		}
		property.Zone = location
		take(tenant, id, property)
		return nil
	})
	return err
}

// location returns a time zone by its name. Reading one costs more than a
// roll-up of a short session, so they are kept; there are some hundred.
func (s *Store) location(name string) (*time.Location, error) {
	if known, ok := s.locations.Load(name); ok {
		return known.(*time.Location), nil //nolint:forcetypeassert // nothing else is stored
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	s.locations.Store(name, location)
	return location, nil
}
