package query_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
	"github.com/nexero-vr/nexero/internal/query"
)

// fold makes facts of whatever is due.
func fold(claims []*facts.Claim, _ func([]*facts.Claim) error) error {
	for _, c := range claims {
		state := facts.Of(c.Events, c.Reports)
		f := state.Facts()
		c.Result = facts.Result{Due: c.Now, State: state, Facts: f, Contributed: f.Contributions(c.Properties[f.PropertyID]), RecomputeAt: c.Now}
	}
	return nil
}

// list reads all pages, and returns the ids in their order.
func (a *fixture) list(key string, parameters url.Values) (ids []string) {
	a.Helper()
	parameters = url.Values(map[string][]string(parameters))
	for {
		got := a.get(key, "/api/v1/rejections?"+parameters.Encode())
		if got.Status != 200 {
			a.Fatalf("page: %d %v", got.Status, got.JSON)
		}
		page, _ := got.JSON["rejections"].([]any)
		for _, one := range page {
			entry, _ := one.(map[string]any)
			ids = append(ids, fmt.Sprint(entry["id"]))
		}
		cursor, more := got.JSON["next_cursor"].(string)
		if !more {
			return ids
		}
		parameters.Set("cursor", cursor)
	}
}

// Pages neither skip nor repeat while rejections come in. // rule 5
func TestRejections_Pages(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	for i := range 5 {
		a.load(rejected("acme", fmt.Sprint("tour-", i), event.MissingTimestamp, 1+2*i), rejected("other", fmt.Sprint("theirs-", i), event.MissingTimestamp, 2))
	}
	stop := make(chan struct{})
	var loading sync.WaitGroup
	loading.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				a.load(rejected("acme", fmt.Sprint("meanwhile-", i), event.InvalidNumber, 2))
			}
		}
	})
	all := a.list("acme", url.Values{"code": {"missing_timestamp"}})
	for _, limit := range []string{"1", "4", "500"} {
		got := a.list("acme", url.Values{"code": {"missing_timestamp"}, "limit": {limit}})
		if diff := cmp.Diff(all, got); diff != "" || len(all) != 25 {
			t.Errorf("pages of %s: %d rejections (-other pages +these):\n%s", limit, len(all), diff)
		}
		seen := map[string]bool{}
		for _, id := range a.list("acme", url.Values{"limit": {limit}}) {
			if seen[id] {
				t.Errorf("pages of %s: %s comes twice", limit, id)
			}
			seen[id] = true
			if limit == "1" && len(seen) > 60 {
				break
			}
		}
	}
	close(stop)
	loading.Wait()
	if theirs := a.list("other", url.Values{"limit": {"3"}}); len(theirs) != 10 { // rule 8
		t.Errorf("the other tenant has %d, want 10", len(theirs))
	}
}

func TestRejections_Shape(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	secret := "nxr_prod_0123456789_" + strings.Repeat("abc123", 7)
	b := rejected("acme", "tour", event.TimestampInFuture, 1)
	b.Rejected[0].Raw = `{"n": 1,  "key":"` + secret + `"}`
	b.Rejected = append(b.Rejected, event.Rejection{Index: 1, Code: event.NotAnObject, Raw: "<xml>"})
	a.load(b)
	got := a.get("acme", "/api/v1/rejections?session="+url.QueryEscape("AnalyticsET@@{tour}"))
	list, _ := got.JSON["rejections"].([]any)
	if got.Status != 200 || len(list) != 2 || got.JSON["next_cursor"] != nil {
		t.Fatalf("%d %v", got.Status, got.JSON)
	}
	entry, _ := list[1].(map[string]any)
	for _, name := range []string{"written_at", "received_at"} {
		text, _ := entry[name].(string)
		if at, err := time.Parse("2006-01-02T15:04:05.000000+00:00", text); err != nil || time.Since(at) > time.Hour {
			t.Errorf("%s is %q", name, text)
		}
		delete(entry, name)
	}
	if id, _ := entry["id"].(string); !strings.HasSuffix(id, ":0") {
		t.Errorf("id %q", id)
	}
	delete(entry, "id")
	want := map[string]any{
		"batch_id": b.ID.String(), "index": 0.0, "session": "tour", "code": "timestamp_in_future", "field": "f", "detail": "wrong",
		"correlation_id": "correlation-tour", "form": "sent", "payload": map[string]any{"n": 1.0, "key": "nxr_prod_0123456789_***"}, // rule 8
	}
	if diff := cmp.Diff(want, entry); diff != "" {
		t.Errorf("a rejection (-want +got):\n%s", diff)
	}
	if text, _ := list[0].(map[string]any); text["payload"] != "<xml>" || text["field"] != nil {
		t.Errorf("what is no JSON: %v", text)
	}
}

