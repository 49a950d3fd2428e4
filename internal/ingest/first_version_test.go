package ingest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// dated is the time of every answer here.
const dated = "2025-12-02T14:30:20.123456+00:00"

// storedSession posts a session and returns its id.
func storedSession(t *testing.T, e *edge, body string) string {
	t.Helper()
	got := e.post(t, pathSession, body).Want(t, http.StatusCreated, "")
	id, _ := got.JSON["session_id"].(string)
	if id == "" {
		t.Fatalf("no session id in %v", got.JSON)
	}
	return id
}

// What the first version's clients ask for, row by row, and the answer to the
// letter; "*" is a value that is made. 422 is none of them.
func TestFirstVersion_Answers(t *testing.T) {
	t.Parallel()
	now := caller.Now().Unix()
	const untimed = "event without a time, which V1 refused with 422"
	const uuid = "7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"
	full := fmt.Sprintf(`{"event_type":"zone_enter","timestamp":%d.5,"session_id":%q,"zone_name":"kitchen","object_name":"tap","gaze_target":"window",`+
		`"interaction_type":"open","position":{"x":1,"y":2,"z":3},"rotation":{"pitch":0,"yaw":90,"roll":0},"dwell_time_ms":2500,"metadata":{"a":1}}`, now, uuid)
	summary := fmt.Sprintf(`{"session_id":%q,"session_start":"1727653800","session_end":"1727654100"}`, uuid)
	open := fmt.Sprintf(`{"session_id":%q,"session_start":"%d"}`, uuid, now-90)
	statusOf := func(status string, more map[string]any) map[string]any {
		answer := map[string]any{"session_id": uuid, "status": status, "started_at": nil, "duration_so_far": nil}
		maps.Copy(answer, more)
		return answer
	}
	for _, tc := range []struct {
		name         string
		before       string // a session post that comes first
		method, path string
		body         string
		status       int
		want         map[string]any
	}{
		{"root", "", "GET", "/", "", 200, map[string]any{"service": "Nexero", "version": "1.2.3", "status": "running", "description": "*", "endpoints": "*"}},
		{"health", "", "GET", "/health", "", 200, map[string]any{
			"status": "healthy", "timestamp": dated, "environment": "development", "database": "connected", "version": "1.2.3", "uptime": "running",
		}},
		{
			"session", "", "POST", pathSession, `{"session_start":"1727653800","session_end":"1727654100.9","customer_id":"c","property_id":"p","device_type":"ignored"}`, 201,
			map[string]any{"status": "success", "message": "Session received", "session_id": "*", "duration_seconds": 300.0, "received_at": dated, "batch_id": "*", "duplicate": false},
		},
		{"session, no time readable", "", "POST", pathSession, `{"session_start":"soon","session_end":"1727654100"}`, 400, nil},
		{
			"event", "", "POST", pathEvent, full, 202,
			map[string]any{"status": "received", "timestamp": dated, "batch_id": "*", "duplicate": false, "session_id": uuid, "rejected": []any{}},
		},
		{"event without session_id", "", "POST", pathEvent, `{"event_type":"gaze","timestamp":1727653800}`, 400, nil},
		{"event with an empty session_id", "", "POST", pathEvent, `{"event_type":"gaze","timestamp":1727653800,"session_id":""}`, 400, nil},
		{
			"event of an unknown type", "", "POST", pathEvent, fmt.Sprintf(`{"event_type":"menu_open","timestamp":"%d","session_id":%q,"dwell_time_ms":2500.7,"metadata":null}`, now, uuid), 202,
			map[string]any{"status": "received", "timestamp": dated, "batch_id": "*", "duplicate": false, "session_id": uuid, "rejected": []any{}},
		},
		{untimed, "", "POST", pathEvent, fmt.Sprintf(`{"event_type":"gaze","session_id":%q}`, uuid), 202, map[string]any{
			"status": "received", "timestamp": dated, "batch_id": "*", "duplicate": false,
			"rejected": []any{map[string]any{
				"index": 0.0, "code": "missing_timestamp", "field": "timestamp", "detail": "the event has no timestamp", "retryable": false,
			}},
		}},
		{"event, broken", "", "POST", pathEvent, `{"event_type":`, 400, nil},
		{"event, nothing", "", "POST", pathEvent, ``, 400, nil},
		{"batch", "", "POST", pathBatch, tour(4, uuid), 202, map[string]any{
			"status": "received", "total_events": 4.0, "processed": 4.0, "failed": 0.0, "success_rate": 100.0, "timestamp": dated,
			"batch_id": "*", "duplicate": false, "session_id": uuid, "rejected": []any{},
		}},
		{"status, completed", summary, "GET", pathSession + "/" + uuid + "/status", "", 200, statusOf("completed", map[string]any{
			"started_at": "2024-09-29T23:50:00.000000+00:00", "ended_at": "2024-09-29T23:55:00.000000+00:00", "duration_seconds": 300.0,
		})},
		{"status, active", open, "GET", pathSession + "/" + uuid + "/status", "", 200, statusOf("active", map[string]any{
			"started_at": "2025-12-02T14:28:50.000000+00:00", "duration_so_far": 90.0,
		})},
		{"status, unknown", "", "GET", pathSession + "/" + uuid + "/status", "", 200, statusOf("not_found", nil)},
		{"status, no UUID", "", "GET", pathSession + "/session_abc123/status", "", 200, statusOf("not_found", map[string]any{"session_id": "session_abc123"})},
		{"status, no id at all", "", "GET", pathSession + "/%E2%82%AC%20x/status", "", 200, statusOf("not_found", map[string]any{"session_id": "€ x"})},
		{"heartbeat", open, "POST", pathSession + "/" + uuid + "/heartbeat", "", 200, map[string]any{"status": "alive", "session_id": uuid, "timestamp": dated}},
		{"heartbeat with a body", open, "POST", pathSession + "/" + uuid + "/heartbeat", "{}", 200, map[string]any{"status": "alive", "session_id": uuid, "timestamp": dated}},
		{"heartbeat, unknown", "", "POST", pathSession + "/" + uuid + "/heartbeat", "", 404, nil},
		{"heartbeat, no UUID", "", "POST", pathSession + "/session_abc123/heartbeat", "", 404, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			if tc.before != "" {
				storedSession(t, e, tc.before)
			}
			// Heartbeats have no Content-Type, and a slash at the end is no other path.
			for _, path := range []string{tc.path, tc.path + "/"} {
				got := e.send(t, tc.method, path, tc.body, nil)
				if got.Status != tc.status {
					t.Fatalf("%s is answered %d, want %d: %v", path, got.Status, tc.status, got.JSON)
				}
				if tc.want == nil {
					continue // a problem; readReply has looked at it
				}
				want := maps.Clone(tc.want)
				for member, value := range want {
					if value == "*" && got.JSON[member] != nil {
						want[member] = got.JSON[member]
					}
				}
				if path != tc.path && want["duplicate"] != nil {
					// The retry is answered alike but for the mark. Where no time tells a
					// retry from another post, it is another post.
					want["duplicate"] = tc.name != untimed
				}
				if diff := cmp.Diff(want, got.JSON); diff != "" {
					t.Errorf("%s (-want +got):\n%s", path, diff)
				}
			}
		})
	}
}

