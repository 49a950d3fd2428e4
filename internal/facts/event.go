package facts

import (
	"cmp"
	"math"
	"slices"

	"github.com/nexero-vr/nexero/internal/event"
)

// Event is what the fold needs of one row of nexero.events. Times lie between
// event.Earliest and event.Latest, and so does OccurredAt minus the shift.
type Event struct {
	// OccurredAt is when it happened, after ShiftMS was added; OccurredAt minus
	// ShiftMS is the client's time.
	OccurredAt event.Micros
	// ShiftMS is 0 when the client's clock was believed.
	ShiftMS int64
	// ReceivedAt, BatchNo and Index complete the order and, together, name the event.
	ReceivedAt event.Micros
	BatchNo    int64
	// Seq is the client's own counter, valid with event.FieldSeq in Has.
	Seq int64
	// Text holds the names, nil when there are none, as in nearly every pose.
	// It is read, not kept, so events may share one.
	Text *Text
	// X and Y are in centimetres, Yaw in degrees; each is valid by its bit in Has.
	X, Y, Yaw float32
	// DurationMS and Level are valid by their bits in Has.
	DurationMS int32
	Index      int16
	Type       event.Type
	Level      int16
	Has        event.Fields
}

// Text is the names in an event, each empty when absent.
type Text struct {
	Zone, Object, Target, Action string
}

// noText stands for the names of an event that has none.
var noText Text //nolint:gochecknoglobals // a constant; never written

// FromEvent returns e as the fold wants it. receivedAt and batchNo are those of
// the row, which for an event that a repeat brought are the repeat's time and
// the batch's number.
func FromEvent(e *event.Event, receivedAt event.Micros, batchNo int64) Event {
	folded := Event{
		OccurredAt: e.OccurredAt, ShiftMS: e.ClockShiftMS, ReceivedAt: receivedAt, BatchNo: batchNo, Seq: e.Seq,
		X: e.X, Y: e.Y, Yaw: e.Yaw, DurationMS: e.DurationMS,
		Index: int16(e.Index), Type: e.Type, Level: e.Level, Has: e.Has,
	}
	if text := (Text{e.Zone, e.Object, e.Target, e.Action}); text != noText {
		folded.Text = &text
	}
	return folded
}

// text returns the names of e, never nil.
func (e *Event) text() *Text {
	if e.Text == nil {
		return &noText
	}
	return e.Text
}

// level returns the floor that e names, 0 without one.
func (e *Event) level() int16 {
	if e.Has&event.FieldLevel == 0 {
		return 0
	}
	return e.Level
}

// length returns the length that e brings with it, 0 when it brings none.
func (e *Event) length() int64 {
	if e.Has&event.FieldDuration == 0 {
		return 0
	}
	return int64(e.DurationMS)
}

// sequential reports whether what e means depends on the events before and
// after it. Every other kind folds in any order.
func (e *Event) sequential() bool {
	switch e.Type {
	case event.Pose, event.ZoneEnter, event.ZoneExit, event.IdleStart, event.IdleEnd:
		return true
	case event.Gaze:
		return e.length() <= 0
	default:
		return false
	}
}

// orderKey is the place of an event in its session.
type orderKey struct {
	at       event.Micros
	seq      int64
	received event.Micros
	batch    int64
	index    int16
}

// noSeq sorts events without a sequence number before those that have one.
const noSeq = math.MinInt64

// time returns the time that order and lengths go by: the client's, or the
// corrected one when the clock was set during the session.
func (e *Event) time(stepped bool) event.Micros {
	if stepped {
		return e.OccurredAt
	}
	return e.OccurredAt - event.Micros(e.ShiftMS*1000)
}

func (e *Event) key(stepped bool) orderKey {
	seq := int64(noSeq)
	if e.Has&event.FieldSeq != 0 {
		seq = e.Seq
	}
	return orderKey{e.time(stepped), seq, e.ReceivedAt, e.BatchNo, e.Index}
}

func (k orderKey) compare(other orderKey) int {
	return cmp.Or(
		cmp.Compare(k.at, other.at),
		cmp.Compare(k.seq, other.seq),
		cmp.Compare(k.received, other.received),
		cmp.Compare(k.batch, other.batch),
		cmp.Compare(k.index, other.index),
	)
}

// before reports whether a comes before b. Times differ nearly always, so the
// rest of the keys is seldom made.
func before(a, b *Event, stepped bool) bool {
	if at, bt := a.time(stepped), b.time(stepped); at != bt {
		return at < bt
	}
	return a.key(stepped).compare(b.key(stepped)) < 0
}

// sortEvents puts events in order. They come in the order of their batches, so
// all but a few (looks, stamped with their start) are in order already: those
// few are taken out, sorted and merged back.
func sortEvents(events []Event, stepped bool) {
	kept := min(1, len(events))
	for kept < len(events) && !before(&events[kept], &events[kept-1], stepped) {
		kept++
	}
	if kept == len(events) {
		return
	}
	var strays []Event
	for i := kept; i < len(events); i++ {
		if before(&events[i], &events[kept-1], stepped) {
			strays = append(strays, events[i])
			continue
		}
		events[kept] = events[i]
		kept++
	}
	slices.SortFunc(strays, func(a, b Event) int { return a.key(stepped).compare(b.key(stepped)) })
	for to := len(events) - 1; len(strays) > 0; to-- {
		stray := &strays[len(strays)-1]
		if kept > 0 && before(stray, &events[kept-1], stepped) {
			kept--
			events[to] = events[kept]
			continue
		}
		events[to] = *stray
		strays = strays[:len(strays)-1]
	}
}

// milliseconds rounds a time down to the whole milliseconds that lengths are
// made of: differences of rounded times add up without a remainder.
func milliseconds(at event.Micros) int64 { return floorDiv(int64(at), 1000) }

// floorDiv divides, rounding down for negative numbers too. b is positive.
func floorDiv(a, b int64) int64 {
	quotient := a / b
	if a%b < 0 {
		quotient--
	}
	return quotient
}

// fromMilliseconds is the first instant that milliseconds gives at.
func fromMilliseconds(at int64) event.Micros { return event.Micros(at * 1000) }
