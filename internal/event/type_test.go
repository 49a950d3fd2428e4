package event

import (
	"strings"
	"testing"
)

// The numbers are on disk and in queues: one that changes here changes what
// stored events mean.
func TestTypes_NumbersAreFrozen(t *testing.T) {
	t.Parallel()
	frozen := strings.Fields(`custom pose gaze fixation zone_enter zone_exit interaction feature_select unit_select teleport turn
		hotspot_open media_play cta survey_answer session_start session_end heartbeat idle_start idle_end view poi contact
		hand_tracking voice_command error`)
	all := Types()
	if len(all) != len(frozen) {
		t.Fatalf("%d types, %d are known here: add the new one at the end", len(all), len(frozen))
	}
	for number, name := range frozen {
		if kind := all[number]; int(kind) != number || kind.String() != name || !kind.Valid() {
			t.Errorf("number %d is %s, was %s", number, kind, name)
		}
	}
}

func TestTypes_NamesAreUnique(t *testing.T) {
	t.Parallel()
	names := make(map[string]Type)
	for _, kind := range Types() {
		folded := foldName(kind.String())
		if other, taken := names[folded]; taken || folded == "" {
			t.Errorf("%s and %s fold to %q", kind, other, folded)
		}
		names[folded] = kind
		if parsed, ok := ParseType(kind.String()); !ok || parsed != kind {
			t.Errorf("%s parses as %s, %v", kind, parsed, ok)
		}
	}
}

func TestType_Invalid(t *testing.T) {
	t.Parallel()
	for _, kind := range []Type{-1, typeCount, 32767, -32768} {
		if kind.Valid() || kind.String() != "unknown" {
			t.Errorf("%d is %s, valid %v", int16(kind), kind, kind.Valid())
		}
	}
}

func TestParseType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Type{
		"pose": Pose, "gaze": Gaze, "POSE": Pose, "zone_enter": ZoneEnter, "ZoneEnter": ZoneEnter, "Zone Enter": ZoneEnter,
		"zone-exit": ZoneExit, "SessionStart": SessionStart, "cta": CTA, " cta ": CTA, "hand.tracking": HandTracking, "custom": Custom,
	} {
		if got, ok := ParseType(name); !ok || got != want {
			t.Errorf("%q is %s, %v; want %s", name, got, ok, want)
		}
	}
	for _, name := range []string{"", " ", "_", "menu_open", "poses", "pose2", "pos\u00e9", "pose\u00b7", "\u0440ose", "unknown", strings.Repeat("pose", 1000)} {
		if got, ok := ParseType(name); ok {
			t.Errorf("%.20q is %s", name, got)
		}
	}
}

func TestClass(t *testing.T) {
	t.Parallel()
	if ClassPose != 0 || ClassOther != 1 {
		t.Error("the numbers of the classes name partitions")
	}
	if ClassPose.String() != "pose" || ClassOther.String() != "other" {
		t.Errorf("%s, %s", ClassPose, ClassOther)
	}
	for _, kind := range Types() {
		bare, zero := Event{Type: kind}, Event{Type: kind, Has: FieldDuration}
		long := Event{Type: kind, Has: FieldDuration, DurationMS: 1}
		wantBare, wantLong := ClassOther, ClassOther
		switch kind {
		case Pose:
			wantBare, wantLong = ClassPose, ClassPose
		case Gaze:
			wantBare = ClassPose
		default:
		}
		if bare.Class() != wantBare || zero.Class() != wantBare || long.Class() != wantLong {
			t.Errorf("%s is of class %s, with a length of 0 %s, with a length %s", kind, bare.Class(), zero.Class(), long.Class())
		}
	}
}
