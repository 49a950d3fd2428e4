package unreal

import (
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// setAxes reads position or rotation, whose first coordinate is first: an
// object of named coordinates or a list of all three. Members that are no
// coordinate, such as the w of a quaternion, make it keepAlso. On a fault no
// coordinate is set, and faults says which one it was.
func (d *decoding) setAxes(whole, first field, i int, a, b, c *float32) (code event.Code, end int) {
	s := d.text
	axes := [3]*float32{a, b, c}
	*a, *b, *c = 0, 0, 0
	d.clearAxes(first)
	d.has(whole, false)
	switch {
	case i < len(s) && s[i] == '{':
		if end = plainAxes(s, i, &axesNames[whole-fieldPosition], &axes); end != 0 {
			d.current.event.Has |= axisFlag(first) | axisFlag(first+1) | axisFlag(first+2)
			break
		}
		*a, *b, *c = 0, 0, 0
		code, end = d.namedAxes(first, i, &axes)
	case i < len(s) && s[i] == '[':
		code, end = d.listedAxes(whole, first, i, &axes)
	default:
		v, end := scalarAt(s, i)
		if v.kind != kindAbsent {
			code = d.axisFault(whole, whole, event.InvalidType, i)
		}
		return code, end
	}
	switch code {
	case "", keepAlso:
		d.has(whole, true)
	default:
		d.clearAxes(first)
	}
	return code, end
}

// axesNames are what stands before each coordinate of position and of rotation
// when a client sends all three, as numbers, in order and without spaces.
var axesNames = [...][3]string{ //nolint:gochecknoglobals // a table that never changes
	{`{"x":`, `,"y":`, `,"z":`},
	{`{"pitch":`, `,"yaw":`, `,"roll":`},
}

// plainAxes reads an object of exactly that form: nearly all of them, and two
// thirds of the bytes of a batch. end is 0 for any other, right or wrong, which
// is then read member by member.
func plainAxes(s string, i int, names *[3]string, axes *[3]*float32) (end int) {
	for k, name := range names {
		if !strings.HasPrefix(s[i:], name) {
			return 0
		}
		start := i + len(name)
		number, behind := scanNumber(s, start)
		if behind < 0 {
			return 0
		}
		value, ok := number.float32(s[start:behind])
		if !ok {
			return 0
		}
		*axes[k] = value
		i = behind
	}
	if i >= len(s) || s[i] != '}' {
		return 0
	}
	return i + 1
}

// axisFlag returns the bit of a coordinate; the bits lie in the order of the
// fields.
func axisFlag(axis field) event.Fields { return event.FieldX << (axis - fieldX) }

// clearAxes forgets the three coordinates from first on.
func (d *decoding) clearAxes(first field) {
	d.current.event.Has &^= axisFlag(first) | axisFlag(first+1) | axisFlag(first+2)
}

// axisFault notes which coordinate cannot be stored and returns its code.
func (d *decoding) axisFault(whole, axis field, code event.Code, at int) event.Code {
	d.faults[whole] = fault{code: code, name: fieldNames[axis], at: at}
	return code
}

// namedAxes reads {"x": 1.5, "y": 2, "z": "3"}, members in any order, any of
// them missing. Of several faults the last one is reported.
func (d *decoding) namedAxes(first field, i int, axes *[3]*float32) (code event.Code, end int) {
	s := d.text
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		return "", i + 1
	}
	for {
		nameEnd, value, m := scanMember(s, i)
		if value < 0 {
			return "", value
		}
		axis := axisField(memberName(s[i+1:nameEnd], m))
		if axis < first || axis > first+2 {
			if end, _ = scanValue(s, value, d.limits.Depth-2); end < 0 {
				return "", end
			}
			if code == "" {
				code = keepAlso
			}
		} else {
			var problem event.Code
			if problem, end = d.setAxis(first, axis, value, axes[axis-first]); end < 0 {
				return "", end
			}
			if problem != "" {
				code = problem
			}
		}
		var more bool
		if i, more = scanSeparator(s, end, '}'); !more {
			return code, i
		}
	}
}

// listedAxes reads [1.5, 2, 3]. A list of another length is a fault: nothing says
// which coordinate is missing.
func (d *decoding) listedAxes(whole, first field, i int, axes *[3]*float32) (code event.Code, end int) {
	s := d.text
	start := i
	i = skipSpace(s, i+1)
	count := 0
	for more := i >= len(s) || s[i] != ']'; more; count++ {
		if count < len(axes) {
			var problem event.Code
			problem, end = d.setAxis(first, first+field(count), i, axes[count])
			if problem != "" {
				code = problem
			}
		} else {
			end, _ = scanValue(s, i, d.limits.Depth-2)
		}
		if end < 0 {
			return "", end
		}
		if i, more = scanSeparator(s, end, ']'); i < 0 {
			return "", i
		}
	}
	if count == 0 {
		i++
	}
	if count != len(axes) && code == "" {
		code = d.axisFault(whole, whole, event.InvalidType, start)
	}
	return code, i
}

// setAxis reads one coordinate.
func (d *decoding) setAxis(first, axis field, i int, to *float32) (code event.Code, end int) {
	s := d.text
	if i < len(s) && (s[i]-'0' <= 9 || s[i] == '-') {
		number, end := scanNumber(s, i)
		if end < 0 {
			return "", end
		}
		value, ok := number.float32(s[i:end])
		if !ok {
			return d.badAxis(first, axis, event.InvalidNumber, i), end
		}
		*to = value
		d.current.event.Has |= axisFlag(axis)
		return "", end
	}
	return d.setAxisText(first, axis, i, to)
}

// setAxisText reads one coordinate that is no plain number.
func (d *decoding) setAxisText(first, axis field, i int, to *float32) (code event.Code, end int) {
	e := d.current.event
	e.Has &^= axisFlag(axis)
	number, literal, present, code, end := numberAt(d.text, i)
	switch {
	case end < 0:
		return "", end
	case code != "":
		return d.badAxis(first, axis, code, i), end
	case !present:
		return "", end
	}
	value, ok := number.float32(literal)
	if !ok {
		return d.badAxis(first, axis, event.InvalidNumber, i), end
	}
	*to = value
	e.Has |= axisFlag(axis)
	return "", end
}

// badAxis does the same from a coordinate's point of view.
func (d *decoding) badAxis(first, axis field, code event.Code, at int) event.Code {
	whole := fieldPosition
	if first == fieldPitch {
		whole = fieldRotation
	}
	return d.axisFault(whole, axis, code, at)
}
