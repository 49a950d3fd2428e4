package unreal

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Unreal's file helper writes UTF-16 with a byte order mark as soon as a text
// leaves ASCII, and projects post such files as they are. Strings of C bring
// NULs at their end. Both are undone here, so that the readers see UTF-8.

// Byte order marks.
const (
	markUTF8    = "\xef\xbb\xbf"
	markUTF16LE = "\xff\xfe"
	markUTF16BE = "\xfe\xff"
)

// plainText returns the body as UTF-8, from its opening brace to its last
// byte that means something. The error is for bodies that need no reading to
// be refused.
func plainText(body string) (string, error) {
	text, whole := transcode(body)
	text = strings.TrimRight(text, " \t\r\n\x00")
	start := skipSpace(text, 0)
	switch {
	case !whole:
		return "", &BodyError{
			Code: CodeInvalidEncoding, Offset: int64(len(body)),
			Detail: fmt.Sprintf("the body is UTF-16 and ends within a character, after %d bytes", len(body)),
		}
	case start == len(text):
		return "", &BodyError{
			Code: CodeEmptyBody,
			Detail: "the body is empty; with VaRest, set the request's content type to JSON: " +
				"its default sends the fields in the query string and no body",
		}
	case text[start] == '{':
		return text, nil
	}
	return "", notAnObject(body, text, start)
}

// notAnObject tells a JSON value of another kind from text that is no JSON.
func notAnObject(body, text string, start int) *BodyError {
	end, _ := scanValue(text, start, 0)
	if end >= 0 && end != len(text) {
		end = ^skipSpace(text, end)
	}
	if end >= 0 {
		e := &BodyError{
			Code: CodeNotAnObject, Offset: int64(start),
			Detail: fmt.Sprintf("the body is %s, it must be a JSON object", kindName(text[start])),
		}
		return e.located(body, text)
	}
	e := describeBreak(text, ^end)
	if key, _, found := strings.Cut(text, "="); found && !strings.ContainsAny(key, "{[\" ") {
		e.Detail += "; it looks like form fields: set the content type to JSON"
	}
	return e.located(body, text)
}

// kindName names a value of JSON by its first byte.
func kindName(first byte) string {
	switch first {
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}

// transcode returns body as UTF-8 without its byte order mark. A body without
// one is UTF-16 when one of its first two bytes is NUL: JSON begins with ASCII.
// whole is false when UTF-16 ends within a character.
func transcode(body string) (text string, whole bool) {
	text, low, wide := encodingOf(body)
	if !wide {
		return text, true
	}
	if len(text)%2 == 1 {
		// The end of a C string is no half of a character.
		if text[len(text)-1] != 0 {
			return "", false
		}
		text = text[:len(text)-1]
	}
	// A unit of two bytes takes at most three in UTF-8; most take one.
	out := make([]byte, 0, len(text)/2+len(text)/8)
	for i := 0; i < len(text); i += 2 {
		unit := unitAt(text, i, low)
		if isHighSurrogate(unit) && i+3 < len(text) {
			if second := unitAt(text, i+2, low); isLowSurrogate(second) {
				out = utf8.AppendRune(out, utf16.DecodeRune(unit, second))
				i += 2
				continue
			}
		}
		if isHighSurrogate(unit) || isLowSurrogate(unit) {
			// Bytes that are no UTF-8, so that whoever holds them is refused rather
			// than changed.
			out = append(out, 0xe0|byte(unit>>12), 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
			continue
		}
		out = utf8.AppendRune(out, unit)
	}
	return string(out), true
}

// encodingOf strips the byte order mark and says what the rest is: low is the
// position of a unit's low byte in UTF-16, wide says that it is UTF-16.
func encodingOf(body string) (text string, low int, wide bool) {
	switch {
	case strings.HasPrefix(body, markUTF8):
		return body[len(markUTF8):], 0, false
	case strings.HasPrefix(body, markUTF16LE):
		return body[len(markUTF16LE):], 0, true
	case strings.HasPrefix(body, markUTF16BE):
		return body[len(markUTF16BE):], 1, true
	case len(body) >= 2 && body[0] != 0 && body[1] == 0:
		return body, 0, true
	case len(body) >= 2 && body[0] == 0 && body[1] != 0:
		return body, 1, true
	}
	return body, 0, false
}

// unitAt returns the UTF-16 unit at i, whose low byte comes first or second.
func unitAt(s string, i, low int) rune {
	return rune(s[i+low]) | rune(s[i+1-low])<<8
}

// offsetInBody translates a position in the UTF-8 text into one in the body.
func offsetInBody(body, text string, offset int) int64 {
	rest, _, wide := encodingOf(body)
	mark := len(body) - len(rest)
	if !wide {
		return int64(mark + offset)
	}
	units := 0
	for at := 0; at < min(offset, len(text)); units++ {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r > 0xffff:
			units++
		case r == utf8.RuneError && size == 1:
			// Half of a pair, which transcode wrote as three bytes that are no UTF-8.
			size = 3
		}
		at += size
	}
	return int64(mark + 2*units)
}
