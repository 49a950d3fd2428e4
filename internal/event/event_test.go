package event

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEvent_Check(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	long := strings.Repeat("x", DefaultLimits().StringBytes+1)
	for _, test := range []struct {
		name   string
		change func(*Event)
		code   Code
		field  string
	}{
		{"plain", func(*Event) {}, "", ""},
		{"longest text", func(e *Event) { e.Zone = long[1:] }, "", ""},
		{"largest numbers", func(e *Event) { e.X, e.Y, e.DurationMS = math.MaxFloat32, -math.MaxFloat32, math.MaxInt32 }, "", ""},
		{"first moment", func(e *Event) { e.OccurredAt = Earliest }, "", ""},
		{"last moment", func(e *Event) { e.OccurredAt = Latest }, "", ""},
		{"last index", func(e *Event) { e.Index = MaxEvents - 1 }, "", ""},
		{"unknown type", func(e *Event) { e.Type = typeCount }, UnknownEventType, "event_type"},
		{"negative type", func(e *Event) { e.Type = -1 }, UnknownEventType, "event_type"},
		{"negative index", func(e *Event) { e.Index = -1 }, InvalidNumber, "index"},
		{"index too large", func(e *Event) { e.Index = MaxEvents }, InvalidNumber, "index"},
		{"too early", func(e *Event) { e.OccurredAt = Earliest - 1 }, InvalidTimestamp, "timestamp"},
		{"too late", func(e *Event) { e.OccurredAt = Latest + 1 }, InvalidTimestamp, "timestamp"},
		{"x", func(e *Event) { e.X = nan }, InvalidNumber, "position.x"},
		{"y", func(e *Event) { e.Y = inf }, InvalidNumber, "position.y"},
		{"z", func(e *Event) { e.Z = -inf }, InvalidNumber, "position.z"},
		{"pitch", func(e *Event) { e.Pitch = nan }, InvalidNumber, "rotation.pitch"},
		{"yaw", func(e *Event) { e.Yaw = inf }, InvalidNumber, "rotation.yaw"},
		{"roll", func(e *Event) { e.Roll = nan }, InvalidNumber, "rotation.roll"},
		{"length", func(e *Event) { e.DurationMS = -1 }, InvalidNumber, "dwell_time_ms"},
		{"zone too long", func(e *Event) { e.Zone = long }, TextTooLong, "zone_name"},
		{"object with NUL", func(e *Event) { e.Object = "a\x00" }, InvalidText, "object_name"},
		{"target no UTF-8", func(e *Event) { e.Target = "\xff" }, InvalidText, "gaze_target"},
		{"action a surrogate", func(e *Event) { e.Action = "\xed\xa0\x80" }, InvalidText, "interaction_type"},
		{"name too long", func(e *Event) { e.Name = long }, TextTooLong, "event_type"},
	} {
		e := Event{Type: Interaction, OccurredAt: 1, X: 1, Zone: "k\u00fcche", Object: "tap", Target: "w", Action: "open", DurationMS: 5}
		test.change(&e)
		if code, field := e.Check(DefaultLimits()); code != test.code || field != test.field {
			t.Errorf("%s: %q of %q, want %q of %q", test.name, code, field, test.code, test.field)
		}
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		code := CheckText(text, limit)
		want := Code("")
		switch {
		case len(text) > limit:
			want = TextTooLong
		case strings.ContainsRune(text, 0), strings.ToValidUTF8(text, "") != text:
			want = InvalidText
		}
		if code != want {
			t.Fatalf("%q within %d: %q, want %q", text, limit, code, want)
		}
	})
}

// The calendar's ends are the first and last microsecond of years that Go and
// PostgreSQL both print with four digits.
func TestCalendar(t *testing.T) {
	t.Parallel()
	if got := Earliest.Time().Format("2006-01-02T15:04:05.999999"); got != "0001-01-01T00:00:00" {
		t.Error(got)
	}
	if got := Latest.Time().Format("2006-01-02T15:04:05.999999"); got != "9999-12-31T23:59:59.999999" {
		t.Error(got)
	}
}

func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	l := DefaultLimits()
	if l.Events > MaxEvents || int64(l.EventBytes) > l.BodyBytes || l.BodyBytes > l.InflatedBytes || l.StringBytes > l.EventBytes || l.Depth < 3 {
		t.Errorf("%+v", l)
	}
	var none Limits
	if (&Event{Type: Pose, Zone: "a"}).checkCode(none) != TextTooLong {
		t.Error("limits of zero accept text")
	}
}

func (e *Event) checkCode(limits Limits) Code {
	code, _ := e.Check(limits)
	return code
}
