package unreal

// The functions of this file read JSON text as RFC 8259 states it, nothing
// more lenient. They are pure and take and return positions, so that the
// compiler keeps their state in registers. Where the text breaks the grammar
// they return ^position, which is negative: a caller passes it on unchanged and
// the edge of the package turns it into a sentence, once; see [describeBreak].

// marks are what a scan noticed on its way without stopping. They decide later
// whether a value can be stored; an unstorable value in a member that nobody
// stores harms nobody.
type marks uint8

const (
	// markEscape is a string with a backslash: its bytes are not its text.
	markEscape marks = 1 << iota
	// markBeyondASCII is a string with bytes that must still prove to be UTF-8.
	markBeyondASCII
	// markText is an escape that PostgreSQL cannot hold: NUL or a lone surrogate.
	markText
	// markNumber is a number beyond what we let into jsonb.
	markNumber
	// markDepth is nesting beyond the depth allowed.
	markDepth
)

// Classes of bytes within a string.
const (
	bytePlain = iota
	byteQuote
	byteBackslash
	byteBeyondASCII
	byteControl
)

var stringBytes = func() (table [256]uint8) { //nolint:gochecknoglobals // a table that never changes
	for c := range table {
		switch {
		case c < ' ':
			table[c] = byteControl
		case c >= 0x80:
			table[c] = byteBeyondASCII
		}
	}
	table['"'], table['\\'] = byteQuote, byteBackslash
	return table
}()

// skipSpace returns the position of the next byte that is not white space.
func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	return i
}

// scanString finds the closing quote of the string whose first byte behind the
// opening quote is at i: the content is s[i:end].
func scanString(s string, i int) (end int, m marks) {
	for {
		for i < len(s) && stringBytes[s[i]] == bytePlain {
			i++
		}
		if i >= len(s) {
			return ^len(s), m
		}
		switch stringBytes[s[i]] {
		case byteQuote:
			return i, m
		case byteBeyondASCII:
			m |= markBeyondASCII
			i++
		case byteBackslash:
			var escape marks
			if i, escape = scanEscape(s, i); i < 0 {
				return i, m
			}
			m |= escape | markEscape
		default:
			return ^i, m
		}
	}
}

// scanEscape reads the escape whose backslash is at i; the two halves of a
// surrogate pair count as one.
func scanEscape(s string, i int) (next int, m marks) {
	if i+1 >= len(s) {
		return ^len(s), 0
	}
	switch s[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, 0
	case 'u':
	default:
		return ^(i + 1), 0
	}
	unit, next := hexUnit(s, i+2)
	switch {
	case next < 0:
		return next, 0
	case unit == 0, isLowSurrogate(unit):
		return next, markText
	case !isHighSurrogate(unit):
		return next, 0
	}
	// What follows a high half is read again by the caller if it is no low half,
	// so its own mistakes are found there.
	if next+1 < len(s) && s[next] == '\\' && s[next+1] == 'u' {
		if low, behind := hexUnit(s, next+2); behind >= 0 && isLowSurrogate(low) {
			return behind, 0
		}
	}
	return next, markText
}

// UTF-16 writes what is beyond its 16 bits as a high half and a low half.

func isHighSurrogate(unit rune) bool { return unit >= 0xd800 && unit < 0xdc00 }

func isLowSurrogate(unit rune) bool { return unit >= 0xdc00 && unit < 0xe000 }

// hexUnit reads four hexadecimal digits.
func hexUnit(s string, i int) (unit rune, next int) {
	for range 4 {
		if i >= len(s) {
			return 0, ^len(s)
		}
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			unit = unit<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			unit = unit<<4 | rune(c-'A'+10)
		default:
			return 0, ^i
		}
		i++
	}
	return unit, i
}

