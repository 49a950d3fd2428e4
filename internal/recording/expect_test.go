package recording

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func expectOf(t *testing.T, requests ...Request) (Expectation, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.jsonl.gz")
	if err := os.WriteFile(path, writeAll(t, requests), 0o600); err != nil {
		t.Fatal(err)
	}
	return Expect(path)
}

func post(path, body string) Request {
	return Request{Method: "POST", Path: "/api/v1/unreal/" + path, Body: body}
}

func TestExpect_CountsByHand(t *testing.T) {
	t.Parallel()
	first := post("tracking/batch", `{"session_id":"`+guid+`","sent_at":3,"events":[
		{"event_type":"pose","timestamp":1},
		{"event_type":"gaze","timestamp":1.5,"gaze_target":"door","dwell_time_ms":250},
		{"event_type":"gaze","gaze_target":"door","dwell_time_ms":9000},
		{"event_type":"interaction","timestamp":"2","session_id":"visit-7","dwell_time_ms":4}]}`)
	got, err := expectOf(
		t,
		first,
		post("tracking/batch/?k=1", `{"session_id":"01234567-89ab-cdef-0123-456789abcdef","events":[
			{"event_type":"gaze","timestamp":1.5,"gaze_target":"door","dwell_time_ms":750},
			{"event_type":"gaze","timestamp":1.5,"gaze_target":"oven","dwell_time_ms":10.0}]}`),
		first, // a repeat
		post("session", `{"session_id":"AnalyticsET@@`+guid+`","session_start":"100","session_end":"200","customer_id":"c","property_id":"p"}`),
		post("session", `{"session_id":"`+guid+`","session_end":300}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := Expectation{
		Requests: 5, Repeats: 1, Events: 5, Untimed: 1,
		Sessions: []Session{
			{ID: guid, Start: 100, End: 300, Customer: "c", Property: "p", Events: 4},
			{ID: "visit-7", Events: 1},
		},
		LookTimeMS: map[string]int64{"door": 1000, "oven": 10},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExpect_AnotherIdempotencyKeyIsNoRepeat(t *testing.T) {
	t.Parallel()
	keyed := func(headers map[string]string) Request {
		request := post("tracking/batch", `{"session_id":"a","events":[{"timestamp":1}]}`)
		request.Headers = headers
		return request
	}
	// Names of headers have no case: the last three are one and the same.
	got, err := expectOf(
		t,
		keyed(nil),
		keyed(map[string]string{"Idempotency-Key": "first"}),
		keyed(map[string]string{"Idempotency-Key": "second", "Accept": "x"}),
		keyed(map[string]string{"idempotency-key": "second"}),
		keyed(map[string]string{"IDEMPOTENCY-KEY": "second"}),
	)
	if err != nil || got.Repeats != 2 || got.Events != 3 {
		t.Errorf("%+v, %v, want 2 repeats and 3 events", got, err)
	}
}

func TestExpect_RefusesWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		request Request
		want    string
	}{
		"another endpoint": {post("heartbeat", "{}"), "neither of a batch nor of a session"},
		"broken batch":     {post("tracking/batch", "{"), "line 2: unexpected end"},
		"no session":       {post("tracking/batch", `{"events":[{"timestamp":1}]}`), "event 0 has no session"},
		"unnamed report":   {post("session", `{"session_start":"1"}`), "without a session id"},
		"date":             {post("session", `{"session_id":"a","session_start":"02-Dec-2025"}`), "not in whole seconds"},
		"fraction":         {post("session", `{"session_id":"a","session_end":1.5}`), "not in whole seconds"},
		"object":           {post("session", `{"session_id":"a","session_end":{}}`), "neither a number nor text"},
	} {
		_, err := expectOf(t, post("session", `{"session_id":"a"}`), test.request)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
