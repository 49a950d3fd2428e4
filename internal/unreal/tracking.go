package unreal

import (
	"math"
	"math/bits"

	"github.com/nexero-vr/nexero/internal/event"
)

// eventState is what is known of the event that is being read.
type eventState struct {
	event *event.Event
	start int
	// set, bad and keep have a bit for each field: it has a value; its value
	// cannot be stored, see decoding.faults; it belongs into props, as a whole or
	// member by member, see decoding.kept.
	set, bad, keep fieldSet
	form           timeForm
	session        string
	// propsStart is where the event's props begin in decoding.props.
	propsStart int
}

// fieldSet is a set of fields.
type fieldSet uint32

// has reports whether f is in s.
func (s fieldSet) has(f field) bool { return s>>f&1 == 1 }

// with returns s and f.
func (s fieldSet) with(f field) fieldSet { return s | 1<<f }

// without returns s but for f.
func (s fieldSet) without(f field) fieldSet { return s &^ (1 << f) }

// span is a piece of the body and what a scan noticed in it.
type span struct {
	start, end int
	marks      marks
}

// member is a member of an object that needs a second look: an alias, a member
// of event_data, or one that we do not know.
type member struct {
	nameStart, nameEnd int // within the quotes
	value              span
	field              field
	rank               rank
}

// trace ties an event in the batch to its bytes until the batch is finished.
type trace struct {
	start, end           int
	session              string       // its own, empty for the batch's
	doubt                event.Micros // see doubt
	propsStart, propsEnd int          // in decoding.props; equal when it has none there
}

// fault is why an event is refused.
type fault struct {
	code event.Code
	name string
	at   int // where the value begins
}

// readEvent reads the object at i. Its own names are read as they come; the
// rest waits until the object is complete, since names win over aliases and
// the event's own members over those of its containers, in whatever order.
func (d *decoding) readEvent(index, i int) (end int) {
	s := d.text
	b := d.batch
	b.Events = append(b.Events, event.Event{Index: index})
	d.current = eventState{event: &b.Events[len(b.Events)-1], start: i, propsStart: len(d.props)}
	d.members = d.members[:0]
	d.names.forget()
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		d.closeEvent(i + 1)
		return i + 1
	}
	for more := true; more; {
		nameEnd, value, m := scanMember(s, i)
		if value < 0 {
			return value
		}
		f, r := eventField(memberName(s[i+1:nameEnd], m))
		if r == 0 && f != fieldNone && f < fieldMetadata {
			end = d.readOwn(f, i+1, nameEnd, value, m)
		} else {
			end = d.remember(f, r, i+1, nameEnd, value, m)
		}
		if end < 0 {
			return end
		}
		if i, more = scanSeparator(s, end, '}'); i < 0 {
			return i
		}
	}
	d.closeEvent(i)
	return i
}

// readOwn reads the value of a field under the field's own name.
func (d *decoding) readOwn(f field, nameStart, nameEnd, value int, m marks) (end int) {
	code, end := d.set(f, value)
	if end < 0 {
		return end
	}
	now := &d.current
	// Of equal names the last one holds, so a fault of an earlier one is gone.
	now.bad, now.keep = now.bad.without(f), now.keep.without(f)
	switch code {
	case "":
		return end
	case keepAlso:
	case event.InvalidType, event.InvalidNumber:
		if f != fieldSeq && f != fieldLevel {
			d.fault(f, code, value)
			return end
		}
		// A level called "penthouse" is no floor's number, but no mistake either.
	default:
		d.fault(f, code, value)
		return end
	}
	now.keep = now.keep.with(f)
	_, valueMarks := scanValue(d.text, value, d.limits.Depth-1)
	d.kept[f] = member{nameStart: nameStart, nameEnd: nameEnd, value: span{value, end, m | valueMarks}}
	return end
}

// fault marks a field as one whose value cannot be stored.
func (d *decoding) fault(f field, code event.Code, at int) {
	d.current.bad = d.current.bad.with(f)
	// setAxes knows better which coordinate it was.
	if f != fieldPosition && f != fieldRotation {
		d.faults[f] = fault{code: code, name: fieldNames[f], at: at}
	}
}

// remember puts a member aside until its object is complete.
func (d *decoding) remember(f field, r rank, nameStart, nameEnd, value int, m marks) (end int) {
	end, valueMarks := scanValue(d.text, value, d.limits.Depth-1)
	if end < 0 {
		return end
	}
	now := &d.current
	if end-now.start > d.limits.EventBytes {
		// The event is refused for its size; what it holds needs no memory.
		return end
	}
	aside := member{nameStart, nameEnd, span{value, end, m | valueMarks}, f, r}
	if f >= fieldMetadata {
		now.keep = now.keep.with(f)
		d.kept[f] = aside
		return end
	}
	d.members = append(d.members, aside)
	return end
}

// closeEvent decides on the event that ends at end as far as its own bytes go.
func (d *decoding) closeEvent(end int) {
	now := &d.current
	if end-now.start <= d.limits.EventBytes {
		d.resolveAll()
	}
	if d.firstSession == "" && !now.bad.has(fieldSession) && !unsetSession(now.session) {
		d.firstSession = now.session
	}
	e := now.event
	if now.set.has(fieldTime) {
		d.fine = d.fine || !coarse(e.OccurredAt, now.form)
	}
	if refused := d.ownVerdict(end); refused.code != "" {
		b := d.batch
		d.props = d.props[:now.propsStart]
		d.reject(e.Index, refused.code, refused.name, refused.detail, now.start, end)
		*e = event.Event{}
		b.Events = b.Events[:len(b.Events)-1]
		return
	}
	if e.OccurredAt < deadClock {
		d.latestDead = max(e.OccurredAt, d.latestDead)
		if !d.hasDead {
			d.hasDead, d.latestDead = true, e.OccurredAt
		}
	}
	d.traces = append(d.traces, trace{
		start: now.start, end: end, session: now.session, doubt: doubt(e.OccurredAt, now.form),
		propsStart: now.propsStart, propsEnd: len(d.props),
	})
}