// scanMember reads a member's name and the colon behind it. A quote must be at
// i; the name is s[i+1:nameEnd] and its value begins at value.
func scanMember(s string, i int) (nameEnd, value int, m marks) {
	if i >= len(s) || s[i] != '"' {
		return 0, ^i, 0
	}
	nameEnd, m = scanString(s, i+1)
	if nameEnd < 0 {
		return 0, nameEnd, m
	}
	i = nameEnd + 1
	if i < len(s) && s[i] != ':' {
		i = skipSpace(s, i)
	}
	if i >= len(s) || s[i] != ':' {
		return 0, ^i, m
	}
	return nameEnd, skipSpace(s, i+1), m
}

// scanSeparator reads what follows a value: a comma, behind which more is true
// and next is where the next element begins, or the closing bracket.
func scanSeparator(s string, i int, closing byte) (next int, more bool) {
	i = skipSpace(s, i)
	if i >= len(s) {
		return ^len(s), false
	}
	switch s[i] {
	case ',':
		return skipSpace(s, i+1), true
	case closing:
		return i + 1, false
	}
	return ^i, false
}

// scanLiteral reads true, false or null.
func scanLiteral(s string, i int) (end int) {
	word := "null"
	switch s[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
	default:
		return ^i
	}
	for k := range len(word) {
		if i+k >= len(s) {
			return ^len(s)
		}
		if s[i+k] != word[k] {
			return ^i
		}
	}
	return i + len(word)
}

// scanValue reads one value of any kind; depth is how many levels of nesting
// it may have before markDepth is set. It does not recurse: the kinds of the
// open brackets are single bits, so nesting a megabyte deep costs an eighth of
// that and no stack.
func scanValue(s string, i, depth int) (end int, m marks) {
	var open brackets
	for {
		if i >= len(s) {
			return ^len(s), m
		}
		var value marks
		if c := s[i]; c == '{' || c == '[' {
			open.push(c == '{')
			if open.count > depth {
				m |= markDepth
			}
			i = skipSpace(s, i+1)
			// '}' and ']' lie two behind their opening brackets.
			if i >= len(s) || s[i] != c+2 {
				if i, value = open.enter(s, i); i < 0 {
					return i, m
				}
				m |= value
				continue
			}
			open.pop()
			i++
		} else {
			if i, value = scanScalarValue(s, i); i < 0 {
				return i, m
			}
			m |= value
		}
		for more := false; !more; {
			if open.count == 0 {
				return i, m
			}
			closing := byte(']')
			if open.inObject() {
				closing = '}'
			}
			if i, more = scanSeparator(s, i, closing); i < 0 {
				return i, m
			}
			if !more {
				open.pop()
			}
		}
		if i, value = open.enter(s, i); i < 0 {
			return i, m
		}
		m |= value
	}
}

// scanScalarValue reads a value that is no container.
func scanScalarValue(s string, i int) (end int, m marks) {
	switch c := s[i]; {
	case c == '"':
		if end, m = scanString(s, i+1); end >= 0 {
			end++
		}
		return end, m
	case c == '-' || c-'0' <= 9:
		var d decimal
		if d, end = scanNumber(s, i); end >= 0 && !d.storable(end-i) {
			m = markNumber
		}
		return end, m
	}
	return scanLiteral(s, i), 0
}

// brackets are the containers open at a position, innermost last: a stack of
// bits, of which the newest 64 lie in a word.
type brackets struct {
	count   int
	newest  uint64
	earlier []uint64
}

// push opens a container.
func (b *brackets) push(object bool) {
	if b.count > 0 && b.count%64 == 0 {
		b.earlier = append(b.earlier, b.newest)
	}
	b.newest <<= 1
	if object {
		b.newest |= 1
	}
	b.count++
}

// pop closes the innermost one.
func (b *brackets) pop() {
	b.newest >>= 1
	b.count--
	if last := len(b.earlier) - 1; last >= 0 && b.count%64 == 0 {
		b.newest, b.earlier = b.earlier[last], b.earlier[:last]
	}
}

// inObject reports whether the innermost one is an object.
func (b *brackets) inObject() bool { return b.newest&1 == 1 }

// enter moves to the next value of the innermost container: in an object past
// the member's name.
func (b *brackets) enter(s string, i int) (value int, m marks) {
	if !b.inObject() {
		return i, 0
	}
	_, value, m = scanMember(s, i)
	return value, m
}
