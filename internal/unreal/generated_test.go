package unreal

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// awkwardValues are JSON values at the edges of what fields take.
func awkwardValues() []string {
	return []string{
		`null`, `""`, `" "`, `true`, `0`, `-0`, `-1`, `1`, `2.5`, `2500.7`, `"12.5"`, `" +3e1 "`, `"12,5"`, `"nan"`, `1e39`, `-1e39`, `1e-60`, `1e400`, `1e401`,
		`2147483647.5`, `2147483648`, `32767`, `32768`, `-32769`, `9223372036854775807`, `9223372036854775808`, `18446744073709551615`, `0.10000000149011612`,
		`16777217`, `33554433`, `1763799990.5239999294281006`, `1763799990`, `"1763799990"`, `1763799990524`, `638993919905242507`, `"2025-11-22T08:26:30.5Z"`,
		`"22-Nov-2025, 8:26:30 am"`, `"2025.11.22-08.26.30"`, `5`, `946684800`, `1963799990`, `"9999-12-31T23:59:59Z"`, `"yesterday"`,
		`"pose"`, `"gaze"`, `"Zone Enter"`, `"custom"`, `"menu_open"`, `"s1"`, `"` + testSession + `"`, `"{7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8}"`, `"00000000000000000000000000000000"`, `"a b"`,
		`"kitchen"`, `"k\u00fcche"`, "\"k\u00fcche\"", `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\u0000"`, "\"\xff\"", `"a\"b\\c\/d\n"`, `"` + strings.Repeat("x", 41) + `"`,
		`{}`, `[]`, `{"x":1,"y":2,"z":3}`, `{"x":"1.5","Y":null}`, `{"x":1,"w":2}`, `{"x":1e39}`, `{"pitch":1,"yaw":-90.5,"roll":0}`, `{"z":1, "x" :2}`,
		`[1,2,3]`, `[1,"2",null]`, `[1,2]`, `[ ]`, `{"a":1}`, `{"a":{"b":[1,{"c":null}]}}`, `{ "a" : 1 , "a":2 }`, `[[[[]]]]`, `[[[[[]]]]]`, `{"zone_name":"inner","colour":"red","t":5}`,
		`{"level":"penthouse","seq":3,"dwell_time_ms":"7","position":[1,2,3],"metadata":{"m":1}}`, `{"\u0000":1}`, `{"\ud800":1}`, "{\"\xfe\":1}", `{"n":-1e401}`,
	}
}

func names() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"event_type", "event_type", "timestamp", "timestamp", "session_id", "zone_name", "object_name", "gaze_target", "interaction_type", "position", "rotation",
		"dwell_time_ms", "metadata", "metadata", "seq", "level", "event_data", "attributes", "type", "t", "time", "occurred_at", "zone", "object", "target", "action",
		"duration_ms", "sequence", "floor", "EventType", "TimeStamp", "sessionId", "Zone_Name", `zone\u005fname`, "METADATA", "colour", "colour", "size", "k\u00fc", `\ud800`, "\xff", "", "x",
	})
}

func values() *rapid.Generator[string] { return rapid.SampledFrom(awkwardValues()) }

// spaces writes the same JSON in several ways.
func separators() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{",", ",", ",", " ,", ", ", "\r\n\t,\n"})
}

// objects generates members in any combination, repeated names included.
func objects(values *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		if rapid.IntRange(0, 3).Draw(t, "complete") > 0 {
			members = append(members, `"event_type":"cta"`, `"timestamp":1763799990.25`)
		}
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			members = append(members, `"`+names().Draw(t, "name")+`":`+values.Draw(t, "value"))
		}
		return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), separators().Draw(t, "separator")) + "}"
	})
}

// rules 5 and 7, on bodies made of everything that is awkward.
func TestBatch_Generated(t *testing.T) {
	t.Parallel()
	element := rapid.OneOf(objects(rapid.OneOf(values(), values(), values(), objects(values()))), values())
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOfN(element, 0, 20).Draw(t, "elements")
		members := []string{`"events":[` + strings.Join(elements, separators().Draw(t, "separator")) + `]`}
		for _, name := range []string{"session_id", "sent_at", "batch_id", "colour"} {
			if rapid.Bool().Draw(t, name) {
				members = append(members, `"`+name+`":`+values().Draw(t, "value"))
			}
		}
		body := "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
		if !validJSON(body) {
			t.Fatalf("the generator is broken: %s", body)
		}
		req := batchRequest(body)
		var b event.Batch
		if err := NewDecoder(fuzzLimits(), func(string) bool { return rapid.Bool().Draw(t, "strict") }).Batch(req, &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Events)+len(b.Rejected) != len(elements) {
			t.Fatalf("%d elements, %d accepted, %d rejected", len(elements), len(b.Events), len(b.Rejected))
		}
		checkBatch(t, &b, fuzzLimits())
		compareWithReference(t, body, &b)
	})
}

// A cut or a changed byte is refused or read as something else, never worse.
func TestBatch_Damaged(t *testing.T) {
	t.Parallel()
	d := NewDecoder(fuzzLimits(), nil)
	rapid.Check(t, func(t *rapid.T) {
		body := bodyOf(rapid.SliceOfN(objects(values()), 1, 4).Draw(t, "events")...)
		at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
		changed := body[:at] + string(rapid.SampledFrom([]byte("\"\\{}[],:0-e \x00\x1f\xffntu")).Draw(t, "byte")) + body[at+1:]
		for _, damaged := range []string{body[:at], changed} {
			var b event.Batch
			if err := d.Batch(batchRequest(damaged), &b); err != nil {
				checkBodyError(t, err, damaged)
				continue
			}
			checkBatch(t, &b, fuzzLimits())
			compareWithReference(t, damaged, &b)
		}
	})
}
