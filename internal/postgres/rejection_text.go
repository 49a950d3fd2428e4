package postgres

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// Text returns the payload for people and API clients: JSON where it is JSON,
// which isJSON tells, else text. What was sent is shown as it was sent, with
// keys masked; a row that PostgreSQL refused is shown as the event that it
// holds, with the columns' names for its members. Replay needs Payload itself.
func (r *Rejection) Text() (text string, isJSON bool) {
	switch r.Form {
	case formRow:
		e, err := envelope.Row(r.Payload).Event()
		if err != nil {
			return "a row that cannot be read", false
		}
		encoded, err := json.Marshal(shownEvent(&e))
		if err != nil { // numbers that are not finite
			return "a row with a value that cannot be shown", false
		}
		text = string(encoded)
	default:
		text = string(r.Payload)
	}
	text = event.Scrub(storable(text))
	return text, utf8.ValidString(text) && json.Valid([]byte(text))
}

// eventShown has the names of the columns of nexero.events.
type eventShown struct {
	Type         string          `json:"event_type"`
	OccurredAt   string          `json:"occurred_at"`
	ClockShiftMS int64           `json:"clock_shift_ms,omitempty"`
	Seq          *int64          `json:"client_seq,omitempty"`
	X            *float32        `json:"x,omitempty"`
	Y            *float32        `json:"y,omitempty"`
	Z            *float32        `json:"z,omitempty"`
	Pitch        *float32        `json:"pitch,omitempty"`
	Yaw          *float32        `json:"yaw,omitempty"`
	Roll         *float32        `json:"roll,omitempty"`
	DurationMS   *int32          `json:"duration_ms,omitempty"`
	Level        *int16          `json:"level,omitempty"`
	Zone         string          `json:"zone,omitempty"`
	Object       string          `json:"object,omitempty"`
	Target       string          `json:"target,omitempty"`
	Action       string          `json:"action,omitempty"`
	Name         string          `json:"name,omitempty"`
	Props        json.RawMessage `json:"props,omitempty"`
}

func shownEvent(e *event.Event) eventShown {
	shown := eventShown{
		Type: e.Type.String(), OccurredAt: e.OccurredAt.Time().Format("2006-01-02T15:04:05.000000Z07:00"),
		ClockShiftMS: e.ClockShiftMS,
		Seq:          present(e, event.FieldSeq, e.Seq),
		X:            present(e, event.FieldX, e.X),
		Y:            present(e, event.FieldY, e.Y),
		Z:            present(e, event.FieldZ, e.Z),
		Pitch:        present(e, event.FieldPitch, e.Pitch),
		Yaw:          present(e, event.FieldYaw, e.Yaw),
		Roll:         present(e, event.FieldRoll, e.Roll),
		DurationMS:   present(e, event.FieldDuration, e.DurationMS),
		Level:        present(e, event.FieldLevel, e.Level),
		Zone:         e.Zone, Object: e.Object, Target: e.Target, Action: e.Action, Name: e.Name,
	}
	switch {
	case e.Props == "":
	case json.Valid([]byte(e.Props)):
		shown.Props = json.RawMessage(e.Props)
	default: // what PostgreSQL refused it for, perhaps
		quoted, _ := json.Marshal(e.Props) //nolint:errchkjson // a string always encodes
		shown.Props = quoted
	}
	return shown
}

// present returns value, or nil when the event came without it.
func present[T any](e *event.Event, field event.Fields, value T) *T {
	if e.Has&field == 0 {
		return nil
	}
	return &value
}