// ownVerdict says why the event cannot be stored, whatever its batch says.
func (d *decoding) ownVerdict(end int) verdict {
	now := &d.current
	switch {
	case end-now.start > d.limits.EventBytes:
		return tooLargeVerdict(end-now.start, d.limits.EventBytes)
	case now.bad != 0:
		f := d.faults[bits.TrailingZeros32(uint32(now.bad))]
		return verdict{f.code, f.name, explain(f.code, f.name, excerpt(d.text, f.at))}
	case !now.set.has(fieldType):
		return verdict{event.MissingEventType, "event_type", "the event has no event_type"}
	case !now.set.has(fieldTime):
		return verdict{event.MissingTimestamp, "timestamp", "the event has no timestamp"}
	}
	return verdict{}
}

// keepAlso is what set returns when it took the value and the value holds more.
const keepAlso event.Code = "keep"

// set reads the value at i into the field. code says why it could not, and is
// empty when it could or the value is absent. end is behind the value, or
// negative when the grammar breaks.
func (d *decoding) set(f field, i int) (code event.Code, end int) {
	e := d.current.event
	switch f {
	case fieldTime:
		return d.setTime(i)
	case fieldPosition:
		return d.setAxes(fieldPosition, fieldX, i, &e.X, &e.Y, &e.Z)
	case fieldRotation:
		return d.setAxes(fieldRotation, fieldPitch, i, &e.Pitch, &e.Yaw, &e.Roll)
	case fieldType:
		return d.setType(i)
	case fieldSession:
		d.current.session, code, end = textAt(d.text, i, d.limits.StringBytes)
		d.has(fieldSession, code == "" && d.current.session != "")
		if code != "" {
			code = event.InvalidSession
		}
		return code, end
	case fieldZone:
		return d.setText(f, i, &e.Zone)
	case fieldObject:
		return d.setText(f, i, &e.Object)
	case fieldTarget:
		return d.setText(f, i, &e.Target)
	case fieldAction:
		return d.setText(f, i, &e.Action)
	case fieldDuration:
		number, _, present, code, end := numberAt(d.text, i)
		length, fits := number.rounded()
		if present && code == "" && (!fits || length < 0 || length > math.MaxInt32) {
			code, length = event.InvalidNumber, 0
		}
		e.DurationMS = int32(length)
		d.hasNumber(f, event.FieldDuration, present && code == "")
		return code, end
	default: // fieldSeq, fieldLevel
		return d.setInteger(f, i)
	}
}

// has notes whether a field has a value.
func (d *decoding) has(f field, present bool) {
	if present {
		d.current.set = d.current.set.with(f)
	} else {
		d.current.set = d.current.set.without(f)
	}
}

// hasNumber notes the same for a number, which has no empty form in an event.
func (d *decoding) hasNumber(f field, flag event.Fields, present bool) {
	d.has(f, present)
	if present {
		d.current.event.Has |= flag
	} else {
		d.current.event.Has &^= flag
	}
}

// setTime reads the time as the client wrote it; finish corrects it.
func (d *decoding) setTime(i int) (code event.Code, end int) {
	at, form, present, ok, end := timeAt(d.text, i)
	if !ok && end >= 0 {
		code = event.InvalidTimestamp
	}
	d.current.event.OccurredAt, d.current.form = at, form
	d.has(fieldTime, present && ok)
	return code, end
}

// setText reads a name. One that is too long or no UTF-8 is left in the event,
// which is then refused.
func (d *decoding) setText(f field, i int, to *string) (code event.Code, end int) {
	*to, code, end = textAt(d.text, i, d.limits.StringBytes)
	d.has(f, *to != "" && code == "")
	return code, end
}

// setType reads the kind of event and looks it up, once for a run of equal ones.
func (d *decoding) setType(i int) (code event.Code, end int) {
	name, code, end := textAt(d.text, i, d.limits.StringBytes)
	d.has(fieldType, name != "" && code == "")
	if name == "" || code != "" || end < 0 {
		return code, end
	}
	if name != d.typeName {
		d.typeName = name
		d.typeOf, d.typeOK = event.ParseType(name)
	}
	e := d.current.event
	e.Type, e.Name = d.typeOf, ""
	if !d.typeOK {
		if d.strict {
			return event.UnknownEventType, end
		}
		e.Type, e.Name = event.Custom, name
	}
	return "", end
}

// setInteger reads the client's counter or the level. Neither is worth an event:
// the caller keeps a value that does not fit in props.
func (d *decoding) setInteger(f field, i int) (code event.Code, end int) {
	number, _, present, code, end := numberAt(d.text, i)
	value, whole := number.integer()
	e := d.current.event
	if f == fieldSeq {
		e.Seq = value
		d.hasNumber(f, event.FieldSeq, present && code == "" && whole)
	} else {
		if value < math.MinInt16 || value > math.MaxInt16 {
			value, whole = 0, false
		}
		e.Level = int16(value)
		d.hasNumber(f, event.FieldLevel, present && code == "" && whole)
	}
	if present && code == "" && !whole {
		code = event.InvalidNumber
	}
	return code, end
}
