package unreal

import "github.com/nexero-vr/nexero/internal/event"

// timeForm is how a client wrote a time. Only numbers can have been rounded to
// a 32-bit float on their way.
type timeForm uint8

const (
	// formText is a date, or a number in quotes: exact.
	formText timeForm = iota
	// formSeconds is a JSON number of Unix seconds.
	formSeconds
	// formMillis is a JSON number of Unix milliseconds.
	formMillis
	// formFine is a JSON number of microseconds or of ticks.
	formFine
)

// ticksEpoch is 1970-01-01 in Unreal's FDateTime ticks, divided by ten: the
// microseconds since year 1.
const ticksEpoch = 62_135_596_800_000_000

// Orders of magnitude tell the units of a numeric time apart. Seconds stay
// below 12 digits until the year 5138, and a time in milliseconds, microseconds
// or ticks has had more digits than the unit before since 1973, 1973 and the
// year 318.
const (
	secondsDigits = 11
	millisDigits  = 14
	microsDigits  = 17
	ticksDigits   = 19
)

// micros converts a numeric time: Unix seconds, milliseconds, microseconds or
// FDateTime ticks, by magnitude. What is below a microsecond is rounded.
func (d decimal) micros() (at event.Micros, form timeForm, ok bool) {
	// Nearly every client sends seconds with at most six decimals.
	if scale := -d.exponent; scale >= 0 && scale <= 6 && !d.negative && d.mantissa < 1e11*powers[scale] {
		return event.Micros(d.mantissa * powers[6-scale]), formSeconds, true
	}
	shift := int(d.exponent)
	digits := shift + digitsOf(d.mantissa)
	form = formFine
	switch {
	case d.mantissa == 0:
		return 0, formSeconds, true
	case digits <= secondsDigits:
		form = formSeconds
		shift += 6
	case digits <= millisDigits:
		form = formMillis
		shift += 3
	case digits <= microsDigits:
	case digits <= ticksDigits && !d.negative:
		magnitude, fits := scaled(d.mantissa, shift-1)
		value, fits := d.signed(magnitude, fits)
		return inCalendar(value-ticksEpoch, form, fits)
	default:
		return 0, form, false
	}
	magnitude, fits := scaled(d.mantissa, shift)
	value, fits := d.signed(magnitude, fits)
	return inCalendar(value, form, fits)
}

// inCalendar refuses times that timestamptz and Go do not both have.
func inCalendar(value int64, form timeForm, fits bool) (event.Micros, timeForm, bool) {
	at := event.Micros(value)
	return at, form, fits && at >= event.Earliest && at <= event.Latest
}

// digitsOf returns the number of decimal digits of n.
func digitsOf(n uint64) int {
	digits := 0
	for digits < len(powers) && n >= powers[digits] {
		digits++
	}
	return digits
}

// Steps to which a 32-bit float rounds today's Unix times: 24 bits are left for
// a number of 31, or of 41.
const (
	secondsStep = 128 * 1_000_000
	millisStep  = 131_072 * 1_000
)

// coarse reports whether at looks like a time that went through a 32-bit
// float, as a VaRest number does. Two events minutes apart can then carry the
// same time, so equal bytes are no proof of a retry.
func coarse(at event.Micros, form timeForm) bool {
	switch form {
	case formSeconds:
		return at%secondsStep == 0
	case formMillis:
		return at%millisStep == 0
	default:
		return false
	}
}

// doubt returns how far a time may lie from the one that the client meant: half
// a step for one that a 32-bit float rounded.
func doubt(at event.Micros, form timeForm) event.Micros {
	switch {
	case !coarse(at, form):
		return 0
	case form == formMillis:
		return millisStep / 2
	default:
		return secondsStep / 2
	}
}

// timeAt reads the time that begins at i, in any form. present is false for
// null and the empty string. ok is false for a value that is no time; end is
// behind it all the same.
func timeAt(s string, i int) (at event.Micros, form timeForm, present, ok bool, end int) {
	if i < len(s) && (s[i]-'0' <= 9 || s[i] == '-') {
		d, end := scanNumber(s, i)
		if end < 0 {
			return 0, 0, true, false, end
		}
		at, form, ok = d.micros()
		return at, form, true, ok, end
	}
	v, end := scalarAt(s, i)
	switch v.kind {
	case kindAbsent:
		return 0, 0, false, true, end
	case kindString:
		at, ok = timeOf(v.text)
		return at, formText, true, ok, end
	default:
		return 0, 0, true, false, end
	}
}
