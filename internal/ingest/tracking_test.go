package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// rules 1, 5
func TestBatch_Answer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	got := e.send(t, http.MethodPost, pathBatch, tour(10, "tour-1"), map[string]string{gate.CorrelationHeader: "from-client.1"})
	got.Want(t, http.StatusAccepted, "")
	want := map[string]any{
		"status": "received", "total_events": 10.0, "processed": 10.0, "failed": 0.0, "success_rate": 100.0,
		"timestamp": "2025-12-02T14:30:20.123456+00:00", "duplicate": false, "session_id": "tour-1", "rejected": []any{},
	}
	if diff := cmp.Diff(want, got.JSON, cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "batch_id" })); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	stored := e.stored(t)
	if len(stored) != 1 || stored[0].RowCount() != 10 || stored[0].Tenant != "acme" ||
		stored[0].CorrelationID != "from-client.1" || stored[0].ID.String() != got.JSON["batch_id"] ||
		stored[0].ReceivedAt != event.MicrosOf(caller.Now()) || stored[0].ReceiptID == (event.UUID{}) {
		t.Errorf("stored %+v", stored)
	}
}

// The shapes that clients of the first version send, and what they look at in
// the answer.
func TestBatch_OldClients(t *testing.T) {
	t.Parallel()
	now := caller.Now().Unix()
	for name, tc := range map[string]struct {
		body              string
		total, processed  float64
		rate              float64
		code              string
		index             float64
		wantsRejectedList bool
	}{
		"20 events":            {body: tour(20, "t"), total: 20, processed: 20, rate: 100},
		"times up to now+38 s": {body: fmt.Sprintf(`{"session_id":"t","sent_at":%d,"events":[{"event_type":"gaze","timestamp":%d}]}`, now, now+38), total: 1, processed: 1, rate: 100},
		"no session in the events": {
			body:  fmt.Sprintf(`{"session_id":"t","sent_at":%d,"events":[{"event_type":"gaze","timestamp":%d},{"event_type":"gaze","timestamp":%d}]}`, now, now, now),
			total: 2, processed: 2, rate: 100,
		},
		"no sent_at, event_data": {
			body:  fmt.Sprintf(`{"session_id":"t","events":[{"event_type":"zone_enter","timestamp":%d,"event_data":{"zone_name":"kitchen"}}]}`, now),
			total: 1, processed: 1, rate: 100,
		},
		"one of three without a time": {
			body:  fmt.Sprintf(`{"session_id":"t","events":[{"event_type":"gaze","timestamp":%d},{"event_type":"gaze"},{"event_type":"gaze","timestamp":%d}]}`, now, now),
			total: 3, processed: 2, rate: 66.7, code: "missing_timestamp", index: 1, wantsRejectedList: true,
		},
		"all bad": {
			body:  `{"session_id":"t","events":[{"event_type":"gaze"}]}`,
			total: 1, processed: 0, rate: 0, code: "missing_timestamp", index: 0, wantsRejectedList: true,
		},
		"no events": {body: `{"session_id":"t","events":[]}`, total: 0, processed: 0, rate: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.post(t, pathBatch, tc.body).Want(t, http.StatusAccepted, "")
			want := map[string]any{
				"total_events": tc.total, "processed": tc.processed, "failed": tc.total - tc.processed, "success_rate": tc.rate,
			}
			for member, value := range want {
				if got.JSON[member] != value {
					t.Errorf("%s is %v, want %v", member, got.JSON[member], value)
				}
			}
			list, _ := got.JSON["rejected"].([]any)
			if !tc.wantsRejectedList {
				if len(list) != 0 {
					t.Errorf("rejected %v", list)
				}
				return
			}
			if len(list) != 1 {
				t.Fatalf("rejected %v", list)
			}
			first, _ := list[0].(map[string]any)
			if first["code"] != tc.code || first["index"] != tc.index || first["detail"] == "" || first["retryable"] != false {
				t.Errorf("rejected %v", first)
			}
			if stored := e.stored(t); len(stored) != 1 || len(stored[0].Rejected) != 1 { // rule 5
				t.Errorf("the rejected event is not kept: %+v", stored)
			}
		})
	}
}

// The list is bounded, the numbers are not. // rule 9
func TestBatch_RejectionsAreBoundedInTheAnswer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	body := `{"session_id":"t","events":[` + strings.TrimSuffix(strings.Repeat(`{"event_type":"gaze"},`, 500), ",") + `]}`
	got := e.post(t, pathBatch, body).Want(t, http.StatusAccepted, "")
	if list, _ := got.JSON["rejected"].([]any); len(list) != 100 || got.JSON["failed"] != 500.0 {
		t.Errorf("%d of %v rejections are listed", len(list), got.JSON["failed"])
	}
	if stored := e.stored(t); len(stored[0].Rejected) != 500 {
		t.Errorf("%d rejections are kept", len(stored[0].Rejected))
	}
}

