// Package unreal reads what Unreal clients post and turns it into an
// [event.Batch]: the events that are fit to be stored, the ones that are not
// and why, the sessions they belong to, and the identity by which a repeat of
// the same post is known.
//
// It is the only package that knows how clients spell things. It does no I/O,
// reads no clock and keeps no state between requests: the same [Request] gives
// the same batch, which is what makes a retry recognisable. What it lets
// through, PostgreSQL takes; it calls [event.Event.Check] last.
//
// # Strict and lenient
//
// A body must be JSON to the letter of RFC 8259; where it is not, [BodyError]
// says at which byte and in which member. Around the JSON a byte order mark,
// UTF-16 and trailing NULs are forgiven. Within it, an event is judged on its
// own: a bad one becomes a rejection and the rest goes on, since clients never
// look at answers and would lose it. Values are read by what their field means,
// not by their JSON type, because Blueprints send every attribute as a string
// and VaRest sends every number as a float:
//
//	event_type     type                       text
//	timestamp      occurred_at, time, t       see timeOf and decimal.micros
//	session_id     sesh_id                    text; the batch's when missing
//	zone_name      zone                       text
//	object_name    object                     text
//	gaze_target    target                     text
//	interaction_type  action                  text
//	position       {x, y, z} or a list        float32
//	rotation       {pitch, yaw, roll} or a list
//	dwell_time_ms  duration_ms                whole milliseconds, rounded
//	seq            sequence                   a whole number, else kept in props
//	level          floor                      a whole number, else kept in props
//	metadata, event_data, attributes          objects
//
// Names are compared without case and underscores, so that SessionId and
// session_id are one name; of equal names the last one holds. The first column
// wins over the second, and members of the event itself over those of
// event_data, and these over those of attributes. null and the empty string
// mean "not sent". Everything else that an event says is kept, as it was sent,
// in its props.
//
// # Bounds
//
// Depth, sizes and counts of [event.Limits] are applied while reading. No input
// makes the reader recurse, and the memory that it needs is bounded by the body
// and, for each event, by Limits.EventBytes.
package unreal
