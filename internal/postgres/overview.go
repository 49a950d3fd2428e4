package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
)

// Overview is a glance at what the views of schema analytics show of a tenant:
// a short list of each, all of one snapshot.
type Overview struct {
	// Days are the latest properties on days, the latest day first.
	Days []PropertyDay
	// Busiest is the one of them with most sessions, nil without any that names
	// its property. What follows is about it.
	Busiest *PropertyDay
	Zones   []ZoneDay
	Targets []TargetDay
	Objects []ObjectDay
	// Cells are those of Level, on which most time was spent.
	Level int16
	Cells []FloorCell
}

// PropertyDay is a row of analytics.properties_daily.
type PropertyDay struct {
	// Property is empty for sessions that named none, Name where nobody gave one.
	Property, Name                      string
	Day                                 time.Time
	Sessions, Customers, RepeatVisitors int64
	DurationP50                         time.Duration
	Engaged, Events                     int64
}

// ZoneDay is a row of analytics.zones_daily.
type ZoneDay struct {
	Zone               string
	Visits, Sessions   int64
	DwellP50, DwellP90 time.Duration
	Entries, Exits     int64
}

// TargetDay is what was looked at from a zone, a row of
// analytics.gaze_targets_daily. FirstLook is the median, 0 without one.
type TargetDay struct {
	Target, Zone    string
	Looks, Sessions int64
	Time, FirstLook time.Duration
}

// ObjectDay is what was done to an object, a row of
// analytics.interactions_daily.
type ObjectDay struct {
	Object, Kind, Zone string
	Times, Sessions    int64
}

// FloorCell is a row of analytics.floor_heatmap_daily: a square of 25 cm, X
// forward and Y to the right of the floor plan's origin.
type FloorCell struct {
	X, Y int32
	Time time.Duration
}

const (
	overviewRows  = 9
	overviewZones = 12
	// overviewCells is a floor of 2,500 square metres.
	overviewCells = 40_000
)

// Views of days have numeric seconds; what is shown is whole milliseconds.
const (
	overviewDays = `
SELECT property, coalesce(property_name, ''), day, sessions, customers, repeat_visitors,
       (duration_p50_s * 1000)::bigint, engaged, events, day >= ($2::timestamptz AT TIME ZONE time_zone)::date
FROM analytics.properties_daily
WHERE tenant = $1
ORDER BY day DESC, sessions DESC, property
LIMIT $3`
	overviewZonesOf = `
SELECT zone, visits, sessions, (dwell_p50_s * 1000)::bigint, (dwell_p90_s * 1000)::bigint, entries, exits
FROM analytics.zones_daily
WHERE tenant = $1 AND property = $2 AND day = $3
ORDER BY visits DESC, zone
LIMIT $4`
	overviewTargetsOf = `
SELECT target, zone, looks, sessions, (look_s * 1000)::bigint, coalesce(first_look_p50_s * 1000, 0)::bigint
FROM analytics.gaze_targets_daily
WHERE tenant = $1 AND property = $2 AND day = $3
ORDER BY look_s DESC, target, zone
LIMIT $4`
	overviewObjectsOf = `
SELECT object, kind, zone, interactions, sessions
FROM analytics.interactions_daily
WHERE tenant = $1 AND property = $2 AND day = $3
ORDER BY interactions DESC, object, kind, zone
LIMIT $4`
	overviewCellsOf = `
SELECT level, cell_x, cell_y, (time_s * 1000)::bigint
FROM analytics.floor_heatmap_daily
WHERE tenant = $1 AND property = $2 AND day = $3 AND level = (
    SELECT level FROM analytics.floor_heatmap_daily
    WHERE tenant = $1 AND property = $2 AND day = $3
    GROUP BY level ORDER BY sum(time_s) DESC, level LIMIT 1)
ORDER BY time_s DESC, cell_x, cell_y
LIMIT $4`
)

// Overview reads what is shown of a tenant at a glance. The busiest day is one
// since an instant, in the property's own time zone.
func (s *Store) Overview(ctx context.Context, tenant string, since time.Time) (Overview, error) {
	var o Overview
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		if err := o.readDays(ctx, tx, tenant, since); err != nil || o.Busiest == nil {
			return err
		}
		return o.readBusiest(ctx, tx, tenant)
	})
	if err != nil {
		return Overview{}, fmt.Errorf("postgres: overview of tenant %q: %w", tenant, err)
	}
	return o, nil
}

