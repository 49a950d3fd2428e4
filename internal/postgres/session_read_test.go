package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
)

// visitKitchen is a tour with two visits, a look, and something touched twice.
func visitKitchen(b *builder) *builder {
	at := func(second int) event.Micros {
		return event.MicrosOf(received.Add(-time.Hour)) + event.Micros(second)*1_000_000
	}
	return b.with(
		event.Event{Index: 0, Type: event.ZoneEnter, Zone: "hall", OccurredAt: at(0)},
		event.Event{Index: 1, Type: event.ZoneExit, Zone: "hall", OccurredAt: at(5)},
		event.Event{Index: 2, Type: event.ZoneEnter, Zone: "kitchen", OccurredAt: at(6), Has: event.FieldLevel, Level: 1},
		event.Event{Index: 3, Type: event.Gaze, Zone: "kitchen", Target: "oven", OccurredAt: at(7), Has: event.FieldDuration, DurationMS: 1500},
		event.Event{Index: 4, Type: event.Interaction, Zone: "kitchen", Object: "tap", Action: "open", OccurredAt: at(9)},
		event.Event{Index: 5, Type: event.Interaction, Zone: "kitchen", Object: "tap", Action: "open", OccurredAt: at(10)},
		event.Event{Index: 6, Type: event.ZoneExit, Zone: "kitchen", OccurredAt: at(12), Has: event.FieldLevel, Level: 1},
	).report(event.Report{CustomerID: "anna", PropertyID: "loft", Device: "quest-3"})
}

func TestReader_Session(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	const guid = "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8"
	normalised, _ := event.NormaliseSessionID(guid)
	key := event.SessionKey("acme", normalised)
	of := func(tenant, name string) *builder {
		b := batch(name)
		b.Tenant = tenant
		b.Sessions = []event.Session{{Key: event.SessionKey(tenant, normalised), ClientID: guid}}
		return b
	}
	f.load(visitKitchen(of("acme", "tour")).seal(t))
	if _, err := reader.Session(t.Context(), "acme", guid); !errors.Is(err, postgres.ErrNoSession) {
		t.Errorf("before it was rolled up: %v", err)
	}
	f.load(of("other", "theirs").poses(0).seal(t))
	f.roll(f.store)

	started := received.Add(-time.Hour)
	second := func(n int) time.Time { return started.Add(time.Duration(n) * time.Second) }
	for _, spelling := range []string{guid, strings.ToLower(guid), "{7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8}", "AnalyticsET@@" + guid} {
		got, err := reader.Session(t.Context(), "acme", spelling)
		if err != nil {
			t.Fatalf("%s: %v", spelling, err)
		}
		want := postgres.Session{
			ID: guid, Key: key, Property: "loft", Customer: "anna", Device: "quest-3",
			StartedAt: &started, EndedAt: new(second(12)), TimeZone: "UTC",
			Day:      new(started.Truncate(24 * time.Hour)),
			Duration: 12 * time.Second, Active: 12 * time.Second, Events: 7, Zones: 2, EntryZone: "hall", ExitZone: "kitchen",
			Status: "active", FirstReceivedAt: &received, LastReceivedAt: &received, Details: true,
			VisitsTotal: 2, Visits: []postgres.Visit{
				{Visit: 1, Zone: "hall", EnteredAt: second(0), LeftAt: second(5), Length: 5 * time.Second, Dwell: 5 * time.Second, ClosedBy: "exit"},
				{Visit: 2, Zone: "kitchen", Level: 1, EnteredAt: second(6), LeftAt: second(12), Length: 6 * time.Second, Dwell: 6 * time.Second, ClosedBy: "exit"},
			},
			LooksTotal: 1, Looks: []postgres.Look{{Target: "oven", Zone: "kitchen", Looks: 1, Time: 1500 * time.Millisecond}},
			InteractionsTotal: 1, Interactions: []postgres.Interaction{{Object: "tap", Kind: "open", Zone: "kitchen", Times: 2}},
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(postgres.Session{}, "UpdatedAt")); diff != "" || got.UpdatedAt.IsZero() {
			t.Errorf("%s (-want +got):\n%s", spelling, diff)
		}
	}
	// The same id is another session elsewhere. // rule 8
	theirs, err := reader.Session(t.Context(), "other", guid)
	if err != nil || theirs.Events != 1 || theirs.Customer != "" || theirs.VisitsTotal != 0 {
		t.Errorf("the other tenant's: %+v, %v", theirs, err)
	}
	for _, nobodys := range []string{"", "a b", "tour", key.String()} {
		if _, err := reader.Session(t.Context(), "acme", nobodys); !errors.Is(err, postgres.ErrNoSession) {
			t.Errorf("%q: %v", nobodys, err)
		}
	}
	// A worker of a later version writes them in its own way.
	f.exec(`UPDATE nexero.session_facts SET contributions = set_byte(contributions, 0, 255)`)
	later, err := reader.Session(t.Context(), "acme", guid)
	if err != nil || later.Details || later.VisitsTotal != 2 {
		t.Errorf("with contributions of a later version: %+v, %v", later, err)
	}
}

// rule 9
func TestReader_SessionIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	const many = postgres.MaxSessionRows + 1
	// A session has room for some two thousand names: each list by itself.
	visits, looks, touches := batch("visits"), batch("looks"), batch("touches")
	for i := range many {
		at := event.MicrosOf(received.Add(-time.Hour)) + event.Micros(i)*2_000_000
		visits.with(event.Event{Index: i, Type: event.ZoneEnter, Zone: fmt.Sprint("room-", i%2), OccurredAt: at})
		looks.with(event.Event{Index: i, Type: event.Gaze, Target: fmt.Sprint("picture-", i), OccurredAt: at, Has: event.FieldDuration, DurationMS: int32(400 + i)})
		touches.with(event.Event{Index: i, Type: event.Interaction, Object: fmt.Sprint("door-", i), Action: "open", OccurredAt: at})
	}
	f.load(visits.seal(t), looks.seal(t), touches.seal(t))
	f.roll(f.store)
	read := func(id string) postgres.Session {
		got, err := reader.Session(t.Context(), "acme", id)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read("session-visits"); len(got.Visits) != postgres.MaxSessionRows || got.VisitsTotal != many || got.Visits[0].Visit != 1 {
		t.Errorf("%d of %d visits", len(got.Visits), got.VisitsTotal)
	}
	got := read("session-looks")
	if len(got.Looks) != postgres.MaxSessionRows || got.LooksTotal != many || got.Looks[0].Target != fmt.Sprint("picture-", many-1) {
		t.Errorf("%d of %d looks, at %s first", len(got.Looks), got.LooksTotal, got.Looks[0].Target)
	}
	if got := read("session-touches"); len(got.Interactions) != postgres.MaxSessionRows || got.InteractionsTotal != many {
		t.Errorf("%d of %d interactions", len(got.Interactions), got.InteractionsTotal)
	}
}
