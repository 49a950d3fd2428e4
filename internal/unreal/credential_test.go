package unreal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/event"
)

const testSecret = "0123456789abcdefghjkmnpqrstvwxyz01234567zz"

// rule 8: nothing that is stored holds a key, wherever a client put it.
func TestBatch_KeepsNoCredential(t *testing.T) {
	t.Parallel()
	key := "nxr_prod_0123456789_" + testSecret
	hidden := `nxr\u005fprod_0123456789_` + testSecret
	body := `{"session_id":"` + key + `","events":[` + strings.Join([]string{
		`{"event_type":"` + key + `","timestamp":1763799990,"zone_name":"` + hidden + `","a":"` + key + `"}`,
		`{"event_type":"cta","timestamp":1763799990,"metadata":{"note":"` + key + `"}}`,
		`{"event_type":"cta","timestamp":1763799990,"metadata":{"X-Api-Key":"hunter2","b":1}}`,
		`{"event_type":"cta","timestamp":1763799990,"api_key":"hunter2","b":{"Password":["hunter2"],"c":2}}`,
		`{"event_type":"cta","timestamp":1763799990,"event_data":{"token":"hunter2","key":"volume"}}`,
		`{"event_type":"cta","timestamp":"` + key + `"}`,
		`{"event_type":"cta","authorization":"hunter2","` + key + `":1,"secret":7}`,
		`"` + key + `"`,
	}, ",") + `]}`
	b := decodeBatch(t, body)
	if len(b.Events) != 5 || len(b.Rejected) != 3 {
		t.Fatalf("%d events, %+v", len(b.Events), b.Rejected)
	}
	kept := fmt.Sprintf("%+v", *b)
	if strings.Contains(kept, testSecret) || strings.Contains(kept, "hunter2") {
		t.Errorf("a credential is kept: %s", kept)
	}
	for k, want := range []string{
		`{"a":"nxr_prod_0123456789_***"}`, `{"note":"nxr_prod_0123456789_***"}`, `{"b":1}`,
		`{"b":{"Password":"***","c":2}}`, `{"key":"volume"}`,
	} {
		if got := b.Events[k].Props; got != want {
			t.Errorf("event %d: props %s, want %s", k, got, want)
		}
	}
	for _, r := range b.Rejected {
		if !json.Valid([]byte(r.Raw)) {
			t.Errorf("raw is no JSON any more: %s", r.Raw)
		}
	}
}

func TestSession_KeepsNoCredential(t *testing.T) {
	t.Parallel()
	key := "nxr_dev_0123456789_" + testSecret
	_, b := decodeSession(t, `{"session_id":"s","session_start":1763799990,"customer_id":"`+key+`","api_key":"hunter2",`+
		`"note":"`+key+`","metadata":{"auth":{"token":"hunter2"},"d":{"jwt":"hunter2"}}}`)
	kept := fmt.Sprintf("%+v", *b.Report)
	if strings.Contains(kept, testSecret) || strings.Contains(kept, "hunter2") {
		t.Errorf("a credential is kept: %s", kept)
	}
}

