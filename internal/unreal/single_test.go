package unreal

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
)

func eventRequest(body string) *Request {
	req := batchRequest(body)
	req.Endpoint = EndpointEvent
	return req
}

func decodeEvent(t *testing.T, req *Request) *event.Batch {
	t.Helper()
	var b event.Batch
	if err := NewDecoder(event.DefaultLimits(), nil).Event(req, &b); err != nil {
		t.Fatalf("%.200s: %v", req.Body, err)
	}
	return &b
}

// A single event means what the same object means in a batch. // rule 5
func TestEvent_AsInABatch(t *testing.T) {
	t.Parallel()
	const session = `"session_id":"` + testSession + `"`
	for name, object := range map[string]string{
		"V1":              `{"event_type":"zone_enter","timestamp":1763799990.5,` + session + `,"zone_name":"kitchen","position":{"x":1,"y":2,"z":3},"rotation":{"pitch":0,"yaw":90,"roll":0},"dwell_time_ms":2500,"metadata":{"a":1}}`,
		"numeric strings": `{"event_type":"gaze","timestamp":"1763799990.5",` + session + `,"dwell_time_ms":"2500.7","position":{"x":"1.5"},"metadata":null}`,
		"ISO":             `{"event_type":"gaze","timestamp":"2025-11-22T08:26:30Z",` + session + `}`,
		"spoken date":     `{"event_type":"gaze","timestamp":"22-Nov-2025, 8:26:30 am",` + session + `}`,
		"milliseconds":    `{"event_type":"gaze","timestamp":1763799990500,` + session + `}`,
		"unknown type":    `{"event_type":"menu_open","timestamp":1763799990,` + session + `,"menu":"lights"}`,
		"event_data":      `{"event_type":"cta","timestamp":1763799990,"event_data":{"session_id":"a","zone_name":"hall"}}`,
		"other names":     `{"type":"gaze","t":1763799990.25,"sesh_id":"a"}`,
		"numeric session": `{"event_type":"gaze","timestamp":1763799990.5,"session_id":42}`,
		"no time":         `{"event_type":"gaze",` + session + `}`,
		"no type":         `{"timestamp":1763799990.5,` + session + `}`,
		"bad session":     `{"event_type":"gaze","timestamp":1763799990.5,"session_id":"a b"}`,
		"unset session":   `{"event_type":"gaze","timestamp":1763799990.5,"session_id":"00000000-0000-0000-0000-000000000000"}`,
		"session a list":  `{"event_type":"gaze","timestamp":1763799990.5,"session_id":[]}`,
		"in the future":   `{"event_type":"gaze","timestamp":1763900000.5,` + session + `}`,
		"dead clock":      `{"event_type":"gaze","timestamp":5.5,` + session + `}`,
	} {
		got := decodeEvent(t, eventRequest("\ufeff "+object+"\n\x00"))
		want := decodeBatch(t, `{"events":[`+object+`]}`)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event.Batch{}, "ID", "Digest"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-batch +event):\n%s", name, diff)
		}
		if got.Digest != event.DigestOf(object) || got.ID == want.ID || got.ID == (event.UUID{}) {
			t.Errorf("%s: id %s, digest %x", name, got.ID, got.Digest)
		}
	}
}

// What is known of the post and not of the event. // rule 2
func TestEvent_Identity(t *testing.T) {
	t.Parallel()
	const fine, coarse = `"timestamp":1763799990.5`, `"timestamp":1763799936` // a multiple of 128
	id := func(members string, change func(*Request)) event.UUID {
		t.Helper()
		req := eventRequest(`{"event_type":"gaze","session_id":"a",` + members + `}`)
		if change != nil {
			change(req)
		}
		return decodeEvent(t, req).ID
	}
	anew := func(r *Request) { r.ReceiptID = event.UUID{2} }
	if id(fine, nil) != id(fine, anew) {
		t.Error("a retry is another event")
	}
	if id(coarse, nil) == id(coarse, anew) {
		t.Error("two events whose time proves nothing are one")
	}
	if id(coarse+`,"batch_id":"b"`, nil) != id(coarse+`,"batch_id":"b"`, anew) {
		t.Error("a retry under its own id is another event")
	}
	if id(fine, nil) == id(fine+`,"zone":"hall"`, nil) || id(fine, nil) == id(fine, func(r *Request) { r.Tenant = "zenith" }) {
		t.Error("two events are one")
	}
	key := func(r *Request) { r.IdempotencyKey = "k" }
	if id(fine, key) != id(coarse, key) {
		t.Error("the Idempotency-Key does not rule")
	}
}

