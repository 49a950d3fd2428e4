package unreal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
)

const (
	testReceived event.Micros = 1_763_800_000_000_000 // 2025-11-22T08:26:40Z
	testSession               = "7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8"
)

func batchRequest(body string) *Request {
	return &Request{
		Tenant: "acme", Endpoint: EndpointBatch, Body: body,
		ReceivedAt: testReceived, ReceiptID: event.UUID{1}, CorrelationID: "c-1",
	}
}

func decodeBatch(t *testing.T, body string) *event.Batch {
	t.Helper()
	var b event.Batch
	if err := NewDecoder(event.DefaultLimits(), nil).Batch(batchRequest(body), &b); err != nil {
		t.Fatalf("%.200s: %v", body, err)
	}
	return &b
}

// bodyOf is a batch of one session around events.
func bodyOf(events ...string) string {
	return `{"session_id":"` + testSession + `","events":[` + strings.Join(events, ",") + `]}`
}

func TestBatch_Whole(t *testing.T) {
	t.Parallel()
	const pose = `{"event_type":"pose","timestamp":1763799990.5,"position":{"x":1.5,"y":-2,"z":170.25},"rotation":{"pitch":1,"yaw":-90.5,"roll":0}}`
	b := decodeBatch(t, `{"session_id":"`+testSession+`","sent_at":1763799995,"events":[`+pose+`,{"event_type":"warp"}]}`)
	session := event.Session{
		Key:      event.SessionKey("acme", "7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"),
		ClientID: testSession,
	}
	want := &event.Batch{
		Tenant: "acme", ReceiptID: event.UUID{1}, ReceivedAt: testReceived, CorrelationID: "c-1",
		ID: b.ID, Digest: event.DigestOf("[" + pose + `,{"event_type":"warp"}]`),
		Sessions: []event.Session{session},
		Events: []event.Event{{
			Type: event.Pose, OccurredAt: 1_763_799_990_500_000,
			Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldPitch | event.FieldYaw | event.FieldRoll,
			X:   1.5, Y: -2, Z: 170.25, Pitch: 1, Yaw: -90.5,
		}},
		Rejected: []event.Rejection{{
			Index: 1, Code: event.MissingTimestamp, Field: "timestamp", Detail: "the event has no timestamp", Raw: `{"event_type":"warp"}`,
		}},
	}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
	if b.ID == (event.UUID{}) {
		t.Error("the batch has no id")
	}
}

