package event

import (
	"math"
	"unicode/utf8"
)

// Fields says which optional values of an [Event] are set.
type Fields uint16

// One bit for each optional value.
const (
	FieldSeq Fields = 1 << iota
	FieldLevel
	FieldX
	FieldY
	FieldZ
	FieldPitch
	FieldYaw
	FieldRoll
	FieldDuration
)

// Event is one thing that happened in a session. Text fields are empty when
// absent: no client means anything by an empty name.
type Event struct {
	// Index is the event's position in the body, rejected ones included.
	Index int
	// Session is a position in Batch.Sessions.
	Session int
	// Type is what happened; Name keeps the client's word when it is Custom.
	Type Type
	// Has says which of the values below without an empty form are set.
	Has Fields
	// Level is the floor, 0 at the entrance.
	Level int16
	// OccurredAt is when it happened, after ClockShiftMS was added.
	OccurredAt Micros
	// ClockShiftMS is what was added to the client's time, in milliseconds; 0
	// when the clock was believed. OccurredAt minus it is the time as sent.
	ClockShiftMS int64
	// Seq is the client's own counter within the session.
	Seq int64
	// X, Y and Z are Unreal's position in centimetres, Z up.
	X, Y, Z float32
	// Pitch, Yaw and Roll are in degrees as sent; yaw wraps at 180.
	Pitch, Yaw, Roll float32
	// DurationMS is the length that the event brings with it, in milliseconds.
	DurationMS int32
	// Zone is the room, Object what was touched, Target what was looked at,
	// Action what was done, Name the client's word for a Custom event.
	Zone, Object, Target, Action, Name string
	// Props is a JSON object with everything else that was sent, or empty.
	Props string
}

// Class returns how long e is kept: poses and single gaze samples as poses,
// a gaze that brings its length, and all else, as other. A length of 0 is none:
// some clients send it with each sample.
func (e *Event) Class() Class {
	if e.Type == Pose || e.Type == Gaze && e.DurationMS == 0 {
		return ClassPose
	}
	return ClassOther
}

// Limits bound what is accepted. The zero value accepts nothing; start from
// [DefaultLimits].
type Limits struct {
	// Events is the largest number of events in a batch, at most MaxEvents.
	Events int
	// BodyBytes is the largest body as sent.
	BodyBytes int64
	// InflatedBytes is the largest body after decompression.
	InflatedBytes int64
	// EventBytes is the largest single event; a rejected one is kept whole up
	// to it.
	EventBytes int
	// StringBytes is the longest name or id, in UTF-8 bytes.
	StringBytes int
	// Depth is the deepest nesting within an event.
	Depth int
}

// MaxEvents is the most events that a batch can have: an event's index is a
// smallint on disk.
const MaxEvents = math.MaxInt16

// DefaultLimits returns the limits that the design states.
func DefaultLimits() Limits {
	return Limits{
		Events:        1000,
		BodyBytes:     1 << 20,
		InflatedBytes: 4 << 20,
		EventBytes:    16 << 10,
		StringBytes:   1 << 10,
		Depth:         8,
	}
}

// Earliest and Latest bound a stored time: years 1 to 9999, inside PostgreSQL's
// timestamptz and Go's calendar alike.
const (
	Earliest Micros = -62135596800000000
	Latest   Micros = 253402300799999999
)

// Check reports the first rule that e breaks, or "" when PostgreSQL will take
// it. field names the member at fault. The decoder calls it last, so that no
// dialect can accept what the tables refuse; Props was checked when it was cut
// from the body.
func (e *Event) Check(limits Limits) (code Code, field string) {
	switch {
	case !e.Type.Valid():
		return UnknownEventType, "event_type"
	case e.Index < 0 || e.Index >= MaxEvents:
		return InvalidNumber, "index"
	case e.OccurredAt < Earliest || e.OccurredAt > Latest:
		return InvalidTimestamp, "timestamp"
	}
	for _, number := range [...]struct {
		value float32
		field string
	}{
		{e.X, "position.x"},
		{e.Y, "position.y"},
		{e.Z, "position.z"},
		{e.Pitch, "rotation.pitch"},
		{e.Yaw, "rotation.yaw"},
		{e.Roll, "rotation.roll"},
	} {
		// The difference is NaN for NaN and both infinities, 0 otherwise.
		if number.value-number.value != 0 {
			return InvalidNumber, number.field
		}
	}
	if e.DurationMS < 0 {
		return InvalidNumber, "dwell_time_ms"
	}
	for _, text := range [...]struct{ value, field string }{
		{e.Zone, "zone_name"},
		{e.Object, "object_name"},
		{e.Target, "gaze_target"},
		{e.Action, "interaction_type"},
		{e.Name, "event_type"},
	} {
		if text.value == "" {
			continue
		}
		if code := CheckText(text.value, limits.StringBytes); code != "" {
			return code, text.field
		}
	}
	return "", ""
}

// CheckText reports why PostgreSQL or the limits refuse s as text, or "".
func CheckText(s string, maxBytes int) Code {
	if len(s) > maxBytes {
		return TextTooLong
	}
	if !utf8.ValidString(s) {
		return InvalidText
	}
	for i := range len(s) {
		if s[i] == 0 {
			return InvalidText
		}
	}
	return ""
}
