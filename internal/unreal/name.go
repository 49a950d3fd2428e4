package unreal

// field is a member of an event, a batch or a session post that has a meaning
// of its own.
type field uint8

const (
	fieldNone field = iota

	fieldType
	fieldTime
	fieldSession
	fieldZone
	fieldObject
	fieldTarget
	fieldAction
	fieldDuration
	fieldSeq
	fieldLevel
	fieldX
	fieldY
	fieldZ
	fieldPitch
	fieldYaw
	fieldRoll
	fieldPosition
	fieldRotation
	fieldProps

	fieldMetadata
	fieldEventData
	fieldAttributes

	fieldEvents
	fieldSentAt
	fieldBatchID

	fieldStart
	fieldEnd
	fieldCustomer
	fieldProperty
	fieldDevice
	fieldLength

	fieldCount // keep last
)

// fieldNames are the names that rejections and errors use: V1's own.
var fieldNames = [fieldCount]string{ //nolint:gochecknoglobals // a table that never changes
	fieldType:       "event_type",
	fieldTime:       "timestamp",
	fieldSession:    "session_id",
	fieldZone:       "zone_name",
	fieldObject:     "object_name",
	fieldTarget:     "gaze_target",
	fieldAction:     "interaction_type",
	fieldDuration:   "dwell_time_ms",
	fieldSeq:        "seq",
	fieldLevel:      "level",
	fieldX:          "position.x",
	fieldY:          "position.y",
	fieldZ:          "position.z",
	fieldPitch:      "rotation.pitch",
	fieldYaw:        "rotation.yaw",
	fieldRoll:       "rotation.roll",
	fieldPosition:   "position",
	fieldRotation:   "rotation",
	fieldProps:      "metadata",
	fieldMetadata:   "metadata",
	fieldEventData:  "event_data",
	fieldAttributes: "attributes",
	fieldEvents:     "events",
	fieldSentAt:     "sent_at",
	fieldBatchID:    "batch_id",
	fieldStart:      "session_start",
	fieldEnd:        "session_end",
	fieldCustomer:   "customer_id",
	fieldProperty:   "property_id",
	fieldDevice:     "device_type",
	fieldLength:     "duration",
}

// rank orders the names of one field within one object: 0 is the field's own
// name, which wins over its aliases, and an alias wins over those of a greater
// rank. What loses is kept in props.
type rank uint8

// ranks is how many there are.
const ranks = 4

// eventField finds the field that a member of an event means. The names of V1,
// which make up nearly all traffic, are compared as they are; the compiler
// turns each switch into comparisons of length and words.
func eventField(name string) (field, rank) {
	switch name {
	case "event_type":
		return fieldType, 0
	case "timestamp":
		return fieldTime, 0
	case "position":
		return fieldPosition, 0
	case "rotation":
		return fieldRotation, 0
	case "session_id":
		return fieldSession, 0
	case "zone_name":
		return fieldZone, 0
	case "gaze_target":
		return fieldTarget, 0
	case "object_name":
		return fieldObject, 0
	case "interaction_type":
		return fieldAction, 0
	case "dwell_time_ms":
		return fieldDuration, 0
	case "metadata":
		return fieldMetadata, 0
	}
	return foldedEventField(name)
}

// foldedEventField does the same for every other spelling and for aliases.
func foldedEventField(name string) (field, rank) {
	var buffer [longestName]byte
	folded := fold(&buffer, name)
	switch string(folded) {
	case "eventtype":
		return fieldType, 0
	case "timestamp":
		return fieldTime, 0
	case "sessionid":
		return fieldSession, 0
	case "zonename":
		return fieldZone, 0
	case "objectname":
		return fieldObject, 0
	case "gazetarget":
		return fieldTarget, 0
	case "interactiontype":
		return fieldAction, 0
	case "dwelltimems":
		return fieldDuration, 0
	case "seq":
		return fieldSeq, 0
	case "level":
		return fieldLevel, 0
	case "position":
		return fieldPosition, 0
	case "rotation":
		return fieldRotation, 0
	case "metadata":
		return fieldMetadata, 0
	case "eventdata":
		return fieldEventData, 0
	case "attributes":
		return fieldAttributes, 0
	}
	return eventAlias(folded)
}

