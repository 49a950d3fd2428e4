package unreal

import (
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// timeOf reads a time written as text:
//
//	1755265369.524                  any number that [decimal.micros] takes
//	2025-12-02T14:30:03.25+05:30    ISO 8601; Z, ±hh:mm, ±hhmm, ±hh or none (UTC)
//	2025-12-02 14:30:03             the same with a space
//	2025.12.02-14.30.03[.250]       Unreal's FDateTime
//	02-Dec-2025, 2:30:03 pm         what Unreal prints for a person, with or without
//	                                space before am or pm; without them a 24-hour clock
//
// ok is false for anything else and for dates that no calendar has.
func timeOf(text string) (at event.Micros, ok bool) {
	if d, _, number := decimalOf(text); number {
		at, _, ok = d.micros()
		return at, ok
	}
	c := cursor{text: strings.TrimSpace(text)}
	switch {
	case len(c.text) > 4 && c.text[4] == '-':
		at = c.iso()
	case len(c.text) > 4 && c.text[4] == '.':
		at = c.engine()
	default:
		at = c.spoken()
	}
	if c.failed || c.at != len(c.text) || at < event.Earliest || at > event.Latest {
		return 0, false
	}
	return at, true
}

// cursor reads a date piece by piece. The first piece that is not there marks
// it failed, so that a form is written as a list of its pieces.
type cursor struct {
	text   string
	at     int
	failed bool
}

// iso reads YYYY-MM-DD, T or a space, hh:mm[:ss[.f]] and an offset.
func (c *cursor) iso() event.Micros {
	days := c.date('-')
	if !c.skip('T') && !c.skip('t') {
		c.want(' ')
	}
	hour := c.digits(2, 2)
	c.want(':')
	minute := c.digits(2, 2)
	second, fraction := int64(0), int64(0)
	if c.skip(':') {
		second = c.digits(2, 2)
		if c.skip('.') || c.skip(',') {
			fraction = c.fraction()
		}
	}
	at := c.instant(days, hour, minute, second, fraction)
	c.spaces()
	if c.skip('Z') || c.skip('z') {
		return at
	}
	sign := int64(1)
	if !c.skip('+') {
		if !c.skip('-') {
			return at
		}
		sign = -1
	}
	hours, minutes := c.digits(2, 2), int64(0)
	if c.skip(':') || c.at < len(c.text) {
		minutes = c.digits(2, 2)
	}
	c.failed = c.failed || hours > 23 || minutes > 59
	return at - event.Micros(sign*(hours*3600+minutes*60)*1_000_000)
}

// engine reads what FDateTime::ToString writes.
func (c *cursor) engine() event.Micros {
	days := c.date('.')
	c.want('-')
	hour := c.digits(2, 2)
	c.want('.')
	minute := c.digits(2, 2)
	c.want('.')
	second, fraction := c.digits(2, 2), int64(0)
	if c.skip('.') {
		fraction = c.fraction()
	}
	return c.instant(days, hour, minute, second, fraction)
}

// spoken reads the form for people. Locales differ in the space before am and
// pm, which may be a no-break one or missing, and in case.
func (c *cursor) spoken() event.Micros {
	day := c.digits(1, 2)
	c.want('-')
	month := c.month()
	c.want('-')
	days := c.civil(c.digits(4, 4), month, day)
	if !c.skip(',') {
		c.failed = c.failed || c.at >= len(c.text) || !isSpace(c.text[c.at:])
	}
	c.spaces()
	hour := c.digits(1, 2)
	c.want(':')
	minute := c.digits(2, 2)
	c.want(':')
	second := c.digits(2, 2)
	c.spaces()
	if c.at < len(c.text) {
		half := c.text[c.at:]
		c.failed = c.failed || hour < 1 || hour > 12
		hour %= 12
		switch {
		case len(half) < 2 || half[1]|0x20 != 'm':
			c.failed = true
		case half[0]|0x20 == 'p':
			hour += 12
		case half[0]|0x20 != 'a':
			c.failed = true
		}
		c.at = min(c.at+2, len(c.text))
	}
	return c.instant(days, hour, minute, second, 0)
}

// want reads a byte that must be there.
func (c *cursor) want(b byte) {
	if !c.skip(b) {
		c.failed = true
	}
}

// skip reads a byte that may be there.
func (c *cursor) skip(b byte) bool {
	if c.at < len(c.text) && c.text[c.at] == b {
		c.at++
		return true
	}
	return false
}

// digits reads a number of least to most digits.
func (c *cursor) digits(least, most int) (value int64) {
	n := 0
	for ; n < most && c.at < len(c.text) && c.text[c.at]-'0' <= 9; n++ {
		value = value*10 + int64(c.text[c.at]-'0')
		c.at++
	}
	c.failed = c.failed || n < least
	return value
}

// fraction reads the digits behind a point as microseconds, rounded.
func (c *cursor) fraction() (micros int64) {
	n, half := 0, int64(0)
	for ; c.at < len(c.text) && c.text[c.at]-'0' <= 9; n++ {
		digit := int64(c.text[c.at] - '0')
		switch {
		case n < 6:
			micros = micros*10 + digit
		case n == 6 && digit >= 5:
			half = 1
		}
		c.at++
	}
	c.failed = c.failed || n == 0
	return micros*int64(powers[max(6-n, 0)]) + half
}

// month reads the first three letters of an English month's name.
func (c *cursor) month() int64 {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if c.at+3 > len(c.text) {
		c.failed = true
		return 0
	}
	at := strings.Index(names, strings.ToLower(c.text[c.at:c.at+3]))
	c.failed = c.failed || at < 0 || at%3 != 0
	c.at += 3
	return int64(at/3 + 1)
}

// spaces skips every kind of space that locales put into dates.
func (c *cursor) spaces() {
	for rest := c.text[c.at:]; isSpace(rest); rest = c.text[c.at:] {
		switch rest[0] {
		case ' ', '\t':
			c.at++
		case 0xc2:
			c.at += 2
		default:
			c.at += 3
		}
	}
}

// isSpace reports whether s begins with a space, also a no-break one, wide or
// narrow (U+00A0, U+202F), or a thin one (U+2009).
func isSpace(s string) bool {
	return s != "" && (s[0] == ' ' || s[0] == '\t' ||
		strings.HasPrefix(s, "\u00a0") || strings.HasPrefix(s, "\u202f") || strings.HasPrefix(s, "\u2009"))
}

// date reads year, month and day with separator between them.
func (c *cursor) date(separator byte) (days int64) {
	year := c.digits(4, 4)
	c.want(separator)
	month := c.digits(2, 2)
	c.want(separator)
	return c.civil(year, month, c.digits(2, 2))
}

// civil returns the days from 1970-01-01 to a day of the Gregorian calendar. It
// counts in years that begin in March, which puts the leap day at their end.
func (c *cursor) civil(year, month, day int64) (days int64) {
	lengths := [...]int64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	switch {
	case year < 1 || month < 1 || month > 12 || day < 1:
		c.failed = true
		return 0
	case day > lengths[month-1] && (!leap || month != 2 || day != 29):
		c.failed = true
		return 0
	}
	month -= 3
	if month < 0 {
		month, year = month+12, year-1
	}
	const daysFromYear0To1970 = 719_468 // from 0000-03-01
	return year*365 + year/4 - year/100 + year/400 + (month*153+2)/5 + day - 1 - daysFromYear0To1970
}

// instant puts a date and a time of day together; the 60th second of a leap
// minute is the first of the next.
func (c *cursor) instant(days, hour, minute, second, micros int64) event.Micros {
	c.failed = c.failed || hour > 23 || minute > 59 || second > 60
	return event.Micros((days*86_400+hour*3600+minute*60+second)*1_000_000 + micros)
}
