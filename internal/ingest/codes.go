package ingest

import "github.com/nexero-vr/nexero/internal/event"

// edgeCodes are the reject codes with a metric series of their own. One that is
// missing here is counted as "other".
//
//nolint:gochecknoglobals // a table that never changes
var edgeCodes = []event.Code{
	event.MissingTimestamp, event.InvalidTimestamp, event.TimestampInFuture,
	event.MissingEventType, event.UnknownEventType, event.MissingSession,
	event.InvalidSession, event.InvalidNumber, event.InvalidText, event.InvalidType,
	event.TextTooLong, event.EventTooLarge, event.EventTooDeep, event.NotAnObject,
	event.UnreadableBody,
}
