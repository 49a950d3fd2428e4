package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/facts"
)

// propertiesLock is the advisory lock on nexero.properties: "nexero z" as a
// number. A transaction that makes facts from properties holds it shared until
// its COMMIT, so whoever changes a property sees everything that was made from
// the old one, and nothing is made from it afterwards.
const propertiesLock int64 = 0x6e657865726f207a

// Property is what an operator says of a property.
type Property struct {
	// ID is the property in the clients' words. It is stored as facts have it: a
	// longer one than [facts.MaxNameBytes] is cut, and may be given either way.
	ID string
	// Name is for people, "" for none.
	Name string
	// TimeZone is an IANA name, "" for UTC: the zone in which its days begin.
	TimeZone string
	// OriginX and OriginY are where its floor plan begins, in centimetres of the
	// Unreal world.
	OriginX, OriginY float32
}

// What SetProperty can object to.
var (
	// ErrNoTenant is a tenant that has neither a key nor an event.
	ErrNoTenant = errors.New("postgres: there is no such tenant")
	// ErrProperty is a property that cannot be stored as described.
	ErrProperty = errors.New("postgres: not a property")
)

const (
	maxPropertyText = facts.MaxNameBytes
	// maxPropertyID is more than the edge lets through.
	maxPropertyID = 64 << 10
	// farthestOrigin bounds an origin, in centimetres: 250 km, as far as facts
	// reach.
	farthestOrigin = 25_000_000
)

func (p *Property) validate() error {
	inPlan := func(cm float32) bool { return math.Abs(float64(cm)) <= farthestOrigin } // false for NaN
	switch {
	case p.ID == "" || storable(p.ID) != p.ID || len(p.ID) > maxPropertyID:
		return fmt.Errorf("%w: an id of 1 to %d bytes of text is needed", ErrProperty, maxPropertyID)
	case storable(p.Name) != p.Name || len(p.Name) > maxPropertyText:
		return fmt.Errorf("%w: the name is not text of at most %d bytes", ErrProperty, maxPropertyText)
	case !inPlan(p.OriginX) || !inPlan(p.OriginY):
		return fmt.Errorf("%w: the origin lies more than 250 km away", ErrProperty)
	}
	return validateZone(p.TimeZone)
}

// validateZone refuses what is no time zone here, or not the same on every
// machine: roll-ups on different ones must agree on a property's days.
func validateZone(name string) error {
	switch {
	case name == "Local", name == "localtime", name == "posixrules", name == "Factory",
		strings.HasPrefix(name, "posix/"), strings.HasPrefix(name, "right/"):
		return fmt.Errorf("%w: time zone %q is not the same everywhere; use an IANA name like Europe/Berlin", ErrProperty, name)
	}
	if _, err := time.LoadLocation(name); err != nil {
		return fmt.Errorf("%w: time zone: %w", ErrProperty, err)
	}
	return nil
}

// SetProperty writes what an operator says of a property of the tenant, and has
// everything that counts there counted anew when its days or its floor plan
// moved: it returns how many sessions roll-ups will count again. What is already
// so changes nothing. The error is ErrNoTenant, ErrProperty, or the database's.
//
// Roll-ups wait meanwhile, about ten seconds for a million sessions. It may be called
// at any time and from anywhere; after an error nothing is changed, or, when the
// connection broke during COMMIT, everything.
func (s *Store) SetProperty(ctx context.Context, tenant string, p Property) (sessions int64, err error) {
	if p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	if err := p.validate(); err != nil {
		return 0, err
	}
	p.ID = facts.Name(p.ID)
	change := propertyChange{Property: p}
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		return change.run(ctx, tx, tenant)
	})
	if err != nil {
		return 0, fmt.Errorf("postgres: set property %q: %w", p.ID, err)
	}
	return change.sessions, nil
}

// propertyChange is one call of SetProperty.
type propertyChange struct {
	Property
	tenant   int32
	sessions int64
}

