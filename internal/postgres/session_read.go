package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// Session is a row of analytics.sessions with what happened in it, all of one
// snapshot. Where the view has NULL a pointer is nil and a text is empty.
type Session struct {
	// ID is the session as the client wrote it first, Key its identity.
	ID  string
	Key event.UUID

	Property, PropertyName, Customer, Device string
	StartedAt, EndedAt                       *time.Time
	// Day is a date in TimeZone.
	Day                             *time.Time
	TimeZone                        string
	Duration, Active                time.Duration
	Events, EventsOverLimit         int64
	Zones                           int
	EntryZone, ExitZone             string
	Completeness                    *float64
	Status                          string
	ClockStepped, Sealed            bool
	StartDeclared, EndDeclared      bool
	FirstReceivedAt, LastReceivedAt *time.Time
	UpdatedAt                       time.Time

	// Visits are the first [MaxSessionRows] of VisitsTotal in their order.
	Visits      []Visit
	VisitsTotal int
	// Details says that looks and interactions could be read. A worker that is
	// newer than this program may store them in a form of its own.
	Details bool
	// Looks are those with most time, Interactions the most frequent.
	Looks             []Look
	LooksTotal        int
	Interactions      []Interaction
	InteractionsTotal int
}

// MaxSessionRows is how many visits, looks and interactions of a session are
// returned each.
const MaxSessionRows = 1000

// Visit is a row of analytics.zone_visits.
type Visit struct {
	Visit             int
	Zone              string
	Level             int
	EnteredAt, LeftAt time.Time
	Length, Dwell     time.Duration
	ClosedBy          string
}

// Look is what a session adds to analytics.gaze_targets_daily for a target seen
// from a zone.
type Look struct {
	Target, Zone string
	Looks        int64
	Time         time.Duration
}

// Interaction is what a session adds to analytics.interactions_daily.
type Interaction struct {
	Object, Kind, Zone string
	Times              int64
}

// ErrNoSession is a session that the tenant does not have, or that is not in
// the views yet.
var ErrNoSession = errors.New("postgres: no such session")

const (
	selectSession = `
SELECT session, session_key, coalesce(property, ''), coalesce(property_name, ''), coalesce(customer, ''), coalesce(device, ''),
       started_at, ended_at, day, time_zone, coalesce(duration_s * 1000, 0)::bigint, coalesce(active_s * 1000, 0)::bigint,
       coalesce(events, 0), coalesce(zones, 0), coalesce(entry_zone, ''), coalesce(exit_zone, ''), completeness::double precision,
       status, coalesce(events_over_limit, 0), clock_stepped, sealed, start_declared, end_declared,
       first_received_at, last_received_at, updated_at
FROM analytics.sessions
WHERE session_key = $1 AND tenant = $2`

	selectVisits = `
SELECT count(*) OVER (), visit, zone, level, entered_at, left_at, (length_s * 1000)::bigint, (dwell_s * 1000)::bigint, closed_by
FROM analytics.zone_visits
WHERE session_key = $1 AND tenant = $2
ORDER BY visit
LIMIT $3`

	selectContributions = `
SELECT f.contributions
FROM nexero.sessions s
JOIN nexero.tenants t ON t.tenant_id = s.tenant_id
JOIN nexero.session_facts f ON f.session_no = s.session_no AND f.tenant_id = t.tenant_id
WHERE s.session_id = $1 AND t.name = $2
  AND f.generation = (SELECT g.generation FROM nexero.generations g WHERE g.live)`
)

