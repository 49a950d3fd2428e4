package unreal

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// scalarKind is what a member's value turned out to be.
type scalarKind uint8

const (
	// kindAbsent is null or an empty string: clients send both for "not set".
	kindAbsent scalarKind = iota
	// kindString is text between quotes, already unescaped.
	kindString
	// kindNumber is a number; text is its literal.
	kindNumber
	// kindOther is true, false, an object or an array.
	kindOther
)

// scalar is a value as the typed fields want it.
type scalar struct {
	kind  scalarKind
	text  string
	marks marks
}

// scalarAt reads the value that begins at i. end is negative when the text
// breaks the grammar there.
func scalarAt(s string, i int) (v scalar, end int) {
	if i >= len(s) {
		return v, ^len(s)
	}
	switch c := s[i]; {
	case c == '"':
		end, m := scanString(s, i+1)
		if end < 0 {
			return v, end
		}
		v = scalar{kind: kindString, text: s[i+1 : end], marks: m}
		if m&markEscape != 0 {
			v.text = unescape(v.text)
		}
		if v.text == "" {
			v.kind = kindAbsent
		}
		return v, end + 1
	case c == '-' || c-'0' <= 9:
		_, end = scanNumber(s, i)
		if end < 0 {
			return v, end
		}
		return scalar{kind: kindNumber, text: s[i:end]}, end
	case c == '{' || c == '[':
		// Only the depth of what is skipped matters, and a container is wrong here
		// whatever its depth.
		end, _ = scanValue(s, i, 0)
		return scalar{kind: kindOther}, end
	case c == 'n':
		return v, scanLiteral(s, i)
	}
	return scalar{kind: kindOther}, scanLiteral(s, i)
}

// textAt reads a text field: a string, or a number whose digits are the text.
// code is empty when it fits; an absent value is the empty text.
func textAt(s string, i, maxBytes int) (text string, code event.Code, end int) {
	// A string without escapes, which nearly all are, shares the body's memory.
	if i < len(s) && s[i] == '"' {
		if end, m := scanString(s, i+1); end >= 0 && m == 0 {
			if text = s[i+1 : end]; len(text) > maxBytes {
				return "", event.TextTooLong, end + 1
			}
			return text, "", end + 1
		}
	}
	v, end := scalarAt(s, i)
	switch {
	case end < 0 || v.kind == kindAbsent:
		return "", "", end
	case v.kind == kindOther:
		return "", event.InvalidType, end
	case v.marks&markText != 0:
		return "", event.InvalidText, end
	}
	return v.text, event.CheckText(v.text, maxBytes), end
}

// numberAt reads a numeric field: a number, or a string that holds one.
// present is false for null and the empty string.
func numberAt(s string, i int) (d decimal, literal string, present bool, code event.Code, end int) {
	if i < len(s) && (s[i]-'0' <= 9 || s[i] == '-') {
		d, end = scanNumber(s, i)
		if end < 0 {
			return d, "", true, "", end
		}
		return d, s[i:end], true, "", end
	}
	v, end := scalarAt(s, i)
	switch v.kind {
	case kindAbsent:
		return d, "", false, "", end
	case kindString:
		d, literal, ok := decimalOf(v.text)
		if !ok {
			return d, "", true, event.InvalidNumber, end
		}
		return d, literal, true, "", end
	default:
		return d, "", true, event.InvalidType, end
	}
}

// unescape returns the text of a string's content, whose escapes scanString has
// approved. A lone surrogate becomes U+FFFD; its mark says so.
func unescape(content string) string {
	text := make([]byte, 0, len(content))
	for {
		plain := strings.IndexByte(content, '\\')
		if plain < 0 {
			return string(append(text, content...))
		}
		text = append(text, content[:plain]...)
		content = content[plain+1:]
		letter := content[0]
		content = content[1:]
		switch letter {
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			unit, _ := hexUnit(content, 0)
			content = content[4:]
			if isHighSurrogate(unit) && strings.HasPrefix(content, `\u`) {
				if low, _ := hexUnit(content, 2); isLowSurrogate(low) {
					unit = utf16.DecodeRune(unit, low)
					content = content[6:]
				}
			}
			// AppendRune writes U+FFFD for a surrogate that found no other half.
			text = utf8.AppendRune(text, unit)
		default:
			text = append(text, letter)
		}
	}
}
