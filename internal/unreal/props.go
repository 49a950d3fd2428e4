package unreal

import (
	"math/bits"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// What an event or a session post says beyond the fields that have columns
// goes into one JSON object, its props: the bytes as they were sent, so nothing
// is decoded and encoded again. They become jsonb, which refuses what JSON
// allows: NUL, lone surrogates, bytes that are no UTF-8, numbers beyond
// numeric. The scans mark such values; appendMember refuses them.
//
// Of equal names in one object jsonb keeps the last one. Of equal names in
// different places the first place has the name: the event itself, event_data,
// attributes, metadata. A member whose name is taken stays within an object
// named like its container, so that nothing is lost.

// resolveAll looks at everything that was put aside: first aliases, then the
// members of event_data and attributes fill fields that nothing has filled;
// what is left becomes props.
func (d *decoding) resolveAll() {
	now := &d.current
	if len(d.members) > 0 {
		d.resolve(false)
	}
	if now.keep != 0 {
		for f := fieldType; f < fieldMetadata; f++ {
			if now.keep.has(f) {
				d.appendMember(&d.kept[f])
			}
		}
		d.resolveContainer(fieldEventData)
		d.resolveContainer(fieldAttributes)
	}
	now.event.Props = d.closeProps()
}

// resolveContainer looks into event_data or attributes.
func (d *decoding) resolveContainer(f field) {
	if !d.current.keep.has(f) {
		return
	}
	container := &d.kept[f]
	d.names.place = f
	switch {
	case d.isAbsent(container):
	case container.value.marks&markDepth != 0:
		d.propFault(event.EventTooDeep, fieldNames[f], container.value.start)
	case d.text[container.value.start] != '{':
		d.appendMember(container)
	default:
		d.members = d.members[:0]
		d.rememberAll(container.value)
		d.resolve(true)
	}
	d.appendLosers(container)
}

// rememberAll puts the members of an object aside that was scanned before.
func (d *decoding) rememberAll(object span) {
	s := d.text
	i := skipSpace(s, object.start+1)
	if s[i] == '}' {
		return
	}
	for more := true; more; {
		nameEnd, value, m := scanMember(s, i)
		f, r := eventField(memberName(s[i+1:nameEnd], m))
		if f >= fieldMetadata {
			f = fieldNone
		}
		end, valueMarks := scanValue(s, value, d.limits.Depth)
		d.members = append(d.members, member{i + 1, nameEnd, span{value, end, m | valueMarks}, f, r})
		i, more = scanSeparator(s, end, '}')
	}
}

// isAbsent reports whether a member was sent without a value.
func (d *decoding) isAbsent(m *member) bool {
	value := d.text[m.value.start:m.value.end]
	return value == "null" || value == `""`
}

// resolve fills fields from the members put aside. For each field that is still
// empty the name of the lowest rank wins, of equal names the last; the others
// become props. nested says that they come from a container, where a name can
// mean something else and a value that does not fit is no fault.
func (d *decoding) resolve(nested bool) {
	d.chooseWinners()
	for k := range d.members {
		m := &d.members[k]
		if m.field == fieldCount { // absent, or overwritten by an equal name
			continue
		}
		code := keepAlso
		if m.field != fieldNone {
			code, _ = d.set(m.field, m.value.start)
		}
		switch {
		case code == "":
		case code == keepAlso, isMisfit(code) && (nested || lenientAlias(m.field)):
			d.appendMember(m)
		default:
			d.fault(m.field, code, m.value.start)
		}
	}
}

// chooseWinners decides which member fills which field. It makes fieldNone of
// the members that lose theirs, and fieldCount of those that count for nothing:
// absent ones, and of equal names all but the last.
func (d *decoding) chooseWinners() {
	// The last member of each name by its number plus one: small, since it is
	// cleared for every object that gets here.
	var last [fieldCount][ranks]int32
	var seen fieldSet
	for k := range d.members {
		m := &d.members[k]
		if m.field == fieldNone {
			continue
		}
		if earlier := last[m.field][m.rank]; earlier > 0 {
			d.members[earlier-1].field = fieldCount
		}
		last[m.field][m.rank] = int32(k + 1)
		seen = seen.with(m.field)
	}
	taken := d.current.set | d.current.bad
	for ; seen != 0; seen &= seen - 1 {
		f := field(bits.TrailingZeros32(uint32(seen)))
		filled := taken.has(f)
		for _, k := range last[f] {
			if k == 0 {
				continue
			}
			switch m := &d.members[k-1]; {
			case d.isAbsent(m):
				m.field = fieldCount
			case filled:
				m.field = fieldNone
			default:
				filled = true
			}
		}
	}
}

// isMisfit reports whether a value was of another kind than its field, and not
// damaged in itself.
func isMisfit(code event.Code) bool {
	return code == event.InvalidType || code == event.InvalidNumber || code == event.InvalidTimestamp
}

// lenientAlias reports whether an alias of f at the top of an event is a word
// that a client may have used for something else. Aliases of times, sessions
// and lengths are not: without them the event is refused or means less.
func lenientAlias(f field) bool {
	return f != fieldTime && f != fieldSession && f != fieldDuration
}

// appendMember adds a member to the event's props, or notes why it cannot.
// Members that carry a credential are left out. A member whose name has been
// taken by another place waits for appendLosers.
func (d *decoding) appendMember(m *member) {
	name := memberName(d.text[m.nameStart:m.nameEnd], m.value.marks)
	if isCredential(name) {
		return
	}
	if code := d.storable(span{m.nameStart, m.value.end, m.value.marks}); code != "" {
		d.propFault(code, plainName(d.text[m.nameStart:m.nameEnd]), m.value.start)
		return
	}
	if !d.names.claim(name) {
		d.losers = append(d.losers, *m)
		return
	}
	lead := byte(',')
	if len(d.props) == d.current.propsStart {
		lead = '{'
	}
	d.appendPair(lead, m)
}

// appendPair writes a member as it was sent.
func (d *decoding) appendPair(lead byte, m *member) {
	d.props = append(d.props, lead, '"')
	d.props = append(d.props, d.text[m.nameStart:m.nameEnd]...)
	d.props = append(d.props, '"', ':')
	d.props = append(d.props, d.text[m.value.start:m.value.end]...)
}

// appendLosers writes what is left of a container when the names of some of its
// members were taken. That is never longer than the container was.
func (d *decoding) appendLosers(container *member) {
	if len(d.losers) == 0 {
		return
	}
	d.names.place = fieldCount // nobody's: its name must not be taken at all
	name := d.text[container.nameStart:container.nameEnd]
	for !d.names.claim(memberName(name, container.value.marks)) {
		name += "_"
	}
	d.props = append(d.props, ',', '"')
	d.props = append(d.props, name...)
	d.props = append(d.props, '"', ':')
	lead := byte('{')
	for k := range d.losers {
		d.appendPair(lead, &d.losers[k])
		lead = ','
	}
	d.props = append(d.props, '}')
	d.losers = d.losers[:0]
}

// closeProps adds metadata's members and closes the object. Props that are
// nothing but metadata stay where they are, in the body, and are returned.
func (d *decoding) closeProps() (whole string) {
	from := d.current.propsStart
	if d.current.keep.has(fieldMetadata) {
		metadata := &d.kept[fieldMetadata]
		v := metadata.value
		code := d.storable(v)
		d.names.place = fieldMetadata
		switch {
		case d.isAbsent(metadata):
		case code != "":
			d.propFault(code, fieldNames[fieldMetadata], v.start)
		case d.text[v.start] != '{':
			d.appendMember(metadata)
		case d.text[skipSpace(d.text, v.start+1)] == '}':
		case len(d.props) == from && !hasCredential(d.text[v.start:v.end]):
			return d.text[v.start:v.end]
		default:
			d.members = d.members[:0]
			d.rememberAll(v)
			for k := range d.members {
				d.appendMember(&d.members[k])
			}
		}
		d.appendLosers(metadata)
	}
	if len(d.props) > from {
		d.props = append(d.props, '}')
	}
	return ""
}

// storable returns why jsonb refuses a piece of the body, or nothing.
func (d *decoding) storable(piece span) event.Code {
	switch {
	case piece.marks&markDepth != 0:
		return event.EventTooDeep
	case piece.marks&markText != 0:
		return event.InvalidText
	case piece.marks&markBeyondASCII != 0 && !utf8.ValidString(d.text[piece.start:piece.end]):
		return event.InvalidText
	case piece.marks&markNumber != 0:
		return event.InvalidNumber
	}
	return ""
}

// propFault notes the first reason why props cannot be stored.
func (d *decoding) propFault(code event.Code, name string, at int) {
	if d.current.bad.has(fieldProps) {
		return
	}
	d.current.bad = d.current.bad.with(fieldProps)
	d.faults[fieldProps] = fault{code: code, name: name, at: at}
}
