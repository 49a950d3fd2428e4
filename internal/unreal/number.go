package unreal

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// decimal is a number as it is written: (−1)^negative · mantissa · 10^exponent.
// Times and lengths are computed from it in integers, so what a client wrote is
// what is stored, to the last digit.
type decimal struct {
	mantissa uint64
	exponent int32
	negative bool
	// truncated says that the number has more than 19 significant digits, of
	// which mantissa holds the first 19.
	truncated bool
}

// exactDigits is how many digits of any value fit a uint64.
const exactDigits = 19

// maxExponent bounds an exponent as it is written, so that it cannot overflow.
const maxExponent = 1_000_000

// Bounds of a number within props. PostgreSQL's numeric takes 131,072 digits
// before the point and 16,383 behind it; nothing that a client measures comes
// near these, and a double printed in full still fits.
const (
	maxPropExponent = 400
	maxPropDigits   = 400
)

// powers are the powers of ten that fit a uint64.
var powers = func() (table [20]uint64) { //nolint:gochecknoglobals // a table that never changes
	p := uint64(1)
	for i := range table {
		table[i] = p
		p *= 10
	}
	return table
}()

// scanNumber reads the number that begins at i with a minus or a digit.
func scanNumber(s string, i int) (d decimal, end int) {
	begin := i
	if i < len(s) && s[i] == '-' {
		d.negative = true
		i++
	}
	first := i
	for i < len(s) && s[i]-'0' <= 9 {
		d.mantissa = d.mantissa*10 + uint64(s[i]-'0')
		i++
	}
	switch {
	case i == first && i >= len(s):
		return d, ^len(s)
	case i == first:
		// A minus alone, as in "-nan": the whole token is at fault.
		return d, ^begin
	case s[first] == '0' && i > first+1:
		return d, ^(first + 1)
	}
	digits := i - first
	if i < len(s) && s[i] == '.' {
		i++
		point := i
		for i < len(s) && s[i]-'0' <= 9 {
			d.mantissa = d.mantissa*10 + uint64(s[i]-'0')
			i++
		}
		if i == point {
			return d, ^i
		}
		digits += i - point
		d.exponent = int32(point - i)
	}
	if digits > exactDigits {
		d = d.readLong(s[first:i])
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		return d.scanExponent(s, i+1)
	}
	return d, i
}

// scanExponent reads what follows an e and adds it to what the point gave.
func (d decimal) scanExponent(s string, i int) (decimal, int) {
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	first, exponent := i, int32(0)
	for i < len(s) && s[i]-'0' <= 9 {
		exponent = min(exponent*10+int32(s[i]-'0'), maxExponent)
		i++
	}
	if i == first {
		return d, ^i
	}
	if negative {
		exponent = -exponent
	}
	d.exponent += exponent
	return d, i
}

// readLong reads digits, which may hold one point, of which there are too many
// for a uint64: leading zeros cost nothing, what follows the 19th digit is cut.
func (d decimal) readLong(digits string) decimal {
	d.mantissa, d.exponent = 0, 0
	kept, point := 0, false
	for k := range len(digits) {
		c := digits[k]
		switch {
		case c == '.':
			point = true
			continue
		case kept == exactDigits:
			d.truncated = d.truncated || c != '0'
			if !point {
				d.exponent++
			}
			continue
		}
		d.mantissa = d.mantissa*10 + uint64(c-'0')
		if d.mantissa != 0 {
			kept++
		}
		if point {
			d.exponent--
		}
	}
	return d
}

// decimalOf reads text that holds a number and nothing else but space around
// it and a plus before it: all attributes of Unreal's Blueprints are strings.
func decimalOf(text string) (d decimal, literal string, ok bool) {
	literal = strings.TrimPrefix(strings.TrimSpace(text), "+")
	if literal == "" || literal[0] != '-' && literal[0]-'0' > 9 {
		return decimal{}, "", false
	}
	d, end := scanNumber(literal, 0)
	return d, literal, end == len(literal)
}

// storable reports whether a number of so many bytes may go into jsonb.
func (d decimal) storable(length int) bool {
	return length <= maxPropDigits && d.exponent <= maxPropExponent && d.exponent >= -maxPropExponent
}

// scaled returns mantissa · 10^shift, a half rounded up. ok is false when that
// does not fit.
func scaled(mantissa uint64, shift int) (value uint64, ok bool) {
	switch {
	case mantissa == 0 || shift < -exactDigits:
		// 10^20 is beyond every mantissa's double, so the value rounds to 0.
		return 0, true
	case shift > exactDigits:
		return 0, false
	case shift >= 0:
		high, low := bits.Mul64(mantissa, powers[shift])
		return low, high == 0
	}
	divisor := powers[-shift]
	value, rest := mantissa/divisor, mantissa%divisor
	if rest >= divisor-rest {
		value++
	}
	return value, true
}

// rounded returns the nearest integer, a half away from zero. It is exact below
// 10^18, beyond every time and length.
func (d decimal) rounded() (value int64, ok bool) {
	magnitude, ok := scaled(d.mantissa, int(d.exponent))
	return d.signed(magnitude, ok)
}

// integer returns d's value when it is a whole number.
func (d decimal) integer() (value int64, ok bool) {
	exponent := int(d.exponent)
	if exponent < 0 && d.mantissa != 0 && (exponent < -exactDigits || d.mantissa%powers[-exponent] != 0) {
		return 0, false
	}
	magnitude, ok := scaled(d.mantissa, exponent)
	return d.signed(magnitude, ok && !d.truncated)
}

// signed puts the sign back.
func (d decimal) signed(magnitude uint64, ok bool) (int64, bool) {
	if !ok || magnitude > math.MaxInt64 {
		return 0, false
	}
	if d.negative {
		return -int64(magnitude), true
	}
	return int64(magnitude), true
}

// Powers of ten that floats hold exactly.
var (
	powers32 = [...]float32{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10} //nolint:gochecknoglobals // a table that never changes
	powers64 = [...]float64{                                                        //nolint:gochecknoglobals // a table that never changes
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
	}
)

// float32 returns the float32 nearest to d, which literal spells. ok is false
// when it is out of range.
func (d decimal) float32(literal string) (value float32, ok bool) {
	// Both operands are exact, so one IEEE division rounds correctly.
	if scale := int(-d.exponent); d.mantissa <= 1<<24 && scale >= 0 && scale < len(powers32) && !d.truncated {
		value = float32(d.mantissa) / powers32[scale]
		if d.negative {
			value = -value
		}
		return value, true
	}
	return d.float32Long(literal)
}

// float32Long goes through a float64. That rounds twice, which is wrong only
// when the float64 lies exactly between two float32; strconv decides then.
func (d decimal) float32Long(literal string) (value float32, ok bool) {
	const between, below = 1 << 28, 1<<29 - 1
	if scale := int(-d.exponent); d.mantissa <= 1<<53 && scale >= 0 && scale < len(powers64) && !d.truncated {
		wide := float64(d.mantissa) / powers64[scale]
		if math.Float64bits(wide)&below != between {
			if d.negative {
				wide = -wide
			}
			return float32(wide), true
		}
	}
	wide, err := strconv.ParseFloat(literal, 32)
	return float32(wide), err == nil
}
