package event

// Type is the kind of an event. Its number is stored in nexero.events and in
// queued messages, so a number is never given to another name.
type Type int16

// The event types a client can send. Anything else is stored as Custom with
// its own name kept.
const (
	Custom Type = iota
	Pose
	Gaze
	Fixation
	ZoneEnter
	ZoneExit
	Interaction
	FeatureSelect
	UnitSelect
	Teleport
	Turn
	HotspotOpen
	MediaPlay
	CTA
	SurveyAnswer
	SessionStart
	SessionEnd
	Heartbeat
	IdleStart
	IdleEnd
	View
	POI
	Contact
	HandTracking
	VoiceCommand
	Error

	typeCount // keep last
)

// typeNames are the names on the wire and in nexero.event_types.
var typeNames = [typeCount]string{ //nolint:gochecknoglobals // a table that never changes
	Custom:        "custom",
	Pose:          "pose",
	Gaze:          "gaze",
	Fixation:      "fixation",
	ZoneEnter:     "zone_enter",
	ZoneExit:      "zone_exit",
	Interaction:   "interaction",
	FeatureSelect: "feature_select",
	UnitSelect:    "unit_select",
	Teleport:      "teleport",
	Turn:          "turn",
	HotspotOpen:   "hotspot_open",
	MediaPlay:     "media_play",
	CTA:           "cta",
	SurveyAnswer:  "survey_answer",
	SessionStart:  "session_start",
	SessionEnd:    "session_end",
	Heartbeat:     "heartbeat",
	IdleStart:     "idle_start",
	IdleEnd:       "idle_end",
	View:          "view",
	POI:           "poi",
	Contact:       "contact",
	HandTracking:  "hand_tracking",
	VoiceCommand:  "voice_command",
	Error:         "error",
}

// typeByFolded finds a type by its name without separators and case, so that
// "Zone Enter", "ZoneEnter" and "zone_enter" are one type.
var typeByFolded = func() map[string]Type { //nolint:gochecknoglobals // a table that never changes
	m := make(map[string]Type, typeCount)
	for t, name := range typeNames {
		m[foldName(name)] = Type(t)
	}
	return m
}()

// String returns the name of t on the wire, or "unknown" for a number that no
// type has.
func (t Type) String() string {
	if !t.Valid() {
		return "unknown"
	}
	return typeNames[t]
}

// Valid reports whether t is one of the types above.
func (t Type) Valid() bool { return t >= 0 && t < typeCount }

// Types returns every type in the order of its number.
func Types() []Type {
	all := make([]Type, typeCount)
	for i := range all {
		all[i] = Type(i)
	}
	return all
}

// ParseType finds the type that a client means by name, whatever its case and
// separators. ok is false when no type has that name; the caller then stores
// the event as Custom and keeps the name.
func ParseType(name string) (t Type, ok bool) {
	// The two names that make up nearly all traffic need no folding.
	switch name {
	case "pose":
		return Pose, true
	case "gaze":
		return Gaze, true
	}
	t, ok = typeByFolded[foldName(name)]
	return t, ok
}

// foldName lower-cases the ASCII letters and digits of name and drops
// everything else.
func foldName(name string) string {
	folded := make([]byte, 0, 32)
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			folded = append(folded, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			folded = append(folded, c)
		case c >= 0x80:
			// A name outside ASCII is never one of ours; folding it away would
			// turn "pose…" in another script into "pose".
			return ""
		}
	}
	return string(folded)
}

// Class decides how long a raw event is kept. Events of one class and one day
// of receipt share a partition, which is dropped as a whole.
type Class int16

// The retention classes.
const (
	// ClassPose is the stream of head samples: bulky, personal, kept for weeks.
	ClassPose Class = iota
	// ClassOther is everything that means something on its own, kept for months.
	ClassOther
)

// String returns the class's name in partition names and metric labels.
func (c Class) String() string {
	if c == ClassPose {
		return "pose"
	}
	return "other"
}
