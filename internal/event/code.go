package event

// Code is the reason why an event is in nexero.rejected_events instead of
// nexero.events. The list is closed, so a code is safe as a metric label.
type Code string

// Codes given at the edge: the event never was in a batch's accepted part. A
// repeat of the batch in which the edge accepts the event adds it.
const (
	// MissingTimestamp is an event without a time.
	MissingTimestamp Code = "missing_timestamp"
	// InvalidTimestamp is a time in no known form or outside the calendar.
	InvalidTimestamp Code = "invalid_timestamp"
	// TimestampInFuture is a time later than receipt plus the allowed skew.
	TimestampInFuture Code = "timestamp_in_future"
	// MissingEventType is an event without event_type.
	MissingEventType Code = "missing_event_type"
	// UnknownEventType is a type outside the list, for a tenant in strict mode.
	UnknownEventType Code = "unknown_event_type"
	// MissingSession is an event that neither names a session nor has a batch that does.
	MissingSession Code = "missing_session"
	// InvalidSession is a session id that cannot be an id.
	InvalidSession Code = "invalid_session"
	// InvalidNumber is a number that is not finite or out of its column's range.
	InvalidNumber Code = "invalid_number"
	// InvalidText is text that PostgreSQL cannot hold: NUL, broken UTF-8, a lone surrogate.
	InvalidText Code = "invalid_text"
	// InvalidType is a member of the wrong JSON type that cannot be coerced.
	InvalidType Code = "invalid_type"
	// TextTooLong is a string beyond Limits.StringBytes.
	TextTooLong Code = "text_too_long"
	// EventTooLarge is an event beyond Limits.EventBytes.
	EventTooLarge Code = "event_too_large"
	// EventTooDeep is nesting beyond Limits.Depth.
	EventTooDeep Code = "event_too_deep"
	// NotAnObject is an element of events that is not a JSON object.
	NotAnObject Code = "not_an_object"
	// UnreadableBody is a whole body that could not be read; its index is -1.
	UnreadableBody Code = "unreadable_body"
)

// Codes given by the worker: the edge accepted the event, PostgreSQL does not
// have it in nexero.events. Only an operator's replay moves such a row.
const (
	// RefusedByDatabase is a row that PostgreSQL did not take.
	RefusedByDatabase Code = "refused_by_database"
	// ReceivedTooOld is a batch received longer ago than the shortest retention.
	ReceivedTooOld Code = "received_too_old"
	// ReceivedInFuture is a batch stamped later than tomorrow.
	ReceivedInFuture Code = "received_in_future"
	// TooOldToCheck is a batch received so long ago that the ledger cannot say any
	// more whether it, or the batch that it repeats, is stored: as one from an old
	// copy of the queue. Storing it can count it twice, so only an operator who
	// names this code does.
	TooOldToCheck Code = "too_old_to_check"
	// BatchIDReused is a batch whose id was used before for other content.
	BatchIDReused Code = "batch_id_reused"
)

// codes maps every code to whether the edge gives it. Stored and measured
// codes come from here, so a typo cannot mint a metric series.
var codes = map[Code]bool{ //nolint:gochecknoglobals // a table that never changes
	MissingTimestamp:  true,
	InvalidTimestamp:  true,
	TimestampInFuture: true,
	MissingEventType:  true,
	UnknownEventType:  true,
	MissingSession:    true,
	InvalidSession:    true,
	InvalidNumber:     true,
	InvalidText:       true,
	InvalidType:       true,
	TextTooLong:       true,
	EventTooLarge:     true,
	EventTooDeep:      true,
	NotAnObject:       true,
	UnreadableBody:    true,
	RefusedByDatabase: false,
	ReceivedTooOld:    false,
	ReceivedInFuture:  false,
	TooOldToCheck:     false,
	BatchIDReused:     false,
}

// Valid reports whether c is in the closed list.
func (c Code) Valid() bool {
	_, ok := codes[c]
	return ok
}

// Edge reports whether c is given at the edge, before the event was accepted.
func (c Code) Edge() bool { return codes[c] }

// Retryable reports whether the same bytes can be accepted later without a
// change by the client: true only for reasons that lie in the moment.
func (c Code) Retryable() bool { return c == TimestampInFuture }
