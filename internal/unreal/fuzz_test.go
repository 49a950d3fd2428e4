package unreal

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// fuzzLimits are small, so that a fuzzer reaches them.
func fuzzLimits() event.Limits {
	return event.Limits{Events: 20, BodyBytes: 1 << 20, InflatedBytes: 1 << 20, EventBytes: 400, StringBytes: 40, Depth: 5}
}

func FuzzBatch(f *testing.F) {
	f.Add(tourBatch(12), int64(testReceived))
	for _, body := range []string{
		bodyOf(`{"event_type":"interaction","timestamp":1763799990,"session_id":"x","zone_name":"kitchen","object_name":"tap","gaze_target":"w","interaction_type":"open","metadata":{"a":1}}`),
		bodyOf(`{"type":"gaze","t":"2025-11-22T08:26:30Z","zone":"hall","target":"x","duration_ms":"9.5","sequence":4,"floor":-1,"x":[1e5,{"y":"\ud83d\ude00"}]}`),
		bodyOf(`{"event_type":"cta","timestamp":1763799990,"event_data":{"zone_name":"h","position":[1,"2",null],"c":"\ud800"},"attributes":{"d":1}}`),
		bodyOf(`{"event_type":"pose","timestamp":1763799990,"position":{"x":1,"y":2,"z":3,"w":4},"rotation":{"pitch":1e39,"yaw":-0,"roll":0.1}}`),
		bodyOf(`null`, `5`, `"x"`, `[]`, `{}`, `{"event_type":"cta","timestamp":5}`, `{"event_type":"cta","timestamp":99999999999}`),
		`{"sent_at":1863800000,"events":[{"event_type":"cta","timestamp":1863800000}],"batch_id":7,"events":[],"session_id":{}}`,
		"\xff\xfe{\x00}\x00", `{"events":[{"event_type":nan}]}`, `{"events":null}`, `[]`, ``, `{"events":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}`,
	} {
		f.Add(body, int64(testReceived))
	}
	d := NewDecoder(fuzzLimits(), nil)
	f.Fuzz(func(t *testing.T, body string, received int64) {
		req := batchRequest(body)
		req.ReceivedAt = event.Micros(received % int64(event.Latest/2))
		var b, again event.Batch
		err := d.Batch(req, &b)
		if err != nil {
			checkBodyError(t, err, body)
			return
		}
		checkBatch(t, &b, fuzzLimits())
		compareWithReference(t, body, &b)
		if err := d.Batch(req, &again); err != nil || cmp.Diff(&b, &again) != "" {
			t.Fatalf("a second reading differs: %v", err)
		}
	})
}

func checkBodyError(t failer, err error, body string) {
	t.Helper()
	e, ok := errors.AsType[*BodyError](err)
	if !ok || e.Code == "" || e.Detail == "" || e.Offset < 0 || e.Offset > int64(len(body)) || !utf8.ValidString(e.Detail+e.Field) {
		t.Fatalf("%v of %d bytes", err, len(body))
	}
}

// checkBatch checks what holds of every batch, whatever was sent: rule 5, each
// element is accepted or rejected, once; rule 7, what is accepted loads.
func checkBatch(t failer, b *event.Batch, limits event.Limits) {
	t.Helper()
	verdicts := make([]int, len(b.Events)+len(b.Rejected))
	count := func(index int) {
		if index < 0 || index >= len(verdicts) {
			t.Fatalf("index %d of %d elements", index, len(verdicts))
		}
		verdicts[index]++
	}
	last := -1
	used := make([]bool, len(b.Sessions))
	for i := range b.Events {
		e := &b.Events[i]
		count(e.Index)
		checkStorable(t, e, limits)
		if e.Index <= last {
			t.Errorf("event %d comes behind %d", e.Index, last)
		}
		if e.OccurredAt > b.ReceivedAt+allowedSkew {
			t.Errorf("event %d lies in the future", e.Index)
		}
		last = e.Index
		used[e.Session] = true
	}
	last = -1
	for _, r := range b.Rejected {
		count(r.Index)
		if r.Index <= last || !r.Code.Edge() || len(r.Raw) > limits.EventBytes || r.Detail == "" {
			t.Errorf("rejection %+v", r)
		}
		if event.CheckText(r.Detail, 1<<10) != "" || event.CheckText(r.Field, 1<<10) != "" {
			t.Errorf("cannot be stored: %+v", r)
		}
		last = r.Index
	}
	for index, n := range verdicts {
		if n != 1 {
			t.Errorf("element %d has %d verdicts", index, n)
		}
	}
	keys := make(map[event.UUID]bool)
	for i, s := range b.Sessions {
		// A batch of which nothing was accepted still says whose it was.
		if !used[i] && len(b.Events) > 0 || i > 0 && len(b.Events) == 0 || keys[s.Key] || event.CheckText(s.ClientID, limits.StringBytes) != "" {
			t.Errorf("session %+v: used %v", s, used[i])
		}
		keys[s.Key] = true
	}
}
