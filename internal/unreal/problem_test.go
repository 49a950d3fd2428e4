package unreal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// bodyErrorOf decodes a body that must be refused.
func bodyErrorOf(t *testing.T, endpoint Endpoint, body string) *BodyError {
	t.Helper()
	var b event.Batch
	d := NewDecoder(event.DefaultLimits(), nil)
	req := batchRequest(body)
	req.Endpoint = endpoint
	var err error
	if endpoint == EndpointSession {
		_, err = d.Session(req, &b)
	} else {
		err = d.Batch(req, &b)
	}
	problem, ok := errors.AsType[*BodyError](err)
	if !ok {
		t.Fatalf("%.100q: error %v", body, err)
	}
	if b.Tenant != "acme" || len(b.Events)+len(b.Rejected)+len(b.Sessions) != 0 || b.Report != nil {
		t.Errorf("%.100q: the batch is not empty: %+v", body, b)
	}
	if problem.Detail == "" || !strings.Contains(problem.Error(), problem.Code) {
		t.Errorf("%.100q: %+v", body, problem)
	}
	return problem
}

func TestBodyError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body, code string
		offset           int64
		field            string
		says             string
	}{
		{"empty", ``, CodeEmptyBody, 0, "", "VaRest, set the request's content type to JSON"},
		{"white space", " \r\n\t\x00\x00", CodeEmptyBody, 0, "", "content type"},
		{"byte order mark alone", "\xef\xbb\xbf", CodeEmptyBody, 0, "", "content type"},
		{"UTF-16, cut off behind half a pair", "\"\x00000\xdd00", CodeTruncatedBody, 8, "", "cut off"},
		{"a list", ` []`, CodeNotAnObject, 1, "", "a list"},
		{"null", `null`, CodeNotAnObject, 0, "", "null"},
		{"a string", `"x"`, CodeNotAnObject, 0, "", "a string"},
		{"a number", `-1`, CodeNotAnObject, 0, "", "a number"},
		{"true", `true`, CodeNotAnObject, 0, "", "true or false"},
		{"a broken list", `[1,`, CodeTruncatedBody, 3, "[1]", "cut off"},
		{"form fields", `session_start=1&session_end=2`, CodeInvalidJSON, 0, "", "form fields"},
		{"words", `hello world`, CodeInvalidJSON, 0, "", `"hello"`},
		{"cut off in a name", `{"session_id":"s","eve`, CodeTruncatedBody, 22, "", "after 22 bytes"},
		{"cut off in an event", `{"events":[{"event_type":"pose"},{"event_type":"po`, CodeTruncatedBody, 50, "events[1].event_type", "events[1].event_type"},
		{"cut off behind it", `{"events":[]`, CodeTruncatedBody, 12, "events", "cut off"},
		{"bare nan", `{"events":[{"event_type":"pose","position":{"x":1,"y":nan}}]}`, CodeInvalidJSON, 54, "events[0].position.y", "JSON has no such number"},
		{"bare -nan(ind)", `{"events":[{},{"position":{"x":-nan(ind)}}]}`, CodeInvalidJSON, 31, "events[1].position.x", "JSON has no such number"},
		{"bare inf", `{"events":[{"rotation":{"yaw":inf}}]}`, CodeInvalidJSON, 30, "events[0].rotation.yaw", `"inf"`},
		{"bare -inf", `{"sent_at":-inf,"events":[]}`, CodeInvalidJSON, 11, "sent_at", `"-inf"`},
		{"Infinity in metadata", `{"events":[{"metadata":{"a":[1,Infinity]}}]}`, CodeInvalidJSON, 31, "events[0].metadata.a[1]", "Infinity"},
		{"decimal comma", `{"events":[{"position":{"x":1,5}}]}`, CodeInvalidJSON, 30, "events[0].position", "decimal comma"},
		{"leading zero", `{"events":[{"timestamp":0123}]}`, CodeInvalidJSON, 25, "events[0].timestamp", "leading zero"},
		{"comma at the end", `{"events":[],}`, CodeInvalidJSON, 13, "", ""},
		{"comma missing", `{"events":[{} {}]}`, CodeInvalidJSON, 14, "events[0]", "comma missing"},
		{"control character", "{\"events\":[{\"zone_name\":\"a\nb\"}]}", CodeInvalidJSON, 26, "events[0].zone_name", "0x0a"},
		{"bad escape", `{"events":[{"zone_name":"\x41"}]}`, CodeInvalidJSON, 26, "events[0].zone_name", ""},
		{"single quotes", `{'events':[]}`, CodeInvalidJSON, 1, "", "double quotes"},
		{"bytes behind it", `{"events":[]} x`, CodeInvalidJSON, 14, "", "unexpected"},
		{"two bodies", `{"events":[]}{"events":[]}`, CodeInvalidJSON, 13, "", "second body"},
		{"literal", `{"events":nul}`, CodeInvalidJSON, 10, "events", ""},
		{"beyond ASCII", `{"events":é}`, CodeInvalidJSON, 10, "events", `'\u00e9'`},
		{"behind a mark", "\xef\xbb\xbf{\"events\":nan}", CodeInvalidJSON, 13, "events", "at byte 10"},
		{"no events", `{"session_id":"s","sent_at":1}`, CodeMissingEvents, 0, "events", "no list"},
		{"nothing", `{}`, CodeMissingEvents, 0, "events", ""},
		{"events null", `{"events":null}`, CodeMissingEvents, 0, "events", ""},
		{"events an object", `{"events":{"event_type":"pose"}}`, CodeInvalidEvents, 0, "events", "must be a list"},
		{"events a string", `{"events":[],"events":"x"}`, CodeInvalidEvents, 0, "events", ""},
		{"UTF-16 of odd length", "\xff\xfe{\x00}", CodeInvalidEncoding, 5, "", "UTF-16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := bodyErrorOf(t, EndpointBatch, test.body)
			if e.Code != test.code || e.Offset != test.offset || e.Field != test.field || !strings.Contains(e.Detail, test.says) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestBodyError_ReceivedKeys(t *testing.T) {
	t.Parallel()
	e := bodyErrorOf(t, EndpointBatch, `{"Session":"s","caf\u00e9":{"inner":1},"é":[{"x":2}],"last":1}`)
	if diff := cmp.Diff([]string{"Session", `caf\u00e9`, "?", "last"}, e.ReceivedKeys); diff != "" {
		t.Error(diff)
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `"%s%d":1,`, strings.Repeat("k", 100), i)
	}
	e = bodyErrorOf(t, EndpointBatch, `{`+many.String()+`"z":1}`)
	if len(e.ReceivedKeys) != 32 || len(e.ReceivedKeys[0]) != 64 {
		t.Errorf("%d keys, the first of %d bytes", len(e.ReceivedKeys), len(e.ReceivedKeys[0]))
	}
}

// rule 9: too many events are noticed at the first one beyond the limit.
func TestBodyError_TooManyEvents(t *testing.T) {
	t.Parallel()
	limit := event.DefaultLimits().Events
	at := strings.Repeat("1,", limit-1) + "1"
	if b := decodeBatch(t, `{"events":[`+at+`]}`); len(b.Rejected) != limit {
		t.Errorf("%d rejected", len(b.Rejected))
	}
	// What follows is not even JSON: it is not read.
	e := bodyErrorOf(t, EndpointBatch, `{"events":[`+at+`,1`+strings.Repeat("!", 1000))
	if e.Code != CodeTooManyEvents || e.Offset != int64(len(`{"events":[`+at+`,`)) {
		t.Errorf("%+v", e)
	}
	limits := event.DefaultLimits()
	limits.Events = 1 << 40
	var b event.Batch
	err := NewDecoder(limits, nil).Batch(batchRequest(`{"events":[`+strings.Repeat("1,", event.MaxEvents)+`1]}`), &b)
	if e, ok := errors.AsType[*BodyError](err); !ok || e.Code != CodeTooManyEvents {
		t.Errorf("an index beyond a smallint: %v", err)
	}
}

func TestPathTo_Deep(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(`{"a":[`, 50_000)
	e := bodyErrorOf(t, EndpointBatch, body)
	if e.Code != CodeTruncatedBody || len(e.Field) > 200 {
		t.Errorf("%+v", e)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abc", 2, "ab"},
		{"aé", 2, "a"},
		{"é", 1, ""},
		{"😀😀", 7, "😀"},
		{"😀😀", 4, "😀"},
		{"\xff\xff\xff\xff\xff\xff", 3, "\xff\xff\xff"},
		{"\x80\x80\x80\x80\x80\x80\x80", 6, "\x80\x80"},
	} {
		if got := cut(test.s, test.limit); got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.s, test.limit, got, test.want)
		}
	}
}