// A repeat is published like any other batch: it may bring events that were
// rejected before. Only the mark in the answer is the edge's. // rule 2
func TestBatch_Repeat(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	first := e.post(t, pathBatch, tour(3, "a")).Want(t, http.StatusAccepted, "")
	again := e.post(t, "/api/v1/unreal//tracking/batch/", tour(3, "a")).Want(t, http.StatusAccepted, "")
	other := e.post(t, pathBatch, tour(4, "a")).Want(t, http.StatusAccepted, "")
	if first.JSON["batch_id"] != again.JSON["batch_id"] || first.JSON["batch_id"] == other.JSON["batch_id"] {
		t.Errorf("batch ids %v, %v, %v", first.JSON["batch_id"], again.JSON["batch_id"], other.JSON["batch_id"])
	}
	if first.JSON["duplicate"] != false || again.JSON["duplicate"] != true || other.JSON["duplicate"] != false {
		t.Errorf("duplicate %v, %v, %v", first.JSON["duplicate"], again.JSON["duplicate"], other.JSON["duplicate"])
	}
	stored := e.stored(t)
	if len(stored) != 3 || stored[0].ReceiptID == stored[1].ReceiptID {
		t.Errorf("%d batches are stored, the repeat under its own receipt: %v", len(stored), stored)
	}
	// An id of the client's own, used for other content, is no repeat.
	key := map[string]string{"Idempotency-Key": "once"}
	e.send(t, http.MethodPost, pathBatch, tour(3, "b"), key).Want(t, http.StatusAccepted, "")
	reused := e.send(t, http.MethodPost, pathBatch, tour(3, "c"), key).Want(t, http.StatusAccepted, "")
	if reused.JSON["duplicate"] != false {
		t.Error("other content under a known id was called a duplicate")
	}
}

// A batch that was never acknowledged is not remembered.
func TestBatch_RepeatAfterFailureIsNoDuplicate(t *testing.T) {
	t.Parallel()
	e := newEdge(t, fates(script(fate{answer: ErrFull})))
	e.post(t, pathBatch, tour(3, "a")).Want(t, http.StatusServiceUnavailable, "queue_full")
	if got := e.post(t, pathBatch, tour(3, "a")).Want(t, http.StatusAccepted, ""); got.JSON["duplicate"] != false {
		t.Error("called a duplicate")
	}
}

func TestSession_Answer(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	body := fmt.Sprintf(`{"session_start":"%d","session_end":"%d","customer_id":"cust_test_12345","property_id":"prop_luxury_villa_001"}`,
		caller.Now().Unix(), caller.Now().Unix()+300)
	got := e.post(t, pathSession, body).Want(t, http.StatusCreated, "")
	id, _ := got.JSON["session_id"].(string)
	want := map[string]any{
		"status": "success", "message": "Session received", "duration_seconds": 300.0,
		"received_at": "2025-12-02T14:30:20.123456+00:00", "duplicate": false,
	}
	ignored := cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "batch_id" || k == "session_id" })
	if diff := cmp.Diff(want, got.JSON, ignored); diff != "" || id == "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	// A client that lost the answer asks again and must get the same session.
	again := e.post(t, pathSession, body).Want(t, http.StatusCreated, "")
	if again.JSON["session_id"] != id || again.JSON["duplicate"] != true || again.JSON["batch_id"] != got.JSON["batch_id"] {
		t.Errorf("the repeat was answered %v", again.JSON)
	}
	stored := e.stored(t)
	if len(stored) != 2 || stored[0].Report == nil || stored[0].Report.CustomerID != "cust_test_12345" {
		t.Errorf("stored %+v", stored)
	}
}