func FuzzMaskCredentials(f *testing.F) {
	for _, seed := range []string{``, `{"token":"x"}`, `{"a":{"api_key":[1,{"b":2}]}}`, `{"secret":`, `{"jwt":1,"sig":null}`, `"token":"x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		masked := maskCredentials(s)
		if len(masked) > len(s) || json.Valid([]byte(s)) && !json.Valid([]byte(masked)) {
			t.Errorf("%q became %q", s, masked)
		}
	})
}

// Of equal names in different places none is lost.
func TestBatch_PropsOfEqualNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ members, want string }{
		{`"foo":1,"event_data":{"foo":2}`, `{"foo":1,"event_data":{"foo":2}}`},
		{`"event_data":{"foo":2},"foo":1`, `{"foo":1,"event_data":{"foo":2}}`},
		{`"foo":1,"event_data":{"f\u006fo":2}`, `{"foo":1,"event_data":{"f\u006fo":2}}`},
		{
			`"foo":1,"eventData":{"foo":2,"a":3},"attributes":{"foo":4,"a":5},"metadata":{"foo":6,"a":7,"b":8}`,
			`{"foo":1,"a":3,"eventData":{"foo":2},"attributes":{"foo":4,"a":5},"b":8,"metadata":{"foo":6,"a":7}}`,
		},
		{`"attributes":{"event_data":1,"a":2},"event_data":{"a":3}`, `{"a":3,"event_data":1,"attributes":{"a":2}}`},
		{`"event_data":{"metadata":1,"a":2},"metadata":{"a":3}`, `{"metadata":1,"a":2,"metadata_":{"a":3}}`},
		{`"foo":1,"foo":2`, `{"foo":1,"foo":2}`}, // one place: jsonb keeps the last
	} {
		b := decodeBatch(t, bodyOf(`{"event_type":"cta","timestamp":1763799990,`+test.members+`}`))
		if len(b.Events) != 1 || b.Events[0].Props != test.want {
			t.Errorf("%s: %+v, want %s", test.members, b.Events, test.want)
		}
	}
	// More names than are compared one by one.
	var many strings.Builder
	for k := range 100 {
		fmt.Fprintf(&many, `"m%d":%d,`, k, k)
	}
	b := decodeBatch(t, bodyOf(`{"event_type":"cta","timestamp":1763799990,`+many.String()+`"metadata":{"m3":0,"m99":0,"z":0}}`))
	if got := b.Events[0].Props; !strings.HasSuffix(got, `,"z":0,"metadata":{"m3":0,"m99":0}}`) {
		t.Error(got)
	}
}

func TestBatch_RepeatedListsCountTogether(t *testing.T) {
	t.Parallel()
	body := `{"session_id":"s",` + strings.Repeat(`"events":[{},{}],`, 500) + `"events":[{}]}`
	err := NewDecoder(event.DefaultLimits(), nil).Batch(batchRequest(body), &event.Batch{})
	if problem, ok := errors.AsType[*BodyError](err); !ok || problem.Code != CodeTooManyEvents {
		t.Error(err)
	}
}

// A time that a 32-bit float rounded may seem to lie ahead and does not.
func TestBatch_CoarseTimesAhead(t *testing.T) {
	t.Parallel()
	const step = secondsStep / 1_000_000
	coarseTime := int64(1763799936/step+1) * step
	for _, test := range []struct {
		ahead    int64 // of the coarse time, in seconds
		sentAt   bool
		accepted int
		shifted  bool
	}{
		{60 + step/2, false, 1, false},
		{60 + step/2 + 1, false, 0, false},
		{60 + step/2, true, 1, false},
		{60 + step/2 + 1, true, 1, true},
	} {
		body := fmt.Sprintf(`{"session_id":"s","events":[{"event_type":"cta","timestamp":%d}]}`, coarseTime)
		if test.sentAt {
			body = fmt.Sprintf(`{"sent_at":%d,`, coarseTime) + body[1:]
		}
		req := batchRequest(body)
		req.ReceivedAt = event.Micros(coarseTime-test.ahead) * 1_000_000
		var b event.Batch
		if err := NewDecoder(event.DefaultLimits(), nil).Batch(req, &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Events) != test.accepted || test.accepted == 1 && (b.Events[0].ClockShiftMS != 0) != test.shifted {
			t.Errorf("%+v: %+v %+v", test, b.Events, b.Rejected)
		}
	}
}

// An end that was never set says nothing beside a start that was.
func TestSession_EndOfADeadClock(t *testing.T) {
	t.Parallel()
	for _, end := range []string{`0`, `1`, `"1970-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`} {
		post, b := decodeSession(t, `{"session_id":"s","session_start":1763799990,"session_end":`+end+`}`)
		if post.HasDuration || b.Report.Start == nil || b.Report.End != nil || b.Report.Props != `{"session_end":`+end+`}` {
			t.Errorf("%s: %+v, %+v", end, post, b.Report)
		}
	}
}
