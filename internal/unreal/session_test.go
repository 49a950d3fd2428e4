package unreal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

func sessionRequest(body string) *Request {
	req := batchRequest(body)
	req.Endpoint = EndpointSession
	return req
}

func decodeSession(t *testing.T, body string) (SessionPost, *event.Batch) {
	t.Helper()
	var b event.Batch
	post, err := NewDecoder(event.DefaultLimits(), nil).Session(sessionRequest(body), &b)
	if err != nil {
		t.Fatalf("%.200s: %v", body, err)
	}
	return post, &b
}

func at(seconds float64) *event.Micros { return new(event.Micros(seconds * 1e6)) }

func TestSession_Reports(t *testing.T) {
	t.Parallel()
	const tour = 1_764_685_800 // 2025-12-02T14:30:00Z
	for _, test := range []struct {
		name, body string
		post       SessionPost // an empty id stands for a made one
		report     event.Report
	}{
		{
			"V1", `{"session_start":"1727653800","session_end":"1727654100","customer_id":"cust_1","property_id":"villa_1"}`,
			SessionPost{Duration: 300 * time.Second, HasDuration: true},
			event.Report{Start: at(1727653800), End: at(1727654100), CustomerID: "cust_1", PropertyID: "villa_1"},
		},
		{
			"numbers", `{"session_start":1727653800,"session_end":1727654100.5}`,
			SessionPost{Duration: 300*time.Second + 500*time.Millisecond, HasDuration: true},
			event.Report{Start: at(1727653800), End: at(1727654100.5)},
		},
		{
			"milliseconds", `{"session_start":1727653800000,"session_end":"1727654100000"}`,
			SessionPost{Duration: 300 * time.Second, HasDuration: true},
			event.Report{Start: at(1727653800), End: at(1727654100)},
		},
		{
			"what a tour sends", `{"session_id":"` + testSession + `","session_start":"02-Dec-2025, 2:30:00 pm","session_end":"02-Dec-2025, 2:30:14 pm","duration":"0:14"}`,
			SessionPost{SessionID: testSession, Duration: 14 * time.Second, HasDuration: true},
			event.Report{Start: at(tour), End: at(tour + 14), Props: `{"duration":"0:14"}`},
		},
		{
			"other spellings", `{"SessionID":"a","sessionStart":1727653800,"Session_End":1727653801,"CustomerId":12345,"propertyID":7,"device":"Quest 3"}`,
			SessionPost{SessionID: "a", Duration: time.Second, HasDuration: true},
			event.Report{Start: at(1727653800), End: at(1727653801), CustomerID: "12345", PropertyID: "7", Device: "Quest 3"},
		},
		{
			"names that V1 refused", `{"session_id":"a","start_time":1727653800,"end_time":1727653801,"device_type":"Quest"}`,
			SessionPost{SessionID: "a", Duration: time.Second, HasDuration: true},
			event.Report{Start: at(1727653800), End: at(1727653801), Device: "Quest"},
		},
		{
			"own names win", `{"session_id":"a","start_time":5,"session_start":1727653800}`,
			SessionPost{SessionID: "a"},
			event.Report{Start: at(1727653800), Props: `{"start_time":5}`},
		},
		{
			"of equal names the last", `{"session_id":"a","session_start":"bad","session_start":1727653800,"customer_id":"x","customer_id":null}`,
			SessionPost{SessionID: "a"},
			event.Report{Start: at(1727653800)},
		},
		{
			"end in the future", `{"session_id":"a","session_start":1763800000,"session_end":1763900000}`,
			SessionPost{SessionID: "a", Duration: 100_000 * time.Second, HasDuration: true},
			event.Report{Start: at(1763800000), End: at(1763900000)},
		},
		{
			"end before start", `{"session_id":"a","session_start":1727654100,"session_end":1727653800}`,
			SessionPost{SessionID: "a", HasDuration: true},
			event.Report{Start: at(1727654100), End: at(1727653800)},
		},
		{"start only", `{"session_id":"a","session_start":1727654100,"session_end":null}`, SessionPost{SessionID: "a"}, event.Report{Start: at(1727654100)}},
		{
			"length instead of an end", `{"session_id":"a","session_start":1727654100,"duration":"1:02:03"}`,
			SessionPost{SessionID: "a", Duration: 3723 * time.Second, HasDuration: true},
			event.Report{Start: at(1727654100), Props: `{"duration":"1:02:03"}`},
		},
		{
			"a length that is none", `{"session_id":"a","duration":"1,77,50,078:30:03"}`,
			SessionPost{SessionID: "a"},
			event.Report{Props: `{"duration":"1,77,50,078:30:03"}`},
		},
		{"id only", `{"session_id":"a"}`, SessionPost{SessionID: "a"}, event.Report{}},
		{"id that was not set", `{"session_id":"00000000-0000-0000-0000-000000000000","customer_id":"c"}`, SessionPost{}, event.Report{CustomerID: "c"}},
		{
			"the rest", `{"session_id":"a","metadata":{"hmd":"Quest"},"Browser":"x","POI":null,"tags":["a"]}`,
			SessionPost{SessionID: "a"},
			event.Report{Props: `{"Browser":"x","POI":null,"tags":["a"],"hmd":"Quest"}`},
		},
		{"metadata alone", `{"session_id":"a","metadata":{"hmd":"Quest"}}`, SessionPost{SessionID: "a"}, event.Report{Props: `{"hmd":"Quest"}`}},
		{"metadata that is no object", `{"session_id":"a","metadata":[1]}`, SessionPost{SessionID: "a"}, event.Report{Props: `{"metadata":[1]}`}},
		{
			"clock ahead", `{"session_id":"a","sent_at":1763803600,"session_start":1763803300,"session_end":1763803600}`,
			SessionPost{SessionID: "a", Duration: 300 * time.Second, HasDuration: true},
			event.Report{Start: at(1763799700), End: at(1763800000), ClockShiftMS: -3_600_000},
		},
		{"clock not ahead", `{"session_id":"a","sent_at":1763800060,"session_end":1763803600}`, SessionPost{SessionID: "a"}, event.Report{End: at(1763803600)}},
		{"unreadable sent_at", `{"session_id":"a","sent_at":"soon","session_end":1763803600}`, SessionPost{SessionID: "a"}, event.Report{End: at(1763803600)}},
		{
			"dead clock", `{"session_id":"a","session_start":100,"session_end":400}`,
			SessionPost{SessionID: "a", Duration: 300 * time.Second, HasDuration: true},
			event.Report{Start: at(1763799700), End: at(1763800000), ClockShiftMS: 1_763_799_600_000},
		},
		{
			"dead clock, start only", `{"session_id":"a","session_start":"2000-01-01T00:00:00Z"}`,
			SessionPost{SessionID: "a"},
			event.Report{Start: at(1763800000), ClockShiftMS: 817_115_200_000},
		},
		{
			"dead clock, end only", `{"session_id":"a","session_end":100}`,
			SessionPost{SessionID: "a"},
			event.Report{End: at(1763800000), ClockShiftMS: 1_763_799_900_000},
		},
		{
			"start that was never set", `{"session_id":"a","session_start":"0001-01-01T00:00:00Z","session_end":1763799000,"duration":"0:30"}`,
			SessionPost{SessionID: "a", Duration: 30 * time.Second, HasDuration: true},
			event.Report{End: at(1763799000), Props: `{"duration":"0:30","session_start":"0001-01-01T00:00:00Z"}`},
		},
		{
			"centuries", `{"session_id":"a","session_start":"2015-01-01T00:00:00Z","session_end":"9999-12-31T23:59:59Z"}`,
			SessionPost{SessionID: "a", Duration: 9_223_372_036_854_775 * time.Microsecond, HasDuration: true},
			event.Report{Start: at(1420070400), End: at(253402300799)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			post, b := decodeSession(t, test.body)
			if test.post.SessionID == "" && len(post.SessionID) == 36 {
				test.post.SessionID = post.SessionID
			}
			if diff := cmp.Diff(test.post, post) + cmp.Diff(&test.report, b.Report); diff != "" {
				t.Error(diff)
			}
			id, ok := event.NormaliseSessionID(post.SessionID)
			want := []event.Session{{Key: event.SessionKey("acme", id), ClientID: post.SessionID}}
			if diff := cmp.Diff(want, b.Sessions); diff != "" || !ok {
				t.Error(diff)
			}
			if len(b.Events)+len(b.Rejected) != 0 || b.ID == (event.UUID{}) || b.Digest != event.DigestOf(test.body) {
				t.Errorf("%+v", b)
			}
			if p := b.Report.Props; p != "" {
				if err := jsonbRefuses(p, event.DefaultLimits().Depth); err != nil {
					t.Errorf("props: %v", err)
				}
			}
		})
	}
}