func (o *Overview) readDays(ctx context.Context, tx pgx.Tx, tenant string, since time.Time) error {
	rows, err := tx.Query(ctx, overviewDays, tenant, since, overviewRows)
	if err != nil {
		return err
	}
	var d PropertyDay
	var median milliseconds
	var recent bool
	busiest := -1
	_, err = pgx.ForEachRow(rows, []any{
		&d.Property, &d.Name, &d.Day, &d.Sessions, &d.Customers, &d.RepeatVisitors, &median, &d.Engaged, &d.Events, &recent,
	}, func() error {
		d.DurationP50 = median.duration()
		if recent && d.Property != "" && (busiest < 0 || d.Sessions > o.Days[busiest].Sessions) {
			busiest = len(o.Days)
		}
		o.Days = append(o.Days, d)
		return nil
	})
	if busiest >= 0 {
		o.Busiest = &o.Days[busiest]
	}
	return err
}

func (o *Overview) readBusiest(ctx context.Context, tx pgx.Tx, tenant string) error {
	var zone ZoneDay
	var target TargetDay
	var object ObjectDay
	var cell FloorCell
	var first, second milliseconds
	for _, list := range []struct {
		query string
		limit int
		into  []any
		add   func()
	}{
		{overviewZonesOf, overviewZones, []any{&zone.Zone, &zone.Visits, &zone.Sessions, &first, &second, &zone.Entries, &zone.Exits}, func() {
			zone.DwellP50, zone.DwellP90 = first.duration(), second.duration()
			o.Zones = append(o.Zones, zone)
		}},
		{overviewTargetsOf, overviewRows, []any{&target.Target, &target.Zone, &target.Looks, &target.Sessions, &first, &second}, func() {
			target.Time, target.FirstLook = first.duration(), second.duration()
			o.Targets = append(o.Targets, target)
		}},
		{overviewObjectsOf, overviewRows, []any{&object.Object, &object.Kind, &object.Zone, &object.Times, &object.Sessions}, func() {
			o.Objects = append(o.Objects, object)
		}},
		{overviewCellsOf, overviewCells, []any{&o.Level, &cell.X, &cell.Y, &first}, func() {
			cell.Time = first.duration()
			o.Cells = append(o.Cells, cell)
		}},
	} {
		rows, err := tx.Query(ctx, list.query, tenant, o.Busiest.Property, o.Busiest.Day, list.limit)
		if err != nil {
			return err
		}
		if _, err := pgx.ForEachRow(rows, list.into, func() error { list.add(); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// milliseconds is a length as these queries return it.
type milliseconds int64

func (m milliseconds) duration() time.Duration { return time.Duration(m) * time.Millisecond }

// SessionTally is what the views say of one session, to be held against what is
// known of it.
type SessionTally struct {
	// Events were folded. Zones are those of its visits in the order of entering.
	Events int64
	Zones  []string
}

// TallySessions returns what the views say of sessions, by their identity;
// those that they do not have are missing.
func (s *Store) TallySessions(ctx context.Context, keys []event.UUID) (map[event.UUID]SessionTally, error) {
	const query = `
SELECT s.session_key, s.events, coalesce(array_agg(v.zone ORDER BY v.visit) FILTER (WHERE v.visit IS NOT NULL), '{}')
FROM analytics.sessions s
LEFT JOIN analytics.zone_visits v ON v.session_key = s.session_key
WHERE s.session_key = ANY ($1::uuid[])
GROUP BY s.session_key, s.events`
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = key.String()
	}
	rows, err := s.pool.Query(ctx, query, texts)
	if err != nil {
		return nil, fmt.Errorf("postgres: tally sessions: %w", err)
	}
	tallies := make(map[event.UUID]SessionTally, len(keys))
	var key [16]byte
	var tally SessionTally
	_, err = pgx.ForEachRow(rows, []any{&key, &tally.Events, &tally.Zones}, func() error {
		tallies[key] = tally
		tally.Zones = nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: tally sessions: %w", err)
	}
	return tallies, nil
}