// Session reads one session of a tenant by the client's id in any spelling. The
// error is [ErrNoSession], or of the database.
func (r *Reader) Session(ctx context.Context, tenant, id string) (Session, error) {
	normalised, valid := event.NormaliseSessionID(id)
	if !valid {
		return Session{}, ErrNoSession
	}
	key := event.SessionKey(tenant, normalised)
	var s Session
	err := r.read(ctx, func(tx pgx.Tx) error {
		if err := s.readRow(ctx, tx, tenant, key); err != nil {
			return err
		}
		if err := s.readVisits(ctx, tx, tenant, key); err != nil {
			return err
		}
		return s.readContributions(ctx, tx, tenant, key)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("postgres: read session %s of tenant %q: %w", key, tenant, err)
	}
	return s, nil
}

func (s *Session) readRow(ctx context.Context, tx pgx.Tx, tenant string, key event.UUID) error {
	var duration, active milliseconds
	err := tx.QueryRow(ctx, selectSession, [16]byte(key), tenant).Scan(
		&s.ID, (*[16]byte)(&s.Key), &s.Property, &s.PropertyName, &s.Customer, &s.Device,
		&s.StartedAt, &s.EndedAt, &s.Day, &s.TimeZone, &duration, &active,
		&s.Events, &s.Zones, &s.EntryZone, &s.ExitZone, &s.Completeness,
		&s.Status, &s.EventsOverLimit, &s.ClockStepped, &s.Sealed, &s.StartDeclared, &s.EndDeclared,
		&s.FirstReceivedAt, &s.LastReceivedAt, &s.UpdatedAt)
	s.Duration, s.Active = duration.duration(), active.duration()
	return err
}

func (s *Session) readVisits(ctx context.Context, tx pgx.Tx, tenant string, key event.UUID) error {
	rows, err := tx.Query(ctx, selectVisits, [16]byte(key), tenant, MaxSessionRows)
	if err != nil {
		return err
	}
	var v Visit
	var length, dwell milliseconds
	_, err = pgx.ForEachRow(rows, []any{&s.VisitsTotal, &v.Visit, &v.Zone, &v.Level, &v.EnteredAt, &v.LeftAt, &length, &dwell, &v.ClosedBy}, func() error {
		v.Length, v.Dwell = length.duration(), dwell.duration()
		s.Visits = append(s.Visits, v)
		return nil
	})
	return err
}

// readContributions adds up what the session has added to the aggregates of
// looks and interactions, over days.
func (s *Session) readContributions(ctx context.Context, tx pgx.Tx, tenant string, key event.UUID) error {
	var stored []byte
	if err := tx.QueryRow(ctx, selectContributions, [16]byte(key), tenant).Scan(&stored); err != nil {
		return err
	}
	if stored == nil {
		s.Details = true
		return nil
	}
	contributions, err := facts.DecodeContributions(stored)
	if errors.Is(err, facts.ErrVersion) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("contributions: %w", err)
	}
	s.Details = true
	s.addUp(contributions)
	return nil
}

func (s *Session) addUp(contributions facts.Contributions) {
	type name struct{ object, kind, zone string }
	looks, interactions := map[name]*Look{}, map[name]*Interaction{}
	count := slices.Index(facts.GazeTargetsDaily.Columns().Sums, "looks")
	length := slices.Index(facts.GazeTargetsDaily.Columns().Sums, "look_ms")
	for i := range contributions {
		row := &contributions[i]
		at := name{row.Object, row.Kind, row.Zone}
		switch row.Table {
		case facts.GazeTargetsDaily:
			if looks[at] == nil {
				looks[at] = &Look{Target: row.Object, Zone: row.Zone}
			}
			looks[at].Looks += row.Sums[count]
			looks[at].Time += milliseconds(row.Sums[length]).duration()
		case facts.InteractionsDaily:
			if interactions[at] == nil {
				interactions[at] = &Interaction{Object: row.Object, Kind: row.Kind, Zone: row.Zone}
			}
			interactions[at].Times += row.Sums[0]
		default:
		}
	}
	s.Looks, s.LooksTotal = foremost(looks, func(a, b *Look) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Zone, b.Zone))
	})
	s.Interactions, s.InteractionsTotal = foremost(interactions, func(a, b *Interaction) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Zone, b.Zone))
	})
}

// foremost returns the first rows in an order, and how many there are.
func foremost[K comparable, V any](all map[K]*V, order func(a, b *V) int) (rows []V, total int) {
	for _, row := range slices.SortedFunc(maps.Values(all), order)[:min(len(all), MaxSessionRows)] {
		rows = append(rows, *row)
	}
	return rows, len(all)
}