// A clock that is ahead moves with the post's sent_at, as in a batch.
func TestEvent_SentAt(t *testing.T) {
	t.Parallel()
	b := decodeEvent(t, eventRequest(`{"sent_at":1763800600,"event_type":"gaze","timestamp":1763800599.5,"session_id":"a"}`))
	if len(b.Events) != 1 || b.Events[0].OccurredAt != testReceived-500_000 || b.Events[0].ClockShiftMS != -600_000 {
		t.Errorf("got %+v", b)
	}
}

// Clients whose fields end up in the query, or in a form.
func TestEvent_Form(t *testing.T) {
	t.Parallel()
	const form = "event_type=gaze&timestamp=1763799990.5&session_id=a&zone_name=hall"
	inQuery := eventRequest("")
	inQuery.Query = form
	for name, req := range map[string]*Request{"body": eventRequest(form), "query": inQuery} {
		b := decodeEvent(t, req)
		if len(b.Events) != 1 || b.Events[0].Zone != "hall" || b.Events[0].OccurredAt != 1_763_799_990_500_000 {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestEvent_Refused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``: CodeEmptyBody, `[]`: CodeNotAnObject, `null`: CodeNotAnObject, `{"event_type":`: CodeTruncatedBody, `{} x`: CodeInvalidJSON,
		`{"event_type":nan}`: CodeInvalidJSON, `{}`: "missing_session",
		`{"event_type":"gaze","timestamp":1763799990}`:                   "missing_session",
		`{"event_type":"gaze","timestamp":1763799990,"session_id":""}`:   "missing_session",
		`{"event_type":"gaze","timestamp":1763799990,"session_id":null}`: "missing_session",
		`{"event_type":"gaze"}`:                                          "missing_session",
	} {
		var b event.Batch
		err := NewDecoder(event.DefaultLimits(), nil).Event(eventRequest(body), &b)
		bad, ok := errors.AsType[*BodyError](err)
		if !ok || bad.Code != want || len(b.Events)+len(b.Rejected)+len(b.Sessions) != 0 {
			t.Errorf("%s: %v, want %s; %+v", body, err, want, b)
		}
		if ok && want == "missing_session" && bad.Detail != "session_id is required" {
			t.Errorf("%s: %q, which clients of the first version look for differently", body, bad.Detail)
		}
	}
	// One that is too large to be looked into is kept, not refused. // rule 5
	limits := event.DefaultLimits()
	limits.EventBytes = 40
	var b event.Batch
	if err := NewDecoder(limits, nil).Event(eventRequest(`{"event_type":"gaze","note":"0123456789","sesh_id":"a"}`), &b); err != nil || len(b.Rejected) != 1 || b.Rejected[0].Code != event.EventTooLarge {
		t.Errorf("%v, %+v", err, b)
	}
}

func FuzzEvent(f *testing.F) {
	for _, body := range []string{
		`{"event_type":"interaction","timestamp":1763799990.5,"session_id":"x","zone_name":"kitchen","metadata":{"a":1}}`,
		`{"type":"gaze","t":"2025-11-22T08:26:30Z","sesh_id":"x","sent_at":1863800000,"batch_id":7}`,
		`{"event_type":"cta","timestamp":5,"event_data":{"session_id":"h"}}`, `event_type=gaze&timestamp=1763799990&session_id=a`,
		`{"session_id":[],"events":[]}`, "\xff\xfe{\x00}\x00", `{"event_type":nan}`, `[]`, ``, `{}`, `{"session_id":"{}"}`,
	} {
		f.Add(body, int64(testReceived))
	}
	d := NewDecoder(fuzzLimits(), nil)
	f.Fuzz(func(t *testing.T, body string, received int64) {
		req := eventRequest(body)
		req.ReceivedAt = event.Micros(received % int64(event.Latest/2))
		var b, again event.Batch
		if err := d.Event(req, &b); err != nil {
			// A form is quoted as the JSON that it became.
			if json.Valid([]byte(body)) {
				checkBodyError(t, err, body)
			}
			return
		}
		checkBatch(t, &b, fuzzLimits())
		if len(b.Events)+len(b.Rejected) != 1 {
			t.Fatalf("%d accepted and %d rejected of one event", len(b.Events), len(b.Rejected))
		}
		if err := d.Event(req, &again); err != nil || cmp.Diff(&b, &again) != "" {
			t.Fatalf("a second reading differs: %v", err)
		}
	})
}