// A parameter that is mistyped must not widen the listing, and a cursor goes on
// under the conditions of its listing only.
func TestRejections_Parameters(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	a.load(rejected("acme", "tour", event.InvalidText, 3), rejected("other", "tour", event.InvalidText, 3))
	for _, parameters := range []string{
		"sesion=x", "limit=0", "limit=501", "limit=ten", "limit=", "limit=1&limit=2", "code=nonsense", "from=yesterday", "until=1970-01-01T00:00:00Z",
		"session=" + strings.Repeat("x", 257), "code=%zz", "tenant=other",
	} {
		got := a.get("acme", "/api/v1/rejections?"+parameters)
		a.wantProblem(parameters, got, 400, "invalid_parameter")
	}
	a.wantProblem("a parameter of a session", a.get("acme", "/api/v1/sessions/tour?full=1"), 400, "invalid_parameter")
	for _, at := range []string{"2026-01-31T12:00:00Z", "2026-01-31T12:00:00+02:00", "2026-01-31T12:00:00.5%2B02:00"} {
		if got := a.get("acme", "/api/v1/rejections?from="+at); got.Status != 200 {
			t.Errorf("from %s: %v", at, got.JSON)
		}
	}
	first := a.get("acme", "/api/v1/rejections?limit=1&code=invalid_text")
	cursor, _ := first.JSON["next_cursor"].(string)
	if cursor == "" {
		t.Fatalf("the first page: %v", first.JSON)
	}
	// The number of rows may change.
	if got := a.get("acme", "/api/v1/rejections?limit=2&code=invalid_text&cursor="+cursor); got.Status != 200 {
		t.Errorf("more rows: %v", got.JSON)
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	raw[0]++
	for what, target := range map[string]string{
		"other conditions": "limit=1&cursor=" + cursor,
		"another session":  "limit=1&code=invalid_text&session=x&cursor=" + cursor,
		"cut off":          "limit=1&code=invalid_text&cursor=" + cursor[:len(cursor)-2],
		"another version":  "limit=1&code=invalid_text&cursor=" + base64.RawURLEncoding.EncodeToString(raw),
		"nonsense":         "limit=1&code=invalid_text&cursor=%21",
	} {
		a.wantProblem(what, a.get("acme", "/api/v1/rejections?"+target), 400, "invalid_cursor")
	}
	// rule 8
	a.wantProblem("another tenant's cursor", a.get("other", "/api/v1/rejections?limit=1&code=invalid_text&cursor="+cursor), 400, "invalid_cursor")
}

func TestSession_Answer(t *testing.T) {
	t.Parallel()
	a := setup(t, query.Options{})
	begin := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	b := rejected("acme", "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8", "", 0)
	normalised, _ := event.NormaliseSessionID(b.Sessions[0].ClientID)
	b.Sessions[0].Key = event.SessionKey("acme", normalised)
	at := func(second int) event.Micros { return event.MicrosOf(begin) + event.Micros(second)*1_000_000 }
	b.Events = []event.Event{
		{Index: 0, Type: event.ZoneEnter, Zone: "hall", OccurredAt: at(0)},
		{Index: 1, Type: event.Gaze, Zone: "hall", Target: "mirror", OccurredAt: at(1), Has: event.FieldDuration, DurationMS: 750},
		{Index: 2, Type: event.Interaction, Zone: "hall", Object: "lamp", Action: "toggle", OccurredAt: at(2)},
		{Index: 3, Type: event.ZoneExit, Zone: "hall", OccurredAt: at(4)},
	}
	b.Report = &event.Report{CustomerID: "anna", PropertyID: "loft"}
	a.load(b)
	if _, err := a.store.RollSessions(t.Context(), 0, 64, fold); err != nil {
		t.Fatal(err)
	}
	// As the client wrote it, and as another does, in an address.
	for _, id := range []string{"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8", "AnalyticsET@@%7B7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8%7D"} {
		got := a.get("acme", "/api/v1/sessions/"+id)
		for _, name := range []string{"updated_at", "first_received_at", "last_received_at"} {
			if text, _ := got.JSON[name].(string); text == "" {
				t.Errorf("%s is %v", name, got.JSON[name])
			}
			delete(got.JSON, name)
		}
		iso := func(second int) string {
			return begin.Add(time.Duration(second) * time.Second).Format("2006-01-02T15:04:05.000000+00:00")
		}
		want := map[string]any{
			"session": "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8", "property": "loft", "property_name": nil, "customer": "anna", "device": nil,
			"status": "active", "started_at": iso(0), "ended_at": iso(4), "day": begin.Format(time.DateOnly), "time_zone": "UTC",
			"duration_s": 4.0, "active_s": 4.0, "events": 4.0, "events_over_limit": 0.0, "completeness": nil,
			"zones": 1.0, "entry_zone": "hall", "exit_zone": "hall",
			"start_declared": false, "end_declared": false, "clock_stepped": false, "sealed": false,
			"visits_total": 1.0, "visits": []any{map[string]any{
				"visit": 1.0, "zone": "hall", "level": 0.0, "entered_at": iso(0), "left_at": iso(4), "length_s": 4.0, "dwell_s": 4.0, "closed_by": "exit",
			}},
			"looks_total": 1.0, "looks": []any{map[string]any{"target": "mirror", "zone": "hall", "looks": 1.0, "look_s": 0.75}},
			"interactions_total": 1.0, "interactions": []any{map[string]any{"object": "lamp", "kind": "toggle", "zone": "hall", "interactions": 1.0}},
		}
		if diff := cmp.Diff(want, got.JSON); got.Status != 200 || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", id, got.Status, diff)
		}
	}
	// rule 8: another tenant's session is not caller.There, as nobody's is not.
	for _, key := range []string{"acme", "other"} {
		id := "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8"
		if key == "acme" {
			id = "nobodys"
		}
		a.wantProblem(key, a.get(key, "/api/v1/sessions/"+id), 404, "unknown_session")
	}
	a.wantProblem("what cannot be an id", a.get("acme", "/api/v1/sessions/a%20b%2Fc"), 404, "unknown_session")
}