// A session is found by every spelling of the id that was sent.
func TestFirstVersion_StatusBySpelling(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	storedSession(t, e, `{"session_id":"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8","session_start":"02-Dec-2025, 2:30:00 pm","session_end":"02-Dec-2025, 2:30:14 pm","duration":"0:14"}`)
	for _, id := range []string{
		"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8", "7aff2d5c4fdbfa8b8a9fdaa1efa98ce8", "7AFF2D5C-4FDB-FA8B-8A9F-DAA1EFA98CE8",
		"%7B7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8%7D", "AnalyticsET@@7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8",
	} {
		got := e.send(t, http.MethodGet, pathSession+"/"+id+"/status", "", nil).Want(t, http.StatusOK, "")
		if got.JSON["status"] != "completed" || got.JSON["started_at"] != "2025-12-02T14:30:00.000000+00:00" || got.JSON["duration_seconds"] != 14.0 {
			t.Errorf("%s: %v", id, got.JSON)
		}
	}
	// A made id works too, and an opaque one.
	for _, body := range []string{`{"session_start":"1727653800","session_end":"1727654100"}`, `{"session_id":"tour-1","session_start":"1727653800","session_end":"1727654100"}`} {
		id := storedSession(t, e, body)
		if got := e.send(t, http.MethodGet, pathSession+"/"+id+"/status", "", nil); got.JSON["status"] != "completed" {
			t.Errorf("%s: %v", id, got.JSON)
		}
	}
	head := e.send(t, http.MethodHead, pathSession+"/tour-1/status", "", nil)
	if head.Status != http.StatusOK {
		t.Errorf("HEAD is answered %d", head.Status)
	}
}