// eventAlias finds the field of a word that clients use instead.
func eventAlias(folded []byte) (field, rank) {
	switch string(folded) {
	case "type":
		return fieldType, 1
	case "occurredat":
		return fieldTime, 1
	case "time":
		return fieldTime, 2
	case "t":
		return fieldTime, 3
	case "seshid":
		return fieldSession, 1
	case "zone":
		return fieldZone, 1
	case "object":
		return fieldObject, 1
	case "target":
		return fieldTarget, 1
	case "action":
		return fieldAction, 1
	case "durationms":
		return fieldDuration, 1
	case "sequence":
		return fieldSeq, 1
	case "floor":
		return fieldLevel, 1
	}
	return fieldNone, 0
}

// axisField finds the coordinate that a member of position or rotation means.
// Coordinates are half of all members there are.
func axisField(name string) field {
	switch name {
	case "x":
		return fieldX
	case "y":
		return fieldY
	case "z":
		return fieldZ
	case "pitch":
		return fieldPitch
	case "yaw":
		return fieldYaw
	case "roll":
		return fieldRoll
	}
	return foldedAxisField(name)
}

// foldedAxisField does the same for every other spelling.
func foldedAxisField(name string) field {
	var buffer [longestName]byte
	switch string(fold(&buffer, name)) {
	case "x":
		return fieldX
	case "y":
		return fieldY
	case "z":
		return fieldZ
	case "pitch":
		return fieldPitch
	case "yaw":
		return fieldYaw
	case "roll":
		return fieldRoll
	}
	return fieldNone
}

// batchField finds the field that a member of a batch's body means.
func batchField(name string) field {
	var buffer [longestName]byte
	switch string(fold(&buffer, name)) {
	case "sessionid":
		return fieldSession
	case "sentat":
		return fieldSentAt
	case "events":
		return fieldEvents
	case "batchid":
		return fieldBatchID
	}
	return fieldNone
}

// sessionField finds the field that a member of a session post means.
// start_time and end_time are what some clients sent instead of V1's names.
func sessionField(name string) (field, rank) {
	var buffer [longestName]byte
	switch string(fold(&buffer, name)) {
	case "sessionid":
		return fieldSession, 0
	case "seshid":
		return fieldSession, 1
	case "sessionstart":
		return fieldStart, 0
	case "startedat":
		return fieldStart, 1
	case "starttime":
		return fieldStart, 2
	case "sessionend":
		return fieldEnd, 0
	case "endedat":
		return fieldEnd, 1
	case "endtime":
		return fieldEnd, 2
	case "customerid":
		return fieldCustomer, 0
	case "propertyid":
		return fieldProperty, 0
	case "devicetype":
		return fieldDevice, 0
	case "device":
		return fieldDevice, 1
	case "duration":
		return fieldLength, 0
	case "sentat":
		return fieldSentAt, 0
	case "batchid":
		return fieldBatchID, 0
	case "metadata":
		return fieldMetadata, 0
	}
	return fieldNone, 0
}

// longestName is the length of the longest name above once it is folded.
const longestName = len("interactiontype")

// fold writes name without underscores and upper case into buffer: Unreal's own
// converters turn SessionID into sessionId, session_id and SessionId. It
// returns nil for a name that is longer than any that we know.
func fold(buffer *[longestName]byte, name string) []byte {
	n := 0
	for i := range len(name) {
		c := name[i]
		if c == '_' {
			continue
		}
		if n == len(buffer) {
			return nil
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[n] = c
		n++
	}
	return buffer[:n]
}
