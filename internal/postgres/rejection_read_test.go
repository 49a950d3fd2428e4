package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// reader returns the read API's way to the database.
func (f *fixture) reader(config postgres.ReaderConfig) *postgres.Reader {
	f.Helper()
	if config.URL == "" {
		config.URL = f.url
	}
	if config.MaxConns == 0 {
		config.MaxConns, config.StatementTimeout = 2, 10*time.Second
	}
	reader, err := postgres.OpenReader(f.Context(), config, testkit.Logger(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(reader.Close)
	return reader
}

func nameOf(r *postgres.Rejection) string { return fmt.Sprint(r.BatchNo, ":", r.Index) }

// What was there when the first page was read comes once, latest first, however
// the pages are cut, and whatever is loaded meanwhile. // rule 5
func TestRejections_PagesNeitherSkipNorRepeat(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	// Many of one instant, since a gather is a transaction, and some alone.
	for i := range 7 {
		b := batch(fmt.Sprint("first-", i))
		for n := range 1 + i*3 {
			b.rejected(event.MissingTimestamp, n)
		}
		f.load(b.seal(t), batch(fmt.Sprint("beside-", i)).rejected(event.InvalidText, 0, 3).seal(t))
	}
	there := f.lines("SELECT batch_no || ':' || event_index FROM nexero.rejected_events ORDER BY written_at DESC, batch_no DESC, event_index DESC")

	stop, begun := make(chan struct{}), make(chan struct{})
	var loading sync.WaitGroup
	loading.Go(func() {
		for i := 0; ; i++ {
			if _, err := f.store.Load(t.Context(), oneBatch(t, batch(fmt.Sprint("meanwhile-", i)).rejected(event.InvalidNumber, 0, 1, 2))); err != nil {
				t.Errorf("load: %v", err)
				return
			}
			if i == 0 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-begun
	for _, limit := range []int{1, 3, 8, postgres.MaxRejections} {
		filter := postgres.RejectionFilter{Tenant: "acme", Limit: limit}
		seen, earlier := map[string]bool{}, []string{}
		for {
			page, next, err := reader.Rejections(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("%d in a page of %d", len(page), limit)
			}
			for i := range page {
				name := nameOf(&page[i])
				if seen[name] {
					t.Fatalf("pages of %d: %s comes twice", limit, name)
				}
				seen[name] = true
				if page[i].Code != event.InvalidNumber {
					earlier = append(earlier, name)
				}
			}
			if next.IsZero() {
				break
			}
			filter.After = next
		}
		if diff := cmp.Diff(there, earlier); diff != "" {
			t.Errorf("pages of %d (-there +read):\n%s", limit, diff)
		}
	}
	close(stop)
	loading.Wait()
}

func TestRejections_Conditions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	const guid = "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8"
	normalised, _ := event.NormaliseSessionID(guid)
	tour := batch("tour").rejected(event.TimestampInFuture, 4)
	tour.Sessions = []event.Session{{Key: event.SessionKey("acme", normalised), ClientID: guid}}
	f.load(tour.seal(t))
	f.load(batch("acme").rejected(event.MissingTimestamp, 0, 1).seal(t))
	f.load(batch("other").of("other").rejected(event.MissingTimestamp, 2).seal(t))
	middle := f.lines("SELECT max(written_at)::text FROM nexero.rejected_events")
	at, err := time.Parse("2006-01-02 15:04:05.999999-07", middle[0])
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name   string
		filter postgres.RejectionFilter
		want   []int
	}{
		{"a tenant", postgres.RejectionFilter{Tenant: "acme"}, []int{1, 0, 4}},
		{"another tenant", postgres.RejectionFilter{Tenant: "other"}, []int{2}},              // rule 8
		{"no tenant of that name", postgres.RejectionFilter{Tenant: "nobody"}, nil},          // rule 8
		{"another's session", postgres.RejectionFilter{Tenant: "other", Session: guid}, nil}, // rule 8
		{"a session", postgres.RejectionFilter{Tenant: "acme", Session: guid}, []int{4}},     //
		{"the session as an engine spells it", postgres.RejectionFilter{Tenant: "acme", Session: "AnalyticsET@@{" + strings.ToLower(guid) + "}"}, []int{4}},
		{"no session id", postgres.RejectionFilter{Tenant: "acme", Session: "a b"}, nil},
		{"a code", postgres.RejectionFilter{Tenant: "acme", Code: "timestamp_in_future"}, []int{4}},
		{"code and session", postgres.RejectionFilter{Tenant: "acme", Code: "missing_timestamp", Session: guid}, nil},
		{"from a time on", postgres.RejectionFilter{Tenant: "other", From: at}, []int{2}},
		{"from later", postgres.RejectionFilter{Tenant: "other", From: at.Add(time.Microsecond)}, nil},
		{"until a time", postgres.RejectionFilter{Tenant: "other", Until: at}, nil},
		{"until later", postgres.RejectionFilter{Tenant: "other", Until: at.Add(time.Microsecond)}, []int{2}},
	} {
		test.filter.Limit = 10
		page, next, err := reader.Rejections(t.Context(), test.filter)
		var got []int
		for i := range page {
			got = append(got, page[i].Index)
			if page[i].Tenant != test.filter.Tenant {
				t.Errorf("%s: one of tenant %s", test.name, page[i].Tenant)
			}
		}
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" || !next.IsZero() {
			t.Errorf("%s: next %v, %v (-want +got):\n%s", test.name, next, err, diff)
		}
	}
	everyone, _, err := f.store.Rejections(t.Context(), postgres.RejectionFilter{EveryTenant: true, Limit: 10})
	if err != nil || len(everyone) != 4 {
		t.Errorf("of every tenant: %d, %v; want 4", len(everyone), err)
	}
	page, _, err := reader.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Session: guid, Limit: 1})
	if err != nil || len(page) != 1 {
		t.Fatalf("%d rejections, %v", len(page), err)
	}
	got := page[0]
	if got.WrittenAt.IsZero() || got.BatchNo == 0 {
		t.Errorf("written at %s in batch no. %d", got.WrittenAt, got.BatchNo)
	}
	want := postgres.Rejection{
		WrittenAt: got.WrittenAt, BatchNo: got.BatchNo, Index: 4, BatchID: tour.ID, Tenant: "acme", Session: guid,
		ReceivedAt: received, Code: event.TimestampInFuture, Field: "timestamp", Detail: "it is wrong",
		CorrelationID: "correlation-tour", Form: "sent", Payload: []byte(`{"n":4}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a rejection (-want +got):\n%s", diff)
	}
}

// A read that names nobody reads nothing, above all not everything. // rule 8
func TestRejections_RefusesFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	reader := f.reader(postgres.ReaderConfig{})
	for name, filter := range map[string]postgres.RejectionFilter{
		"no tenant":              {Limit: 1},
		"a tenant and everybody": {Tenant: "acme", EveryTenant: true, Limit: 1},
		"everybody's session":    {EveryTenant: true, Session: "tour", Limit: 1},
		"an unknown code":        {Tenant: "acme", Code: "nonsense", Limit: 1},
		"no rows":                {Tenant: "acme"},
		"too many rows":          {Tenant: "acme", Limit: postgres.MaxRejections + 1},
	} {
		if _, _, err := f.store.Rejections(t.Context(), filter); !errors.Is(err, postgres.ErrRejectionFilter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := reader.Rejections(t.Context(), postgres.RejectionFilter{EveryTenant: true, Limit: 1}); !errors.Is(err, postgres.ErrRejectionFilter) {
		t.Errorf("every tenant for the read API: %v", err)
	}
}

// What is shown is what was sent, without a key that it holds. // rule 8
func TestRejection_Text(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := "nxr_dev_0123456789_" + strings.Repeat("abc123", 7)
	sent := batch("sent")
	for i, raw := range []string{`{"note":"` + secret + `", "n": 1e2}`, `{"cut off`, "\xff\x00"} {
		sent.Rejected = append(sent.Rejected, event.Rejection{Index: i, Code: event.InvalidText, Raw: raw})
	}
	// A number that the tables cannot hold, since the edge lets none through.
	row := batch("row").with(event.Event{
		Index: 3, Type: event.ZoneEnter, Zone: "kitchen", Has: event.FieldLevel | event.FieldX, Level: 2, X: 1.5, Props: `{"b":[1,"\u0000"]}`,
	})
	report := batch("report").report(event.Report{CustomerID: "anna", Props: `{"note":"\u0000"}`})
	f.load(sent.seal(t))
	f.load(row.seal(t))
	f.load(report.seal(t))
	page, _, err := f.store.Rejections(t.Context(), postgres.RejectionFilter{Tenant: "acme", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for i := range page {
		text, isJSON := page[i].Text()
		if strings.Contains(text, "abc123") {
			t.Errorf("%s shows a key: %s", nameOf(&page[i]), text)
		}
		key := fmt.Sprint(page[i].Form, page[i].Index)
		if !isJSON {
			got[key] = text
			continue
		}
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		got[key] = value
	}
	want := map[string]any{
		"sent0": map[string]any{"note": "nxr_dev_0123456789_***", "n": 100.0},
		"sent1": `{"cut off`,
		"sent2": "\uFFFD\uFFFD",
		"row13": map[string]any{
			"event_type": "zone_enter", "occurred_at": received.Format("2006-01-02T15:04:05.000000Z07:00"),
			"x": 1.5, "level": 2.0, "zone": "kitchen", "props": map[string]any{"b": []any{1.0, "\x00"}},
		},
		"report1-1": map[string]any{"session": "session-report", "customer_id": "anna", "props": `{"note":"\u0000"}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}
