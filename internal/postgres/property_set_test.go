package postgres_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func (f *fixture) setProperty(want int64, p postgres.Property) {
	f.Helper()
	got, err := f.store.SetProperty(f.Context(), "acme", p)
	if err != nil || got != want {
		f.Errorf("set %+v: %d sessions, want %d (%v)", p, got, want, err)
	}
}

// Touches that a property leaves, and those of customers.
const leftTouches = `SELECT (SELECT count(*) FROM nexero.session_touches), (SELECT count(*) FROM nexero.customer_touches)`

func TestSetProperty(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	f.session(1, "anna", "loft", 0, 10)
	f.session(2, "anna", "loft", 20, 30)
	f.session(3, "bert", "villa", 0, 10)
	f.exec("INSERT INTO nexero.session_facts (session_no, generation, tenant_id, property_id, started_at) VALUES (4, 1, 1, 'loft', now()), (5, 1, 2, 'loft', now())")
	f.rollCustomers(2)
	for _, step := range []struct {
		name     string
		property postgres.Property
		touched  int64
		left     string
	}{
		{"what is so anyway", postgres.Property{ID: "loft"}, 0, "0 0"},
		{"a name", postgres.Property{ID: "loft", Name: "The Loft", TimeZone: "UTC"}, 0, "0 0"},
		{"an origin", postgres.Property{ID: "loft", Name: "The Loft", OriginX: 12.5}, 3, "3 0"},
		{"the same", postgres.Property{ID: "loft", Name: "The Loft", OriginX: 12.5}, 0, "0 0"},
		{"a time zone", postgres.Property{ID: "loft", Name: "The Loft", TimeZone: "Asia/Kolkata"}, 3, "3 1"},
		{"of nothing yet", postgres.Property{ID: "hut", TimeZone: "America/St_Johns"}, 0, "0 0"},
	} {
		f.Log("step:", step.name)
		f.setProperty(step.touched, step.property)
		f.want(leftTouches, step.left)
		f.want("SELECT count(*) FROM nexero.session_touches WHERE batch_no <> 0 OR session_no NOT IN (1, 2, 4)", "0")
		f.exec("DELETE FROM nexero.session_touches")
		f.exec("DELETE FROM nexero.customer_touches")
	}
	rows, err := f.store.Properties(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]postgres.PropertyRow{
		{Tenant: "acme", Property: postgres.Property{ID: "hut", TimeZone: "America/St_Johns"}},
		{Tenant: "acme", Property: postgres.Property{ID: "loft", Name: "The Loft", TimeZone: "Asia/Kolkata"}},
	}, rows, cmpopts.IgnoreFields(postgres.PropertyRow{}, "ChangedAt")); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

func TestSetProperty_Refuses(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	far, none := float32(1e9), float32(math.NaN())
	for name, p := range map[string]postgres.Property{
		"no id":               {},
		"a long id":           {ID: strings.Repeat("x", 64<<10+1)},
		"an id with NUL":      {ID: "a\x00"},
		"a name that is none": {ID: "loft", Name: "\xff"},
		"an origin far away":  {ID: "loft", OriginX: far},
		"an origin nowhere":   {ID: "loft", OriginY: none},
		"no zone":             {ID: "loft", TimeZone: "Europe/Atlantis"},
		"this machine's zone": {ID: "loft", TimeZone: "Local"},
		"leap seconds":        {ID: "loft", TimeZone: "right/Europe/Berlin"},
		"an offset":           {ID: "loft", TimeZone: "+05:30"},
		"a way out":           {ID: "loft", TimeZone: "../UTC"},
		"in lower case":       {ID: "loft", TimeZone: "europe/berlin"},
	} {
		if _, err := f.store.SetProperty(t.Context(), "acme", p); !errors.Is(err, postgres.ErrProperty) {
			t.Errorf("%s: got %v, want ErrProperty", name, err)
		}
	}
	if _, err := f.store.SetProperty(t.Context(), "nobody", postgres.Property{ID: "loft"}); !errors.Is(err, postgres.ErrNoTenant) {
		t.Errorf("got %v, want ErrNoTenant", err)
	}
	f.want("SELECT count(*) FROM nexero.properties", "0")
	f.want("SELECT name FROM nexero.tenants", "acme")
}

// A roll-up that has read the old property is waited for, and what it stores is
// counted anew: it had not stored it when the change began.
//
// rule 4
func TestSetProperty_WaitsForWhoReadTheOldOne(t *testing.T) {
	t.Parallel()
	f := setupCustomers(t)
	f.session(1, "anna", "loft", 0, 10)
	_, release := f.block("LOCK TABLE rollup.customers_daily IN ACCESS EXCLUSIVE MODE")
	rolled, set := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := f.store.RollCustomers(t.Context(), 10)
		rolled <- err
	}()
	const waiting = `SELECT count(*) FROM pg_sleep(0.002), pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'nexero-worker'`
	f.poll(waiting, func(n int) bool { return n == 1 })
	go func() {
		_, err := f.store.SetProperty(t.Context(), "acme", postgres.Property{ID: "loft", TimeZone: "Pacific/Kiritimati"})
		set <- err
	}()
	f.poll(waiting, func(n int) bool { return n == 2 })
	f.want("SELECT count(*) FROM nexero.properties", "0")
	release()
	if err := errors.Join(<-rolled, <-set); err != nil {
		t.Fatal(err)
	}
	f.want(storedCustomers, "loft 2026-03-10 1 0")
	f.rollCustomers(1)
	f.want(storedCustomers, "loft 2026-03-11 1 0") // it is 14 hours ahead
}

// A new time zone moves what is counted to other days, and leaves nothing behind.
//
// rule 4
func TestSetProperty_MovesWhatIsCounted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	// Before midnight UTC, which is the next day further east.
	evening := received.Truncate(24 * time.Hour).Add(-time.Hour)
	for _, name := range []string{"a", "b"} {
		f.load(batch(name).at(evening).poses(0, 1, 2).with(event.Event{Index: 3, Type: event.ZoneEnter, Zone: "hall"}).
			report(event.Report{CustomerID: "anna", PropertyID: "loft"}).seal(t))
	}
	f.roll(f.store)
	f.rollCustomers(1)
	day, next := evening.Format(time.DateOnly), evening.AddDate(0, 0, 1).Format(time.DateOnly)
	const days = `SELECT 'zones', day::text, refs FROM rollup.zones_daily UNION ALL SELECT 'properties', day::text, refs FROM rollup.properties_daily
		UNION ALL SELECT 'customers', day::text, refs FROM rollup.customers_daily ORDER BY 1, 2`
	f.want(days, "customers "+day+" 1", "properties "+day+" 2", "zones "+day+" 2")

	f.setProperty(2, postgres.Property{ID: "loft", TimeZone: "Asia/Tokyo"})
	f.roll(f.store)
	f.rollCustomers(1)
	f.want(days, "customers "+next+" 1", "properties "+next+" 2", "zones "+next+" 2")
	f.wantRolled()
	f.wantCustomers()

	f.setProperty(2, postgres.Property{ID: "loft", TimeZone: "America/New_York"})
	f.roll(f.store)
	f.rollCustomers(1)
	f.want(days, "customers "+day+" 1", "properties "+day+" 2", "zones "+day+" 2")
	f.wantRolled()
	f.wantCustomers()
	f.want(leftTouches, "0 0")
}
