package unreal

import (
	"strings"
	"time"
)

// longestLength is the longest declared length that is believed. What is longer
// was a time of day, not a length: a client that never noted its start sends
// the hours since year 1.
const longestLength = 30 * 24 * time.Hour

// lengthAt reads the length at i: seconds as a number or as text, "M:SS",
// "H:MM:SS", or words such as "2m 45s". ok is false for anything else, which is
// kept as it was sent and means nothing.
func lengthAt(s string, i int) (length time.Duration, ok bool) {
	v, end := scalarAt(s, i)
	if end < 0 || v.kind == kindAbsent || v.kind == kindOther {
		return 0, false
	}
	if d, _, number := decimalOf(v.text); number {
		micros, fits := scaled(d.mantissa, int(d.exponent)+6)
		if !fits || d.negative {
			return 0, false
		}
		return believed(micros, time.Microsecond)
	}
	c := cursor{text: strings.TrimSpace(v.text)}
	read := c.words
	if strings.Contains(c.text, ":") {
		read = c.clock
	}
	seconds := read()
	if c.failed || c.at != len(c.text) {
		return 0, false
	}
	return believed(uint64(seconds), time.Second)
}

// believed multiplies; ok is false beyond the bound.
func believed(count uint64, unit time.Duration) (length time.Duration, ok bool) {
	if count > uint64(longestLength/unit) {
		return 0, false
	}
	return time.Duration(count) * unit, true
}

// lengthDigits is how many digits a part of a length may have: more are beyond
// longestLength, and three such parts cannot overflow.
const lengthDigits = 7

// clock reads M:SS or H:MM:SS; its first part may be any number.
func (c *cursor) clock() (seconds int64) {
	for parts := 1; ; parts++ {
		seconds = seconds*60 + c.digits(1, lengthDigits)
		if c.failed || !c.skip(':') {
			return seconds
		}
		c.failed = parts == 3
	}
}

// words reads numbers followed by h, m or s.
func (c *cursor) words() (seconds int64) {
	for !c.failed && c.at < len(c.text) {
		count := c.digits(1, lengthDigits)
		switch {
		case c.skip('h'):
			seconds += count * 3600
		case c.skip('m'):
			seconds += count * 60
		case c.skip('s'):
			seconds += count
		default:
			c.failed = true
		}
		c.spaces()
	}
	return seconds
}
