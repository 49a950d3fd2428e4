package ingest

import (
	"strings"
	"testing"
)

// What is too much in one event costs that event and not its neighbours, and
// each such limit is kept at its very edge. // rule 9
func TestLimits_OfAnEvent(t *testing.T) {
	t.Parallel()
	event := func(members string) string { return `{"event_type":"cta","timestamp":1764685800,` + members + `}` }
	text := func(n int) string { return event(`"zone_name":"` + strings.Repeat("z", n) + `"`) }
	deep := func(n int) string {
		return event(`"metadata":` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat("}", n))
	}
	sized := func(n int) string {
		empty := event(`"note":""`)
		return event(`"note":"` + strings.Repeat("n", n-len(empty)) + `"`)
	}
	for name, tc := range map[string]struct {
		event, code string
	}{
		"text":                 {text(100), ""},
		"text, a byte more":    {text(101), "text_too_long"},
		"depth":                {deep(3), ""},
		"depth, a level more":  {deep(4), "event_too_deep"},
		"event":                {sized(1000), ""},
		"event, a byte more":   {sized(1001), "event_too_large"},
		"everything too large": {deep(500), "event_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, func(_ *Deps, o *Options) {
				o.Limits.StringBytes, o.Limits.Depth, o.Limits.EventBytes = 100, 4, 1000
			})
			got := e.post(t, pathBatch, `{"session_id":"s","events":[`+tc.event+`,`+text(1)+`]}`).Want(t, 202, "")
			rejected, _ := got.JSON["rejected"].([]any)
			if tc.code == "" {
				if len(rejected) != 0 {
					t.Errorf("rejected %v", rejected)
				}
				return
			}
			if len(rejected) != 1 || got.JSON["processed"] != 1.0 {
				t.Fatalf("answered %v", got.JSON)
			}
			if entry, _ := rejected[0].(map[string]any); entry["code"] != tc.code || entry["index"] != 0.0 {
				t.Errorf("rejected as %v, want %s", entry, tc.code)
			}
		})
	}
}

// The number of events is kept at its very edge. // rule 9
func TestLimits_Events(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.Limits.Events = 10 })
	e.post(t, pathBatch, tour(10, "t")).Want(t, 202, "")
	e.post(t, pathBatch, tour(11, "t")).Want(t, 413, "too_many_events")
}
