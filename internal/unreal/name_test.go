package unreal

import (
	"strings"
	"testing"
)

// spellings writes a name the ways in which Unreal's converters do.
func spellings(name string) []string {
	var camel strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		camel.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	pascal := camel.String()
	return []string{
		name, strings.ToUpper(name), pascal, strings.ToLower(pascal[:1]) + pascal[1:], strings.ReplaceAll(name, "_", ""), "_" + name + "__",
		strings.ReplaceAll(pascal, "Id", "ID"),
	}
}

func TestEventField(t *testing.T) {
	t.Parallel()
	type meaning struct {
		field field
		rank  rank
	}
	for name, want := range map[string]meaning{
		"event_type": {fieldType, 0}, "type": {fieldType, 1},
		"timestamp": {fieldTime, 0}, "occurred_at": {fieldTime, 1}, "time": {fieldTime, 2}, "t": {fieldTime, 3},
		"session_id": {fieldSession, 0}, "sesh_id": {fieldSession, 1},
		"zone_name": {fieldZone, 0}, "zone": {fieldZone, 1},
		"object_name": {fieldObject, 0}, "object": {fieldObject, 1},
		"gaze_target": {fieldTarget, 0}, "target": {fieldTarget, 1},
		"interaction_type": {fieldAction, 0}, "action": {fieldAction, 1},
		"dwell_time_ms": {fieldDuration, 0}, "duration_ms": {fieldDuration, 1},
		"seq": {fieldSeq, 0}, "sequence": {fieldSeq, 1},
		"level": {fieldLevel, 0}, "floor": {fieldLevel, 1},
		"position": {fieldPosition, 0}, "rotation": {fieldRotation, 0},
		"metadata": {fieldMetadata, 0}, "event_data": {fieldEventData, 0}, "attributes": {fieldAttributes, 0},
	} {
		for _, spelling := range spellings(name) {
			if f, r := eventField(spelling); f != want.field || r != want.rank {
				t.Errorf("%s is %d of rank %d", spelling, f, r)
			}
		}
	}
	for _, name := range []string{"", "_", "x", "event", "event type", "event-type", "timestamps", "t\u00efme", "\u212aind", strings.Repeat("t", 1000)} {
		if f, _ := eventField(name); f != fieldNone {
			t.Errorf("%.20q means %s", name, fieldNames[f])
		}
	}
}

func TestSessionField(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]field{
		"session_id": fieldSession, "sesh_id": fieldSession, "session_start": fieldStart, "started_at": fieldStart, "start_time": fieldStart,
		"session_end": fieldEnd, "ended_at": fieldEnd, "end_time": fieldEnd, "customer_id": fieldCustomer, "property_id": fieldProperty,
		"device_type": fieldDevice, "device": fieldDevice, "duration": fieldLength, "sent_at": fieldSentAt, "batch_id": fieldBatchID, "metadata": fieldMetadata,
	} {
		for _, spelling := range spellings(name) {
			if f, _ := sessionField(spelling); f != want {
				t.Errorf("%s is %d, want %s", spelling, f, name)
			}
		}
	}
}

func TestAxisAndBatchField(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]field{"x": fieldX, "y": fieldY, "z": fieldZ, "pitch": fieldPitch, "yaw": fieldYaw, "roll": fieldRoll, "w": fieldNone} {
		if axisField(name) != want || axisField(strings.ToUpper(name)) != want {
			t.Errorf("%s is %d", name, axisField(name))
		}
	}
	for name, want := range map[string]field{"session_id": fieldSession, "sent_at": fieldSentAt, "events": fieldEvents, "batch_id": fieldBatchID} {
		for _, spelling := range spellings(name) {
			if batchField(spelling) != want {
				t.Errorf("%s is %d", spelling, batchField(spelling))
			}
		}
	}
}

// A rank beyond the table or two names of one rank would let one member hide
// another.
func TestRanks_AreWithinBounds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"type", "occurred_at", "time", "t", "sesh_id", "zone", "object", "target", "action", "duration_ms", "sequence", "floor"} {
		if _, r := eventField(name); r == 0 || r >= ranks {
			t.Errorf("%s has rank %d", name, r)
		}
	}
	if fieldCount > 32 {
		t.Errorf("%d fields do not fit a fieldSet", fieldCount)
	}
}