func (c *propertyChange) run(ctx context.Context, tx pgx.Tx, tenant string) error {
	// Before anything is read: a roll-up that read the old property may not have
	// stored its session yet, and a touch that misses it would be for nothing.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", propertiesLock); err != nil {
		return fmt.Errorf("wait for roll-ups: %w", err)
	}
	err := tx.QueryRow(ctx, "SELECT tenant_id FROM nexero.tenants WHERE name = $1", storable(tenant)).Scan(&c.tenant)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%w: %q", ErrNoTenant, tenant)
	}
	if err != nil {
		return err
	}
	var zoneKnown bool
	err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)", c.TimeZone).Scan(&zoneKnown)
	if err != nil {
		return err
	}
	if !zoneKnown {
		return fmt.Errorf("%w: PostgreSQL does not know time zone %q", ErrProperty, c.TimeZone)
	}
	before, err := c.stored(ctx, tx)
	if err != nil || before == c.Property {
		return err
	}
	const upsert = `
INSERT INTO nexero.properties (tenant_id, property_id, name, time_zone, origin_x, origin_y)
VALUES ($1, $2, NULLIF($3, ''), $4, $5, $6)
ON CONFLICT (tenant_id, property_id) DO UPDATE
SET name = excluded.name, time_zone = excluded.time_zone, origin_x = excluded.origin_x, origin_y = excluded.origin_y, changed_at = now()`
	if _, err := tx.Exec(ctx, upsert, c.tenant, c.ID, c.Name, c.TimeZone, c.OriginX, c.OriginY); err != nil {
		return err
	}
	if before.Name = c.Name; before == c.Property {
		return nil // a name counts nowhere
	}
	return c.touchAll(ctx, tx, before.TimeZone != c.TimeZone)
}

// stored returns the property as roll-ups see it now: one that is not there
// counts in UTC from the origin of the world.
func (c *propertyChange) stored(ctx context.Context, tx pgx.Tx) (Property, error) {
	before := Property{ID: c.ID, TimeZone: "UTC"}
	const query = `
SELECT coalesce(name, ''), time_zone, origin_x, origin_y FROM nexero.properties WHERE tenant_id = $1 AND property_id = $2`
	err := tx.QueryRow(ctx, query, c.tenant, c.ID).Scan(&before.Name, &before.TimeZone, &before.OriginX, &before.OriginY)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return before, err
}

// Sessions and customers of a property, in whatever order the table has them:
// in portions a million would take three times as long, and all that time
// roll-ups wait.
const (
	touchSessions = `
INSERT INTO nexero.session_touches (session_no, batch_no, received_at)
SELECT session_no, 0, now()
FROM nexero.session_facts
WHERE tenant_id = $1 AND property_id = $2 AND generation = ` + liveGeneration
	touchCustomers = `
INSERT INTO nexero.customer_touches (tenant_id, customer_id)
SELECT DISTINCT tenant_id, customer_id
FROM nexero.session_facts
WHERE tenant_id = $1 AND property_id = $2 AND generation = ` + liveGeneration + ` AND customer_id IS NOT NULL`
)

// touchAll asks for the contributions of every session of the property, and of
// every customer of one of them. Sessions that come to the property later are
// rolled up later, and with the property as it will be then.
func (c *propertyChange) touchAll(ctx context.Context, tx pgx.Tx, customers bool) error {
	// The session's own timeout is for loads, which are short.
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, touchSessions, c.tenant, c.ID)
	if err != nil {
		return fmt.Errorf("touch its sessions: %w", err)
	}
	c.sessions = tag.RowsAffected()
	if !customers {
		return nil
	}
	if _, err := tx.Exec(ctx, touchCustomers, c.tenant, c.ID); err != nil {
		return fmt.Errorf("touch its customers: %w", err)
	}
	return nil
}

// PropertyRow is a property with its tenant.
type PropertyRow struct {
	Tenant string
	Property
	ChangedAt time.Time
}

// Properties returns what operators have said of properties, in the order of
// tenant and id.
func (s *Store) Properties(ctx context.Context) ([]PropertyRow, error) {
	rows, err := s.pool.Query(ctx, `
SELECT t.name, p.property_id, coalesce(p.name, ''), p.time_zone, p.origin_x, p.origin_y, p.changed_at
FROM nexero.properties p JOIN nexero.tenants t USING (tenant_id)
ORDER BY t.name, p.property_id`)
	if err != nil {
		return nil, fmt.Errorf("postgres: list properties: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PropertyRow, error) {
		var p PropertyRow
		err := row.Scan(&p.Tenant, &p.ID, &p.Name, &p.TimeZone, &p.OriginX, &p.OriginY, &p.ChangedAt)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: list properties: %w", err)
	}
	return all, nil
}
