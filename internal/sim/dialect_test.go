package sim

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// Whatever its words, a client says the same.
func TestDialects_SayTheSame(t *testing.T) {
	t.Parallel()
	const shown = 1_774_735_202_987
	moments := []*moment{
		{
			kind: event.Pose, level: 1, placed: true, x: -50.004, y: 1370.25, z: 164.156, turned: true, pitch: -3.5284, yaw: 179.9, roll: -0.0004,
		},
		{kind: event.ZoneEnter, zone: "living_room", level: 1},
		{kind: event.Gaze, zone: "kitchen", target: "küchenzeile", level: -1, lasting: true, lengthMS: 1250},
		{kind: event.FeatureSelect, object: "sofa", action: "sofa_fabric", extra: "option", extraValue: `"oak"`},
		{kind: event.Heartbeat, extra: "fps_avg", extraValue: "71"},
	}
	for number, d := range dialects() {
		body := append(d.name([]byte("{"), "session_id"), `"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8","events":[`...)
		for i, m := range moments {
			if i > 0 {
				body = append(body, ',')
			}
			body = d.appendEvent(body, m, shown, int64(i+1), true)
		}
		body = append(body, "]}"...)
		if !json.Valid(body) {
			t.Fatalf("dialect %d: no JSON: %s", number, body)
		}
		var batch event.Batch
		request := unreal.Request{Tenant: "acme", Endpoint: unreal.EndpointBatch, Body: string(body), ReceivedAt: (shown + 10_000) * 1000}
		if err := unreal.NewDecoder(event.DefaultLimits(), nil).Batch(&request, &batch); err != nil {
			t.Fatalf("dialect %d: %v", number, err)
		}
		const at, always = event.Micros(shown * 1000), event.FieldSeq | event.FieldLevel
		const posed = event.FieldX | event.FieldY | event.FieldZ | event.FieldPitch | event.FieldYaw | event.FieldRoll
		want := []event.Event{
			{Type: event.Pose, Has: always | posed, Level: 1, X: -50, Y: 1370.25, Z: 164.16, Pitch: -3.528, Yaw: 179.9},
			{Type: event.ZoneEnter, Has: always, Level: 1, Zone: "living_room"},
			{Type: event.Gaze, Has: always | event.FieldDuration, Level: -1, Zone: "kitchen", Target: "küchenzeile", DurationMS: 1250},
			{Type: event.FeatureSelect, Has: always, Object: "sofa", Action: "sofa_fabric"},
			{Type: event.Heartbeat, Has: always},
		}
		for i := range want {
			want[i].Index, want[i].Seq, want[i].OccurredAt = i, int64(i+1), at
		}
		if diff := cmp.Diff(want, batch.Events, cmpopts.IgnoreFields(event.Event{}, "Props")); diff != "" {
			t.Errorf("dialect %d: %s\n(-want +got)\n%s", number, body, diff)
		}
		if batch.Events[3].Props == "" || batch.Events[4].Props == "" || batch.Events[0].Props != "" {
			t.Errorf("dialect %d: props %q, %q, %q", number, batch.Events[3].Props, batch.Events[4].Props, batch.Events[0].Props)
		}
	}
}
