package unreal

import (
	"encoding/json"
	"maps"
	"math/big"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/event"
)

// compareWithReference reads the body again by means of encoding/json, slowly
// and plainly, and compares what was accepted. It looks at events that use the
// fields' own names at most once each and neither aliases nor containers other
// than metadata; the rules for those have tables of their own.
func compareWithReference(t failer, body string, b *event.Batch) {
	t.Helper()
	text, _ := transcode(body)
	decoder := json.NewDecoder(strings.NewReader(strings.TrimRight(text, " \t\r\n\x00")))
	decoder.UseNumber()
	var top map[string]any
	if err := decoder.Decode(&top); err != nil {
		t.Fatalf("encoding/json refuses what was accepted: %v", err)
	}
	var elements []any
	for name, value := range top {
		if batchField(name) == fieldEvents {
			if elements != nil {
				return // two spellings; the map has lost their order
			}
			elements, _ = value.([]any)
		}
	}
	if len(elements) != len(b.Events)+len(b.Rejected) {
		t.Fatalf("%d elements, %d accepted, %d rejected", len(elements), len(b.Events), len(b.Rejected))
	}
	for i := range b.Events {
		e := &b.Events[i]
		object, ok := elements[e.Index].(map[string]any)
		if !ok {
			t.Fatalf("accepted element %d, which is no object", e.Index)
		}
		compareEvent(t, object, e)
	}
}

func compareEvent(t failer, object map[string]any, e *event.Event) {
	t.Helper()
	values := make(map[field]any)
	props := make(map[string]any)
	for name, value := range object {
		f, r := eventField(name)
		if _, twice := values[f]; twice && f != fieldNone || r > 0 || f == fieldEventData || f == fieldAttributes {
			return
		}
		if f == fieldNone {
			props[name] = value
			continue
		}
		values[f] = value
		if f == fieldSeq && e.Has&event.FieldSeq == 0 || f == fieldLevel && e.Has&event.FieldLevel == 0 {
			if value != nil && value != "" {
				props[name] = value
			}
		}
		if f == fieldPosition || f == fieldRotation {
			if members, ok := value.(map[string]any); ok && !compareAxes(t, f, members, e) {
				props[name] = value
			}
		}
	}
	for f, got := range map[field]string{fieldZone: e.Zone, fieldObject: e.Object, fieldTarget: e.Target, fieldAction: e.Action} {
		if want := plain(values[f]); got != want {
			t.Errorf("%s is %q, want %q", fieldNames[f], got, want)
		}
	}
	if kind := plain(values[fieldType]); e.Type == event.Custom && e.Name != "" && e.Name != kind {
		t.Errorf("custom name %q, want %q", e.Name, kind)
	}
	if number, ok := values[fieldDuration].(json.Number); ok {
		if want, _ := new(big.Rat).SetString(number.String()); halfAway(want).Int64() != int64(e.DurationMS) {
			t.Errorf("dwell %d, want %s", e.DurationMS, number)
		}
	}
	switch metadata := values[fieldMetadata].(type) {
	case map[string]any:
		maps.Copy(props, metadata)
	case nil:
	default:
		if metadata != "" {
			for name := range object {
				if f, _ := eventField(name); f == fieldMetadata {
					props[name] = metadata
				}
			}
		}
	}
	got := make(map[string]any)
	if e.Props != "" {
		decoder := json.NewDecoder(strings.NewReader(e.Props))
		decoder.UseNumber()
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("props %q: %v", e.Props, err)
		}
	}
	if diff := cmp.Diff(props, got); diff != "" {
		t.Errorf("props: %s", diff)
	}
}

// compareAxes reports whether all members are coordinates.
func compareAxes(t failer, whole field, members map[string]any, e *event.Event) (all bool) {
	t.Helper()
	got := map[field]float32{fieldX: e.X, fieldY: e.Y, fieldZ: e.Z, fieldPitch: e.Pitch, fieldYaw: e.Yaw, fieldRoll: e.Roll}
	all = true
	names := make(map[field]int)
	for name := range members {
		names[axisField(name)]++
	}
	for name, value := range members {
		axis := axisField(name)
		if axis == fieldNone || (axis < fieldPitch) != (whole == fieldPosition) {
			all = false
			continue
		}
		if names[axis] > 1 {
			continue
		}
		set := e.Has&axisFlag(axis) != 0
		literal := strings.TrimPrefix(strings.TrimSpace(plain(value)), "+")
		if set != (literal != "") {
			t.Errorf("%s set %v, sent %v", fieldNames[axis], set, value)
		} else if want, err := strconv.ParseFloat(literal, 32); set && (err != nil || float32(want) != got[axis]) {
			t.Errorf("%s is %v, want %v", fieldNames[axis], got[axis], value)
		}
	}
	return all
}

// plain returns a value as text.
func plain(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	}
	return ""
}