func TestSession_Ignored(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, ` { } `, `{"session_start":"","session_end":null}`, `{"POI":"","Source":null,"tags":[],"metadata":{ }}`} {
		post, b := decodeSession(t, body)
		if post != (SessionPost{Ignored: true}) || len(b.Sessions) != 0 || b.Report != nil {
			t.Errorf("%s: %+v, %+v", body, post, b)
		}
	}
}

func TestSession_Refused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1025)
	for _, test := range []struct {
		name, body, code, field string
	}{
		{"list", `[]`, CodeNotAnObject, ""},
		{"null", `null`, CodeNotAnObject, ""},
		{"cut off", `{"session_start":1727653800,`, CodeTruncatedBody, ""},
		{"bare inf", `{"session_start":inf}`, CodeInvalidJSON, "session_start"},
		{"bytes behind it", `{"session_id":"a"} ]`, CodeInvalidJSON, ""},
		{"unknown members", `{"random_field":"should fail","another_field":123}`, CodeUnrecognisedBody, ""},
		{"a POI", `{"POI":"Kitchen"}`, CodeUnrecognisedBody, ""},
		{"a view", `{"View":"Amenities","TotalDuration":"0:02"}`, CodeUnrecognisedBody, ""},
		{"known members without values", `{"session_start":"","View":"x"}`, CodeUnrecognisedBody, ""},
		{"only metadata", `{"metadata":{"a":1},"sent_at":5,"sesh_id":"x"}`, CodeUnrecognisedBody, ""},
		{"text inf", `{"session_start":"inf","session_end":"1727654100"}`, "invalid_timestamp", "session_start"},
		{"no time", `{"session_start":1727653800,"session_end":"later"}`, "invalid_timestamp", "session_end"},
		{"time of the wrong kind", `{"session_start":true}`, "invalid_timestamp", "session_start"},
		{"corrected out of the calendar", `{"sent_at":"9999-01-01T00:00:00Z","session_start":1763799000,"session_id":"a"}`, "invalid_timestamp", "session_start"},
		{"session id", `{"session_id":"a b","session_start":1727653800}`, "invalid_session", "session_id"},
		{"session id of the wrong kind", `{"session_id":["a"]}`, "invalid_session", "session_id"},
		{"customer of the wrong kind", `{"customer_id":{"a":1}}`, "invalid_type", "customer_id"},
		{"customer too long", `{"customer_id":"` + long + `"}`, "text_too_long", "customer_id"},
		{"NUL", `{"property_id":"a\u0000"}`, "invalid_text", "property_id"},
		{"no UTF-8", "{\"device\":\"\xff\"}", "invalid_text", "device_type"},
		{"half a pair in the rest", `{"session_id":"a","note":"\ud800"}`, "invalid_text", "note"},
		{"half a pair in metadata", `{"session_id":"a","metadata":{"b":"\ud800"}}`, "invalid_text", "metadata"},
		{"number in the rest", `{"session_id":"a","note":1e99999}`, "invalid_number", "note"},
		{"deep", `{"session_id":"a","note":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, "event_too_deep", "note"},
		{"too large", `{"session_id":"a","note":"` + strings.Repeat("x", 16<<10) + `"}`, "event_too_large", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := bodyErrorOf(t, EndpointSession, test.body)
			if e.Code != test.code || e.Field != test.field {
				t.Errorf("%+v", e)
			}
		})
	}
	e := bodyErrorOf(t, EndpointSession, `{"random_field":"x","POI":""}`)
	if diff := cmp.Diff([]string{"random_field", "POI"}, e.ReceivedKeys); diff != "" {
		t.Error(diff)
	}
}

func TestSession_MadeIDs(t *testing.T) {
	t.Parallel()
	const body = `{"session_start":"1727653800","session_end":"1727654100","customer_id":"c"}`
	first, b1 := decodeSession(t, body)
	again, b2 := decodeSession(t, body)
	if first.SessionID != again.SessionID || b1.ID != b2.ID {
		t.Error("a repeat is not recognised")
	}
	other, b3 := decodeSession(t, strings.Replace(body, `"c"`, `"d"`, 1))
	if other.SessionID == first.SessionID || b3.ID == b1.ID {
		t.Error("two customers share a session")
	}
	if id, ok := event.NormaliseSessionID(first.SessionID); !ok || id != first.SessionID {
		t.Errorf("%s is not in normal form", first.SessionID)
	}
	var b4 event.Batch
	req := sessionRequest(body)
	req.Tenant = "other"
	post, err := NewDecoder(event.DefaultLimits(), nil).Session(req, &b4)
	if err != nil || post.SessionID == first.SessionID || b4.ID == b1.ID {
		t.Error("two tenants share a session")
	}
}

func TestSession_Identity(t *testing.T) {
	t.Parallel()
	decode := func(body string, receipt byte) *event.Batch {
		req := sessionRequest(body)
		req.ReceiptID = event.UUID{receipt}
		var b event.Batch
		if _, err := NewDecoder(event.DefaultLimits(), nil).Session(req, &b); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	for _, test := range []struct {
		body   string
		repeat bool
	}{
		{`{"session_start":1727653800}`, true},
		{`{"session_start":"1727653888"}`, true}, // as text it cannot be rounded
		{`{"session_start":1727653888}`, false},  // a multiple of 128
		{`{"session_start":1727653888,"session_end":1727654016}`, false},
		{`{"session_start":1727653888,"session_end":1727654000}`, true},
		{`{"session_start":1727653740544}`, false}, // a multiple of 131,072
		{`{"customer_id":"c"}`, false},
		{`{"session_id":"a","session_start":1727653888}`, true}, // a statement about a session
		{`{"session_id":"a"}`, true},
		{`{"batch_id":7,"customer_id":"c"}`, true},
	} {
		if repeat := decode(test.body, 1).ID == decode(test.body, 2).ID; repeat != test.repeat {
			t.Errorf("%s: recognised as a repeat: %v", test.body, repeat)
		}
	}
	keyed := func(body string, receipt byte) (SessionPost, event.UUID) {
		req := sessionRequest(body)
		req.IdempotencyKey, req.ReceiptID = "k", event.UUID{receipt}
		var b event.Batch
		post, err := NewDecoder(event.DefaultLimits(), nil).Session(req, &b)
		if err != nil {
			t.Fatal(err)
		}
		return post, b.ID
	}
	post, id := keyed(`{"customer_id":"c"}`, 1)
	if again, sameID := keyed(`{"customer_id":"c"}`, 2); again != post || sameID != id {
		t.Error("an Idempotency-Key does not hold")
	}
	if decode(`{"batch_id":7,"session_id":"a"}`, 1).ID == decode(`{"batch_id":7,"session_id":"b"}`, 1).ID {
		t.Error("a batch_id counts beyond its session")
	}
}

func FuzzSession(f *testing.F) {
	for _, body := range []string{
		`{"session_start":"1727653800","session_end":"1727654100","customer_id":"c","property_id":"p"}`,
		`{"session_id":"` + testSession + `","session_start":"02-Dec-2025, 2:30:00 pm","duration":"0:14","x":[1,{"y":"\ud800"}]}`,
		`{"metadata":{"a":1},"sent_at":1763803600,"device":"Quest","batch_id":"7","metadata":null}`, `{"View":"","TotalDuration":""}`,
		"\xff\xfe{\x00}\x00", `{"session_start":1,"start_time":2,"startedAt":3}`, `{"session_end":nan}`, `{}`, `[]`, ``,
	} {
		f.Add(body, int64(testReceived))
	}
	d := NewDecoder(event.DefaultLimits(), nil)
	f.Fuzz(func(t *testing.T, body string, received int64) {
		req := sessionRequest(body)
		req.ReceivedAt = event.Micros(received % int64(event.Latest/2))
		var b, again event.Batch
		post, err := d.Session(req, &b)
		if err != nil {
			checkBodyError(t, err, body)
			return
		}
		if post.Ignored {
			return
		}
		r := b.Report
		if r == nil || len(b.Sessions) != 1 || post.Duration < 0 {
			t.Fatalf("%+v, %+v", post, b)
		}
		for _, text := range []string{r.CustomerID, r.PropertyID, r.Device, b.Sessions[0].ClientID} {
			if code := event.CheckText(text, event.DefaultLimits().StringBytes); code != "" {
				t.Fatalf("%q: %s", text, code)
			}
		}
		for _, at := range []*event.Micros{r.Start, r.End} {
			if at != nil && (*at < event.Earliest || *at > event.Latest) {
				t.Fatalf("time %d", *at)
			}
		}
		if r.Props != "" {
			if err := jsonbRefuses(r.Props, event.DefaultLimits().Depth); err != nil {
				t.Fatalf("props %q: %v", r.Props, err)
			}
		}
		if _, err := d.Session(req, &again); err != nil || cmp.Diff(&b, &again) != "" {
			t.Fatalf("a second reading differs: %v", err)
		}
	})
}

func ExampleDecoder_Session() {
	d := NewDecoder(event.DefaultLimits(), nil)
	var b event.Batch
	post, err := d.Session(&Request{
		Tenant: "acme", Endpoint: EndpointSession, ReceivedAt: 1_764_686_000_000_000,
		Body: `{"session_id": "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8", "session_start": "02-Dec-2025, 2:30:00 pm", "session_end": "02-Dec-2025, 2:30:14 pm"}`,
	}, &b)
	fmt.Println(post.SessionID, post.Duration, err)
	fmt.Println(b.Report.Start.Time().Format(time.RFC3339))
	// Output:
	// 7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8 14s <nil>
	// 2025-12-02T14:30:00Z
}
