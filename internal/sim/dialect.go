package sim

import (
	"math"
	"strconv"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// timeForm is how a client writes a time.
type timeForm uint8

const (
	inSeconds     timeForm = iota // 1763799990.123
	inMillis                      // 1763799990123
	inTicks                       // FDateTime, 100 ns since year 1
	inSecondsText                 // "1763799990.123"
	inISO                         // "2025-11-22T08:26:30.123Z"
	inISOOffset                   // "2025-11-22T13:56:30.123+05:30"
	inEngine                      // "2025.11.22-08.26.30.123"
	inWholeText                   // "1763799990"
)

// axesForm is how a client writes a position.
type axesForm uint8

const (
	axesNamed  axesForm = iota // {"x":1.5,"y":2,"z":3}
	axesListed                 // [1.5,2,3]
	axesQuoted                 // {"x":"1.5","y":"2","z":"3"}
)

// dialect is the words of one kind of client. Each is one that clients of the
// real thing were seen with. All of them call a session session_id in the body,
// which is what tools that split recordings look for.
type dialect struct {
	eventType, time, zone, level, object, target, action, length, seq string
	position, rotation                                                string
	sentAt, batchID                                                   string
	start, end                                                        string // in session posts

	form, reportForm timeForm
	axes             axesForm
	// types spells the kinds of events.
	types func(event.Type) string
	// within is the member that holds all but an event's type and time.
	within string
	// indent goes before each member.
	indent string
	// quoted says that numbers are text, as Blueprints send attributes.
	quoted bool
}

// dialects returns V1's own words first, then what else is spoken.
func dialects() []*dialect {
	v1 := dialect{
		eventType: "event_type", time: "timestamp", zone: "zone_name", level: "level", object: "object_name",
		target: "gaze_target", action: "interaction_type", length: "dwell_time_ms", seq: "seq",
		position: "position", rotation: "rotation", sentAt: "sent_at", batchID: "batch_id",
		start: "session_start", end: "session_end",
		form: inSeconds, reportForm: inWholeText, types: event.Type.String,
	}
	contained := v1 // the documents' dialect D
	contained.within, contained.form = "event_data", inISO
	structs := v1 // UStructToJsonObjectString
	structs.eventType, structs.zone, structs.object, structs.target = "eventType", "zoneName", "objectName", "gazeTarget"
	structs.action, structs.length, structs.sentAt, structs.batchID = "interactionType", "dwellTimeMs", "sentAt", "batchId"
	structs.start, structs.end = "sessionStart", "sessionEnd"
	structs.form, structs.reportForm, structs.types = inEngine, inEngine, pascal
	blueprint := v1 // every attribute is a string; VaRest indents
	blueprint.form, blueprint.axes, blueprint.quoted, blueprint.indent = inSecondsText, axesQuoted, true, "\r\n\t\t"
	blueprint.reportForm = inISO
	short := v1 // hand-written C++
	short.eventType, short.time, short.zone, short.level, short.object = "type", "t", "zone", "floor", "object"
	short.target, short.action, short.length, short.seq = "target", "action", "duration_ms", "sequence"
	short.start, short.end = "started_at", "ended_at"
	short.form, short.axes, short.reportForm = inMillis, axesListed, inMillis
	ticks := v1
	ticks.time, ticks.form, ticks.reportForm = "occurred_at", inTicks, inISOOffset
	local := v1
	local.form, local.reportForm, local.types = inISOOffset, inISO, pascal
	return []*dialect{&v1, &contained, &structs, &blueprint, &short, &ticks, &local}
}

// pascal spells a type as an engine's enum does: ZoneEnter.
func pascal(t event.Type) string {
	name := []byte(t.String())
	spelled := name[:0]
	upper := true
	for _, c := range name {
		switch {
		case c == '_':
			upper = true
			continue
		case upper && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		upper = false
		spelled = append(spelled, c)
	}
	return string(spelled)
}

// moment is one thing that happens, in a visitor's terms.
type moment struct {
	kind event.Type
	// at is the time of the run in milliseconds.
	at int64
	// zone is where it happens. Names are empty when there are none.
	zone, object, target, action string
	level                        int16
	placed, turned, lasting      bool
	// x, y and z are in centimetres of Unreal's world, angles in degrees.
	x, y, z          float64
	pitch, yaw, roll float64
	lengthMS         int64
	// extra is the name of a member that no column has, and extraValue its JSON.
	extra, extraValue string
}

// appendEvent writes a moment that the client's clock shows at shown. seq is its
// number, 0 from a client that does not count.
func (d *dialect) appendEvent(to []byte, m *moment, shown, seq int64, levels bool) []byte {
	to = append(to, '{')
	to = d.appendText(to, d.eventType, d.types(m.kind))
	to = d.appendTime(d.name(to, d.time), d.form, shown)
	if d.within != "" {
		to = append(d.name(to, d.within), '{')
	}
	to = d.appendText(to, d.zone, m.zone)
	to = d.appendText(to, d.object, m.object)
	to = d.appendText(to, d.target, m.target)
	to = d.appendText(to, d.action, m.action)
	if levels {
		to = d.appendWhole(to, d.level, int64(m.level))
	}
	if m.placed {
		to = d.appendAxes(d.name(to, d.position), 2, [3]string{"x", "y", "z"}, [3]float64{m.x, m.y, m.z})
	}
	if m.turned {
		to = d.appendAxes(d.name(to, d.rotation), 3, [3]string{"pitch", "yaw", "roll"}, [3]float64{m.pitch, m.yaw, m.roll})
	}
	if m.lasting {
		to = d.appendWhole(to, d.length, m.lengthMS)
	}
	if seq > 0 {
		to = d.appendWhole(to, d.seq, seq)
	}
	if m.extra != "" {
		to = append(d.name(to, m.extra), m.extraValue...)
	}
	if d.within != "" {
		to = append(to, '}')
	}
	return append(to, '}')
}

// name begins a member of the object that to ends in.
func (d *dialect) name(to []byte, name string) []byte {
	if last := to[len(to)-1]; last != '{' {
		to = append(to, ',')
	}
	to = append(to, d.indent...)
	to = append(to, '"')
	to = append(to, name...)
	return append(to, '"', ':')
}

// appendText writes a member whose text needs no escapes, or nothing for an
// empty one.
func (d *dialect) appendText(to []byte, name, text string) []byte {
	if text == "" {
		return to
	}
	to = append(d.name(to, name), '"')
	to = append(to, text...)
	return append(to, '"')
}

func (d *dialect) appendWhole(to []byte, name string, value int64) []byte {
	to = d.name(to, name)
	if !d.quoted {
		return strconv.AppendInt(to, value, 10)
	}
	to = strconv.AppendInt(append(to, '"'), value, 10)
	return append(to, '"')
}

func (d *dialect) appendAxes(to []byte, digits int, names [3]string, values [3]float64) []byte {
	if d.axes == axesListed {
		to = append(to, '[')
		for i, value := range values {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendFixed(to, value, digits)
		}
		return append(to, ']')
	}
	to = append(to, '{')
	for i, value := range values {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, '"')
		to = append(to, names[i]...)
		to = append(to, '"', ':')
		if d.axes == axesQuoted {
			to = append(to, '"')
		}
		to = appendFixed(to, value, digits)
		if d.axes == axesQuoted {
			to = append(to, '"')
		}
	}
	return append(to, '}')
}

// appendFixed writes a value rounded to a number of digits behind the point,
// several times quicker than strconv does.
func appendFixed(to []byte, value float64, digits int) []byte {
	scale := int64(100)
	if digits == 3 {
		scale = 1000
	}
	scaled := int64(math.Round(value * float64(scale)))
	if scaled < 0 {
		to = append(to, '-')
		scaled = -scaled
	}
	to = strconv.AppendInt(to, scaled/scale, 10)
	to = append(to, '.')
	rest := scaled % scale
	for scale /= 10; scale > 0; scale /= 10 {
		to = append(to, byte('0'+rest/scale%10))
	}
	return to
}

// appendTime writes a time in Unix milliseconds.
func (d *dialect) appendTime(to []byte, form timeForm, at int64) []byte {
	const india = 5*3600 + 1800
	switch form {
	case inMillis:
		return strconv.AppendInt(to, at, 10)
	case inTicks:
		const unixEpoch = 621_355_968_000_000_000
		return strconv.AppendInt(to, at*10_000+unixEpoch, 10)
	case inSecondsText:
		return append(appendSeconds(append(to, '"'), at), '"')
	case inISO:
		return append(time.UnixMilli(at).UTC().AppendFormat(append(to, '"'), "2006-01-02T15:04:05.000Z"), '"')
	case inISOOffset:
		zone := time.FixedZone("", india)
		return append(time.UnixMilli(at).In(zone).AppendFormat(append(to, '"'), "2006-01-02T15:04:05.000-07:00"), '"')
	case inEngine:
		return append(time.UnixMilli(at).UTC().AppendFormat(append(to, '"'), "2006.01.02-15.04.05.000"), '"')
	case inWholeText:
		return append(strconv.AppendInt(append(to, '"'), at/1000, 10), '"')
	default:
		return appendSeconds(to, at)
	}
}

// appendSeconds writes Unix seconds with milliseconds.
func appendSeconds(to []byte, at int64) []byte {
	to = strconv.AppendInt(to, at/1000, 10)
	rest := at % 1000
	return append(to, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}