// The forms in which clients of every version write a session.
func TestSession_OldClients(t *testing.T) {
	t.Parallel()
	const summary = `{"session_id":%q,"session_start":"02-Dec-2025, 2:30:00 pm","session_end":"02-Dec-2025, 2:30:14 pm","duration":"0:14"}`
	const plain = `{"session_start":"1727653800","session_end":"1727654100"}`
	for name, tc := range map[string]struct {
		body        string
		contentType string
		duration    float64
		session     string
	}{
		"integers":             {body: `{"session_start":1727653800,"session_end":1727654100}`, duration: 300},
		"floats":               {body: `{"session_start":1727653800.9,"session_end":1727654100.9}`, duration: 300},
		"strings":              {body: plain, duration: 300},
		"milliseconds":         {body: `{"session_start":1727653800000,"session_end":1727654100000}`, duration: 300},
		"numeric customer":     {body: `{"session_start":1727653800,"session_end":1727654100,"customer_id":12345}`, duration: 300},
		"end before start":     {body: `{"session_start":1727654100,"session_end":1727653800}`, duration: 0},
		"spoken dates":         {body: fmt.Sprintf(summary, "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60"), duration: 14, session: "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60"},
		"dashed lower case id": {body: fmt.Sprintf(summary, "a51cf3a0-4c2d-4f0b-9e6d-1b2c3d4e5f60"), duration: 14, session: "a51cf3a0-4c2d-4f0b-9e6d-1b2c3d4e5f60"},
		"text/plain":           {body: plain, contentType: "text/plain", duration: 300},
		"octet-stream":         {body: plain, contentType: "application/octet-stream", duration: 300},
		"called a form":        {body: plain, contentType: "application/x-www-form-urlencoded", duration: 300},
		"no content type":      {body: plain, contentType: "", duration: 300},
		"byte order mark":      {body: "\xef\xbb\xbf" + plain, duration: 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.send(t, http.MethodPost, pathSession, tc.body, map[string]string{"Content-Type": tc.contentType}).Want(t, http.StatusCreated, "")
			if got.JSON["duration_seconds"] != tc.duration {
				t.Errorf("duration_seconds is %v, want %v", got.JSON["duration_seconds"], tc.duration)
			}
			if id := got.JSON["session_id"]; id == "" || tc.session != "" && id != tc.session {
				t.Errorf("session_id is %v, want %q", id, tc.session)
			}
			if stored := e.stored(t); len(stored) != 1 || stored[0].Report == nil {
				t.Errorf("stored %+v", stored)
			}
		})
	}
}

// A packet that says nothing is answered kindly and leaves nothing.
func TestSession_Ignored(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty object": `{}`,
		"empty values": `{"session_id":"","session_start":null,"customer_id":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.post(t, pathSession, body).Want(t, http.StatusCreated, "")
			if got.JSON["status"] != "ignored" || len(e.stored(t)) != 0 {
				t.Errorf("answered %v, stored %v", got.JSON, e.stored(t))
			}
		})
	}
}

// What cannot be read is 400, says where, and names what came.
func TestUnreadable_Answer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path, body, code, field string
		keys                    []any
	}{
		"unknown members":  {path: pathSession, body: `{"random_field":"should fail","another_field":123}`, code: "unrecognised_body", keys: []any{"random_field", "another_field"}},
		"half a POI":       {path: pathSession, body: `{"POI":"Kitchen"}`, code: "unrecognised_body", keys: []any{"POI"}},
		"half a view":      {path: pathSession, body: `{"View":"Amenities"}`, code: "unrecognised_body", keys: []any{"View"}},
		"list":             {path: pathSession, body: `[]`, code: "not_an_object"},
		"null":             {path: pathSession, body: `null`, code: "not_an_object"},
		"time without end": {path: pathSession, body: `{"session_start":"inf","session_end":"1727654100"}`, code: "invalid_timestamp", field: "session_start", keys: []any{"session_start", "session_end"}},
		"bare inf":         {path: pathSession, body: `{"session_start":inf}`, code: "invalid_json", field: "session_start", keys: []any{"session_start"}},
		"cut off":          {path: pathBatch, body: `{"session_id":"t","events":[{"event_type":"ga`, code: "truncated_body", field: "events[0].event_type", keys: []any{"session_id", "events"}},
		"no events":        {path: pathBatch, body: `{"session_id":"t"}`, code: "missing_events", field: "events", keys: []any{"session_id"}},
		"events no list":   {path: pathBatch, body: `{"events":{}}`, code: "invalid_events", field: "events", keys: []any{"events"}},
		"not JSON":         {path: pathBatch, body: "hello", code: "invalid_json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.post(t, tc.path, tc.body).Want(t, http.StatusBadRequest, tc.code)
			list, _ := got.JSON["errors"].([]any)
			if len(list) != 1 {
				t.Fatalf("errors: %v", list)
			}
			first, _ := list[0].(map[string]any)
			if first["field"] != tc.field || first["code"] != tc.code || first["detail"] != got.JSON["detail"] {
				t.Errorf("errors: %v, want field %q", first, tc.field)
			}
			if _, ok := first["offset"].(float64); !ok {
				t.Errorf("errors: %v has no offset", first)
			}
			keys, _ := got.JSON["received_keys"].([]any)
			if diff := cmp.Diff(tc.keys, keys); diff != "" {
				t.Errorf("received keys (-want +got):\n%s", diff)
			}
			for _, key := range keys {
				if tc.code == "unrecognised_body" && !strings.Contains(fmt.Sprint(got.JSON), fmt.Sprint(key)) {
					t.Errorf("the answer does not name %v", key)
				}
			}
		})
	}
}