// accepted is what an event should become; only the fields named are set.
func TestBatch_Accepts(t *testing.T) {
	t.Parallel()
	const at event.Micros = 1_763_799_990_000_000
	for _, test := range []struct {
		name, event string
		want        event.Event
	}{
		{"bare", `{"event_type":"heartbeat","timestamp":1763799990}`, event.Event{Type: event.Heartbeat}},
		{
			"all of V1", `{"event_type":"interaction","timestamp":1763799990,"session_id":"` + testSession + `","zone_name":"kitchen","object_name":"tap",
			"gaze_target":"window","interaction_type":"open","position":{"x":1,"y":2,"z":3},"rotation":{"pitch":4,"yaw":5,"roll":6},"dwell_time_ms":7,"metadata":{"a":1}}`,
			event.Event{
				Type: event.Interaction, Zone: "kitchen", Object: "tap", Target: "window", Action: "open",
				X: 1, Y: 2, Z: 3, Pitch: 4, Yaw: 5, Roll: 6, DurationMS: 7, Props: `{"a":1}`,
				Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldPitch | event.FieldYaw | event.FieldRoll | event.FieldDuration,
			},
		},
		{
			"other spellings", `{"EventType":"Zone Enter","TIMESTAMP":"1763799990","zoneName":"hall","Object_Name":"door","GazeTarget":"x","InteractionType":"y","DwellTimeMs":"8"}`,
			event.Event{Type: event.ZoneEnter, Zone: "hall", Object: "door", Target: "x", Action: "y", DurationMS: 8, Has: event.FieldDuration},
		},
		{
			"aliases", `{"type":"gaze","t":1763799990,"zone":"hall","object":"door","target":"x","action":"y","duration_ms":9,"sequence":4,"floor":-1}`,
			event.Event{Type: event.Gaze, Zone: "hall", Object: "door", Target: "x", Action: "y", DurationMS: 9, Seq: 4, Level: -1, Has: event.FieldDuration | event.FieldSeq | event.FieldLevel},
		},
		{"occurred_at", `{"event_type":"cta","occurredAt":"2025-11-22T08:26:30Z"}`, event.Event{Type: event.CTA}},
		{
			"own names win over aliases", `{"zone":"alias","zone_name":"own","time":5,"timestamp":1763799990,"type":"poi","event_type":"cta"}`,
			event.Event{Type: event.CTA, Zone: "own", Props: `{"zone":"alias","time":5,"type":"poi"}`},
		},
		{
			"better aliases win", `{"event_type":"cta","t":1,"time":1763799990,"floor":3,"level":2}`,
			event.Event{Type: event.CTA, Level: 2, Has: event.FieldLevel, Props: `{"t":1,"floor":3}`},
		},
		{
			"of equal names the last", `{"event_type":"poi","event_type":"cta","timestamp":"x","timestamp":1763799990,"zone":"a","zone":"b","position":{"x":1},"position":{"y":2},"level":"x","level":1}`,
			event.Event{Type: event.CTA, Zone: "b", Y: 2, Level: 1, Has: event.FieldY | event.FieldLevel},
		},
		{
			"of equal names the last is null", `{"event_type":"cta","timestamp":1763799990,"zone":"a","zone":null,"object_name":"a","object_name":null,"position":[1,2,3],"position":null,"metadata":{"a":1},"metadata":null}`,
			event.Event{Type: event.CTA},
		},
		{"null alias leaves the field to another", `{"event_type":"cta","time":null,"t":1763799990}`, event.Event{Type: event.CTA}},
		{
			"null and empty are absent", `{"event_type":"cta","timestamp":1763799990,"session_id":null,"zone_name":"","object_name":null,"position":null,"rotation":"","dwell_time_ms":"","seq":null,"level":null,"metadata":null,"event_data":null}`,
			event.Event{Type: event.CTA},
		},
		{
			"null coordinates", `{"event_type":"cta","timestamp":1763799990,"position":{"x":null,"y":"","z":3},"rotation":{}}`,
			event.Event{Type: event.CTA, Z: 3, Has: event.FieldZ},
		},
		{
			"event_data", `{"event_type":"gaze","timestamp":1763799990,"event_data":{"zone_name":"hall","gaze_target":"lamp","dwell_time_ms":"250","position":{"x":1,"y":2,"z":3},"colour":"red"}}`,
			event.Event{Type: event.Gaze, Zone: "hall", Target: "lamp", DurationMS: 250, X: 1, Y: 2, Z: 3, Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldDuration, Props: `{"colour":"red"}`},
		},
		{
			"event_data comes first and loses", `{"event_data":{"zone_name":"inner","timestamp":1,"t":2},"event_type":"cta","timestamp":1763799990,"zone_name":"outer"}`,
			event.Event{Type: event.CTA, Zone: "outer", Props: `{"zone_name":"inner","timestamp":1,"t":2}`},
		},
		{
			"event_data before attributes", `{"event_type":"cta","timestamp":1763799990,"attributes":{"zone":"a","x":1},"event_data":{"zone":"d"}}`,
			event.Event{Type: event.CTA, Zone: "d", Props: `{"zone":"a","x":1}`},
		},
		{"everything in attributes", `{"attributes":{"event_type":"cta","timestamp":1763799990,"session_id":"` + testSession + `"}}`, event.Event{Type: event.CTA}},
		{
			"words that mean something else there", `{"event_type":"cta","timestamp":1763799990,"event_data":{"level":"penthouse","action":{"a":1},"seq":1.5,"dwell_time_ms":-1,"position":{"x":"left"},"floor":70000}}`,
			event.Event{Type: event.CTA, Props: `{"level":"penthouse","action":{"a":1},"seq":1.5,"dwell_time_ms":-1,"position":{"x":"left"},"floor":70000}`},
		},
		{
			"levels that are no floors", `{"event_type":"cta","timestamp":1763799990,"level":"penthouse","seq":18446744073709551615}`,
			event.Event{Type: event.CTA, Props: `{"seq":18446744073709551615,"level":"penthouse"}`},
		},
		{
			"aliases that mean something else", `{"event_type":"cta","timestamp":1763799990,"target":{"id":1},"object":[1],"zone":true}`,
			event.Event{Type: event.CTA, Props: `{"target":{"id":1},"object":[1],"zone":true}`},
		},
		{
			"unknown members", "{\"event_type\":\"cta\",\n\"timestamp\":1763799990, \"colour\" : \"red\" ,\"size\":[1, 2]}",
			event.Event{Type: event.CTA, Props: `{"colour":"red","size":[1, 2]}`},
		},
		{
			"unknown members and metadata", `{"event_type":"cta","timestamp":1763799990,"metadata":{ "a":1 },"b":2,"event_data":{"c":3}}`,
			event.Event{Type: event.CTA, Props: `{"b":2,"c":3,"a":1}`},
		},
		{"empty metadata", `{"event_type":"cta","timestamp":1763799990,"metadata":{ },"b":2}`, event.Event{Type: event.CTA, Props: `{"b":2}`}},
		{
			"metadata that is no object", `{"event_type":"cta","timestamp":1763799990,"metadata":[1],"event_data":"x","attributes":5}`,
			event.Event{Type: event.CTA, Props: `{"event_data":"x","attributes":5,"metadata":[1]}`},
		},
		{
			"props keep escapes", `{"event_type":"cta","timestamp":1763799990,"a\"b":"\u00e9\ud83d\ude00"}`,
			event.Event{Type: event.CTA, Props: `{"a\"b":"\u00e9\ud83d\ude00"}`},
		},
		{
			"quaternion", `{"event_type":"pose","timestamp":1763799990,"rotation":{"x":0,"y":0,"z":0.7,"w":0.7}}`,
			event.Event{Type: event.Pose, Props: `{"rotation":{"x":0,"y":0,"z":0.7,"w":0.7}}`},
		},
		{
			"coordinate we do not know", `{"event_type":"pose","timestamp":1763799990,"position":{"x":1,"w":2}}`,
			event.Event{Type: event.Pose, X: 1, Has: event.FieldX, Props: `{"position":{"x":1,"w":2}}`},
		},
		{
			"coordinates as strings", `{"event_type":"pose","timestamp":1763799990,"position":{"X":"1.5","Y":" -2e1 ","Z":"+3"}}`,
			event.Event{Type: event.Pose, X: 1.5, Y: -20, Z: 3, Has: event.FieldX | event.FieldY | event.FieldZ},
		},
		{
			"coordinates as lists", `{"event_type":"pose","timestamp":1763799990,"position":[1, "2" ,null],"rotation":[4,5,6]}`,
			event.Event{Type: event.Pose, X: 1, Y: 2, Pitch: 4, Yaw: 5, Roll: 6, Has: event.FieldX | event.FieldY | event.FieldPitch | event.FieldYaw | event.FieldRoll},
		},
		{
			"coordinates out of order", `{"event_type":"pose","timestamp":1763799990,"position":{"z":3, "y":2,"x":1},"rotation":{"yaw":5}}`,
			event.Event{Type: event.Pose, X: 1, Y: 2, Z: 3, Yaw: 5, Has: event.FieldX | event.FieldY | event.FieldZ | event.FieldYaw},
		},
		{
			"coordinates twice", `{"event_type":"pose","timestamp":1763799990,"position":{"x":1,"x":2},"rotation":{"pitch":4,"yaw":5,"roll":6,"roll":7}}`,
			event.Event{Type: event.Pose, X: 2, Pitch: 4, Yaw: 5, Roll: 7, Has: event.FieldX | event.FieldPitch | event.FieldYaw | event.FieldRoll},
		},
		{
			"tiny and large coordinates", `{"event_type":"pose","timestamp":1763799990,"position":{"x":1e-400,"y":3.4e38,"z":-0}}`,
			event.Event{Type: event.Pose, Y: 3.4e38, Has: event.FieldX | event.FieldY | event.FieldZ},
		},
		{"dwell as a float", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":2500.0}`, event.Event{Type: event.Gaze, DurationMS: 2500, Has: event.FieldDuration}},
		{"dwell rounded", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":2500.7}`, event.Event{Type: event.Gaze, DurationMS: 2501, Has: event.FieldDuration}},
		{"dwell as text", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":"2.5e3"}`, event.Event{Type: event.Gaze, DurationMS: 2500, Has: event.FieldDuration}},
		{"dwell and duration", `{"event_type":"gaze","timestamp":1763799990,"duration_ms":1,"dwell_time_ms":2}`, event.Event{Type: event.Gaze, DurationMS: 2, Has: event.FieldDuration, Props: `{"duration_ms":1}`}},
		{"numbers as text", `{"event_type":"cta","timestamp":1763799990,"zone_name":12,"object_name":-1.50}`, event.Event{Type: event.CTA, Zone: "12", Object: "-1.50"}},
		{
			"escaped text and names", `{"event\u005ftype":"c\u0074a","timestamp":1763799990,"zone_name":"\u00e9 \"\\\/\b\f\n\r\t\ud83d\ude00"}`,
			event.Event{Type: event.CTA, Zone: "é \"\\/\b\f\n\r\t😀"},
		},
		{"unknown type", `{"event_type":"menu_open","timestamp":1763799990}`, event.Event{Type: event.Custom, Name: "menu_open"}},
		{"type as a number", `{"event_type":7,"timestamp":1763799990}`, event.Event{Type: event.Custom, Name: "7"}},
		{"custom", `{"event_type":"custom","timestamp":1763799990}`, event.Event{Type: event.Custom}},
		{"sixty seconds ahead", `{"event_type":"cta","timestamp":1763800060}`, event.Event{Type: event.CTA, OccurredAt: testReceived + 60e6}},
		{"months old", `{"event_type":"cta","timestamp":1463799990}`, event.Event{Type: event.CTA, OccurredAt: 1_463_799_990_000_000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := decodeBatch(t, bodyOf(test.event))
			want := test.want
			if want.OccurredAt == 0 {
				want.OccurredAt = at
			}
			if diff := cmp.Diff([]event.Event{want}, b.Events); diff != "" {
				t.Errorf("%s\nrejected %+v", diff, b.Rejected)
			}
			for i := range b.Events {
				checkStorable(t, &b.Events[i], event.DefaultLimits())
			}
		})
	}
}

func TestBatch_Rejects(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1025)
	for _, test := range []struct {
		name, event string
		code        event.Code
		field       string
	}{
		{"null", `null`, event.NotAnObject, ""},
		{"a number", `-1.5e3`, event.NotAnObject, ""},
		{"a list", `[{"event_type":"cta"}]`, event.NotAnObject, ""},
		{"a string", `"x"`, event.NotAnObject, ""},
		{"nothing", `{}`, event.MissingEventType, "event_type"},
		{"no type", `{"timestamp":1763799990}`, event.MissingEventType, "event_type"},
		{"empty type", `{"event_type":"","timestamp":1763799990}`, event.MissingEventType, "event_type"},
		{"type of the wrong kind", `{"event_type":{},"timestamp":1763799990}`, event.InvalidType, "event_type"},
		{"no time", `{"event_type":"cta"}`, event.MissingTimestamp, "timestamp"},
		{"null time", `{"event_type":"cta","timestamp":null}`, event.MissingTimestamp, "timestamp"},
		{"no time we know", `{"event_type":"cta","timestamp":"yesterday"}`, event.InvalidTimestamp, "timestamp"},
		{"alias of no time we know", `{"event_type":"cta","time":"yesterday"}`, event.InvalidTimestamp, "timestamp"},
		{"time of the wrong kind", `{"event_type":"cta","timestamp":true}`, event.InvalidTimestamp, "timestamp"},
		{"time beyond the calendar", `{"event_type":"cta","timestamp":1e300}`, event.InvalidTimestamp, "timestamp"},
		{"future", `{"event_type":"cta","timestamp":1763800060.000001}`, event.TimestampInFuture, "timestamp"},
		{"year 9999", `{"event_type":"cta","timestamp":"9999-12-31T23:59:59Z"}`, event.TimestampInFuture, "timestamp"},
		{"session of the wrong kind", `{"event_type":"cta","timestamp":1763799990,"session_id":{}}`, event.InvalidSession, "session_id"},
		{"session that is none", `{"event_type":"cta","timestamp":1763799990,"session_id":"a b"}`, event.InvalidSession, "session_id"},
		{"session too long", `{"event_type":"cta","timestamp":1763799990,"session_id":"` + strings.Repeat("a", 129) + `"}`, event.InvalidSession, "session_id"},
		{"session in half a pair", `{"event_type":"cta","timestamp":1763799990,"session_id":"\ud800"}`, event.InvalidSession, "session_id"},
		{"zone of the wrong kind", `{"event_type":"cta","timestamp":1763799990,"zone_name":["a"]}`, event.InvalidType, "zone_name"},
		{"zone too long", `{"event_type":"cta","timestamp":1763799990,"zone_name":"` + long + `"}`, event.TextTooLong, "zone_name"},
		{"escaped zone too long", `{"event_type":"cta","timestamp":1763799990,"zone_name":"\n` + long + `"}`, event.TextTooLong, "zone_name"},
		{"alias too long", `{"event_type":"cta","timestamp":1763799990,"zone":"` + long + `"}`, event.TextTooLong, "zone_name"},
		{"NUL", `{"event_type":"cta","timestamp":1763799990,"object_name":"a\u0000b"}`, event.InvalidText, "object_name"},
		{"half a pair", `{"event_type":"cta","timestamp":1763799990,"gaze_target":"\ude00"}`, event.InvalidText, "gaze_target"},
		{"no UTF-8", "{\"event_type\":\"cta\",\"timestamp\":1763799990,\"interaction_type\":\"\xff\"}", event.InvalidText, "interaction_type"},
		{"no UTF-8 in the type", "{\"event_type\":\"\xc3\",\"timestamp\":1763799990}", event.InvalidText, "event_type"},
		{"dwell that is no number", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":"long"}`, event.InvalidNumber, "dwell_time_ms"},
		{"dwell of the wrong kind", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":true}`, event.InvalidType, "dwell_time_ms"},
		{"dwell below zero", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":-1}`, event.InvalidNumber, "dwell_time_ms"},
		{"dwell too long", `{"event_type":"gaze","timestamp":1763799990,"dwell_time_ms":2147483648}`, event.InvalidNumber, "dwell_time_ms"},
		{"alias of dwell", `{"event_type":"gaze","timestamp":1763799990,"duration_ms":"long"}`, event.InvalidNumber, "dwell_time_ms"},
		{"position of the wrong kind", `{"event_type":"pose","timestamp":1763799990,"position":"here"}`, event.InvalidType, "position"},
		{"position too short", `{"event_type":"pose","timestamp":1763799990,"position":[1,2]}`, event.InvalidType, "position"},
		{"position empty", `{"event_type":"pose","timestamp":1763799990,"position":[]}`, event.InvalidType, "position"},
		{"position too long", `{"event_type":"pose","timestamp":1763799990,"position":[1,2,3,4]}`, event.InvalidType, "position"},
		{"coordinate that is no number", `{"event_type":"pose","timestamp":1763799990,"position":{"x":1,"y":"1,5"}}`, event.InvalidNumber, "position.y"},
		{"coordinate as text nan", `{"event_type":"pose","timestamp":1763799990,"rotation":{"yaw":"nan"}}`, event.InvalidNumber, "rotation.yaw"},
		{"coordinate of the wrong kind", `{"event_type":"pose","timestamp":1763799990,"rotation":[1,2,[3]]}`, event.InvalidType, "rotation.roll"},
		{"coordinate beyond float32", `{"event_type":"pose","timestamp":1763799990,"position":{"x":1,"y":2,"z":1e39}}`, event.InvalidNumber, "position.z"},
		{"NUL in metadata", `{"event_type":"cta","timestamp":1763799990,"metadata":{"a":{"b":"\u0000"}}}`, event.InvalidText, "metadata"},
		{"half a pair in metadata", `{"event_type":"cta","timestamp":1763799990,"metadata":{"\ud800":1}}`, event.InvalidText, "metadata"},
		{"no UTF-8 in metadata", "{\"event_type\":\"cta\",\"timestamp\":1763799990,\"metadata\":{\"a\":\"\xfe\"}}", event.InvalidText, "metadata"},
		{"number beyond numeric", `{"event_type":"cta","timestamp":1763799990,"metadata":{"a":1e999999}}`, event.InvalidNumber, "metadata"},
		{"number beyond numeric, unknown", `{"event_type":"cta","timestamp":1763799990,"size":-1e999999}`, event.InvalidNumber, "size"},
		{"no UTF-8 in a name", "{\"event_type\":\"cta\",\"timestamp\":1763799990,\"\xff\":1}", event.InvalidText, "?"},
		{"half a pair in event_data", `{"event_type":"cta","timestamp":1763799990,"event_data":{"a":"\udfff"}}`, event.InvalidText, "a"},
		{"deep metadata", `{"event_type":"cta","timestamp":1763799990,"metadata":{"a":[[[[[[[]]]]]]]}}`, event.EventTooDeep, "metadata"},
		{"deep event_data", `{"event_type":"cta","timestamp":1763799990,"event_data":{"a":[[[[[[[]]]]]]]}}`, event.EventTooDeep, "event_data"},
		{"deep unknown", `{"event_type":"cta","timestamp":1763799990,"a":[[[[[[[[]]]]]]]]}`, event.EventTooDeep, "a"},
		{"too large", `{"event_type":"cta","timestamp":1763799990,"metadata":{"a":"` + strings.Repeat("é", 8192) + `"}}`, event.EventTooLarge, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			const good = `{"event_type":"cta","timestamp":1763799990}`
			b := decodeBatch(t, bodyOf(good, test.event, good))
			if len(b.Events) != 2 || b.Events[0].Index != 0 || b.Events[1].Index != 2 {
				t.Fatalf("the events around it: %+v", b.Events)
			}
			if len(b.Rejected) != 1 {
				t.Fatalf("rejected: %+v", b.Rejected)
			}
			r := b.Rejected[0]
			if r.Index != 1 || r.Code != test.code || r.Field != test.field || r.Detail == "" {
				t.Errorf("rejected as %+v, want %s of %q", r, test.code, test.field)
			}
			if !strings.HasPrefix(test.event, r.Raw) || len(r.Raw) < min(len(test.event), 16<<10-3) || len(r.Raw) > 16<<10 {
				t.Errorf("raw has %d bytes of %d", len(r.Raw), len(test.event))
			}
			if event.CheckText(r.Detail, 1<<10) != "" || event.CheckText(r.Field, 1<<10) != "" {
				t.Errorf("cannot be stored: %q, %q", r.Field, r.Detail)
			}
		})
	}
}

func TestBatch_DepthAtTheLimit(t *testing.T) {
	t.Parallel()
	// The event is the first level, metadata the second.
	b := decodeBatch(t, bodyOf(`{"event_type":"cta","timestamp":1763799990,"metadata":{"a":[[[[[[]]]]]]},"b":[[[[[[[]]]]]]]}`))
	if len(b.Events) != 1 {
		t.Errorf("rejected %+v", b.Rejected)
	}
}

// rule 9: what is beyond a limit costs nothing but being read past.
func TestBatch_Hostile(t *testing.T) {
	t.Parallel()
	const good = `{"event_type":"cta","timestamp":1763799990}`
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, hostile := range map[string]string{
		"deep metadata": `{"event_type":"cta","timestamp":1763799990,"metadata":` + deep + `}`,
		"deep position": `{"event_type":"cta","timestamp":1763799990,"position":{"x":` + deep + `}}`,
		"deep element":  deep,
		"many members":  `{` + strings.Repeat(`"a":1,`, 50_000) + `"b":2}`,
		"long number":   `{"event_type":"cta","timestamp":` + strings.Repeat("9", 200_000) + `}`,
		"long exponent": `{"event_type":"cta","timestamp":1e` + strings.Repeat("9", 200_000) + `}`,
		"long string":   `{"event_type":"` + strings.Repeat(`\n`, 100_000) + `","timestamp":1}`,
		"long name":     `{"` + strings.Repeat(`_`, 100_000) + `event_type":"cta","timestamp":1}`,
	} {
		b := decodeBatch(t, bodyOf(good, hostile, good))
		if len(b.Events) != 2 || len(b.Rejected) != 1 || len(b.Rejected[0].Raw) > 16<<10 {
			t.Errorf("%s: %d events, %d rejected", name, len(b.Events), len(b.Rejected))
		}
	}
	for name, body := range map[string]string{
		"deep unknown":    `{"x":` + deep + `,"session_id":"s","events":[` + good + `]}`,
		"deep session":    `{"session_id":` + deep + `,"events":[` + good + `]}`,
		"events repeated": `{"session_id":"s",` + strings.Repeat(`"events":[{},{}],`, 499) + `"events":[` + good + `]}`,
	} {
		if b := decodeBatch(t, body); len(b.Events)+len(b.Rejected) != 1 {
			t.Errorf("%s: %d events, %+v", name, len(b.Events), b.Rejected)
		}
	}
}

func TestBatch_Strict(t *testing.T) {
	t.Parallel()
	d := NewDecoder(event.DefaultLimits(), func(tenant string) bool { return tenant == "acme" })
	body := bodyOf(`{"event_type":"menu_open","timestamp":1763799990}`, `{"event_type":"menu_open","timestamp":1763799990}`, `{"event_type":"custom","timestamp":1763799990}`)
	var b event.Batch
	if err := d.Batch(batchRequest(body), &b); err != nil {
		t.Fatal(err)
	}
	if len(b.Events) != 1 || len(b.Rejected) != 2 || b.Rejected[1].Code != event.UnknownEventType {
		t.Errorf("strict: %+v, %+v", b.Events, b.Rejected)
	}
	req := batchRequest(body)
	req.Tenant = "other"
	if err := d.Batch(req, &b); err != nil || len(b.Events) != 3 {
		t.Errorf("not strict: %v, %+v", err, b.Rejected)
	}
}

// A decoder's memory is reused; nothing of one request may show in another.
func TestBatch_ReusedDecoder(t *testing.T) {
	t.Parallel()
	d := NewDecoder(event.DefaultLimits(), nil)
	bodies := []string{
		tourBatch(50), bodyOf(`{"event_type":"cta","timestamp":1763799990,"a":1,"session_id":"x"}`), `{"events":[{"event_type":"cta","timestamp":1763799990}]}`,
		bodyOf(`{"event_type":"cta","timestamp":5,"metadata":{"b":2}}`), `{"events":[1,2`, `{"batch_id":"7","session_id":"s","sent_at":1963799990,"events":[{"event_type":"cta","timestamp":1963799990,"x":{}}]}`,
		bodyOf(), `{}`,
	}
	var reused event.Batch
	for round := range 3 {
		for _, body := range bodies {
			var fresh event.Batch
			wantErr := NewDecoder(event.DefaultLimits(), nil).Batch(batchRequest(body), &fresh)
			gotErr := d.Batch(batchRequest(body), &reused)
			if diff := cmp.Diff(wantErr, gotErr); diff != "" {
				t.Errorf("round %d, %.60s: %s", round, body, diff)
			}
			if diff := cmp.Diff(&fresh, &reused, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("round %d, %.60s: %s", round, body, diff)
			}
		}
	}
}
