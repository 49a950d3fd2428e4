package sim

import (
	"strconv"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// mistake is a kind of event that must be rejected. Its text is the members
// that follow the time, or without time the whole element.
type mistake struct {
	code  event.Code
	text  string
	timed bool
}

// mistakes are what clients get wrong, each wrong in one way only: the code does
// not depend on the order in which a server looks.
func mistakes() []mistake {
	const gaze = `"event_type":"gaze",`
	return []mistake{
		{event.MissingTimestamp, `{"event_type":"gaze","gaze_target":"sofa","dwell_time_ms":250}`, false},
		{event.MissingTimestamp, `{"event_type":"zone_exit","timestamp":"","zone_name":"hall"}`, false},
		{event.MissingEventType, `"gaze_target":"sofa"`, true},
		{event.InvalidTimestamp, `{"event_type":"pose","timestamp":"yesterday"}`, false},
		{event.TimestampInFuture, `{"event_type":"gaze","timestamp":"2100-01-01T00:00:00.500Z","gaze_target":"sofa"}`, false},
		{event.InvalidNumber, gaze + `"dwell_time_ms":-250`, true},
		{event.InvalidNumber, `"event_type":"pose","position":{"x":"nan","y":"nan","z":"nan"}`, true},
		{event.InvalidType, gaze + `"gaze_target":true`, true},
		{event.InvalidText, gaze + `"gaze_target":"so\u0000fa"`, true},
		{event.TextTooLong, gaze + `"gaze_target":"` + strings.Repeat("sofa", 300) + `"`, true},
		{event.InvalidSession, gaze + `"session_id":"my session!"`, true},
		{event.NotAnObject, `null`, false},
		{event.NotAnObject, `"gaze"`, false},
		{event.EventTooLarge, gaze + `"metadata":{"screenshot":"` + strings.Repeat("iVBORw0KGgo", 1600) + `"}`, true},
	}
}

// appendBad writes an event that must be rejected, and why. It comes from
// another part of the application and so has V1's words in every dialect.
func (a *app) appendBad(to []byte, shown int64) ([]byte, event.Code) {
	all := mistakes()
	m := all[a.rand.IntN(len(all))]
	if !m.timed {
		return append(to, m.text...), m.code
	}
	to = append(to, `{"timestamp":`...)
	to = strconv.AppendInt(to, shown, 10)
	to = append(to, ',')
	to = append(to, m.text...)
	return append(to, '}'), m.code
}