// Aliases are the same endpoint: a retry that takes another of them is a repeat.
func TestFirstVersion_Aliases(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	summary := `{"session_start":"1727653800","session_end":"1727654100"}`
	single := fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":"a"}`, caller.Now().Unix())
	for own, tc := range map[string]struct {
		body    string
		status  int
		aliases []string
	}{
		pathSession: {summary, 201, []string{"/api/v1/unreal/sessions", "/unreal/sessions/", pathSession + "/start"}},
		pathEvent:   {single, 202, []string{"/api/v1/unreal/events", "/unreal/events", "/unreal//events/"}},
		pathBatch:   {tour(2, "a"), 202, []string{"/api/v1/unreal/batch/", "/unreal/batch"}},
	} {
		first := e.post(t, own, tc.body).Want(t, tc.status, "")
		for _, alias := range tc.aliases {
			again := e.post(t, alias, tc.body).Want(t, tc.status, "")
			if again.JSON["duplicate"] != true || again.JSON["session_id"] != first.JSON["session_id"] || again.JSON["batch_id"] != first.JSON["batch_id"] {
				t.Errorf("%s: %v, want as %v", alias, again.JSON, first.JSON)
			}
		}
	}
	for _, alias := range []string{"/api/v1/unreal/heartbeat/a", "/unreal/heartbeat/a/", pathSession + "/a/heartbeat"} {
		e.post(t, alias, "").Want(t, http.StatusOK, "")
	}
}

// Start and end in two posts, as the old documentation had it.
func TestFirstVersion_StartThenEnd(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	now := caller.Now().Unix()
	start := e.post(t, pathSession+"/start", fmt.Sprintf(`{"session_start":%d.25,"customer_id":"c","property_id":"p","device_type":"Quest 3"}`, now-60)).Want(t, http.StatusCreated, "")
	id := fmt.Sprint(start.JSON["session_id"])
	status := func() map[string]any {
		return e.send(t, http.MethodGet, pathSession+"/"+id+"/status", "", nil).Want(t, http.StatusOK, "").JSON
	}
	if got := status(); got["status"] != "active" || got["duration_so_far"] != 59.0 {
		t.Errorf("after the start: %v", got)
	}
	end := e.post(t, pathSession+"/end", fmt.Sprintf(`{"session_id":%q,"session_end":%d.25}`, id, now)).Want(t, http.StatusOK, "")
	if end.JSON["duration_seconds"] != 60.0 {
		t.Errorf("the end is answered %v", end.JSON)
	}
	if got := status(); got["status"] != "completed" || got["duration_seconds"] != 60.0 || got["duration_so_far"] != nil {
		t.Errorf("after the end: %v", got)
	}
}

// A GET on any path that takes posts says so, and no path redirects.
func TestFirstVersion_MethodsOfAliases(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, r := range e.table() {
		for _, path := range r.paths {
			method := http.MethodGet
			if strings.HasPrefix(r.methods, "GET") {
				method = http.MethodPost
			}
			got := e.send(t, method, strings.ReplaceAll(path, ":"+sessionParam, "a"), "", nil).Want(t, http.StatusMethodNotAllowed, "method_not_allowed")
			if allow := strings.Split(got.Header.Get("Allow"), ", "); !slices.Contains(allow, strings.Split(r.methods, ", ")[0]) {
				t.Errorf("%s %s: Allow is %v", method, path, allow)
			}
		}
	}
}
