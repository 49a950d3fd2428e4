package unreal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// Codes of a [BodyError] that are about the body as a whole. A session post can
// also fail with an [event.Code], such as invalid_timestamp.
const (
	// CodeEmptyBody is a body without a byte that is not white space.
	CodeEmptyBody = "empty_body"
	// CodeInvalidEncoding is a body that ends within a character of UTF-16.
	CodeInvalidEncoding = "invalid_encoding"
	// CodeInvalidJSON is a body that is not JSON.
	CodeInvalidJSON = "invalid_json"
	// CodeTruncatedBody is JSON that ends too early.
	CodeTruncatedBody = "truncated_body"
	// CodeNotAnObject is JSON that is no object.
	CodeNotAnObject = "not_an_object"
	// CodeMissingEvents is a batch without events.
	CodeMissingEvents = "missing_events"
	// CodeInvalidEvents is a batch whose events are no list.
	CodeInvalidEvents = "invalid_events"
	// CodeTooManyEvents is a batch with more events than the limits allow. It is
	// the one code that means 413.
	CodeTooManyEvents = "too_many_events"
	// CodeUnrecognisedBody is a session post of which we know no member.
	CodeUnrecognisedBody = "unrecognised_body"
)

// BodyError is a body that cannot be read. Nothing of it was stored.
type BodyError struct {
	// Code is the reason, for programs.
	Code string
	// Detail is the reason in a sentence, for people, and says where.
	Detail string
	// Field is the path of the member at fault, such as events[3].position.x;
	// empty when it is none.
	Field string
	// Offset is the position of the fault in the body as it was sent, in bytes.
	Offset int64
	// ReceivedKeys are the names of the body's members, as far as they could be
	// read; at most 32.
	ReceivedKeys []string
}

// Error returns the code and the detail.
func (e *BodyError) Error() string { return "unreal: " + e.Code + ": " + e.Detail }

// describeBreak explains why the text is no JSON at offset.
func describeBreak(s string, offset int) *BodyError {
	e := &BodyError{Offset: int64(offset)}
	e.Field, e.ReceivedKeys = pathTo(s, offset)
	where := ""
	if e.Field != "" {
		where = " in " + e.Field
	}
	if offset >= len(s) {
		e.Code = CodeTruncatedBody
		e.Detail = fmt.Sprintf("the body ends after %d bytes%s, before its JSON does: it was cut off", len(s), where)
		return e
	}
	e.Code = CodeInvalidJSON
	found, hint := describeToken(s[offset:])
	e.Detail = fmt.Sprintf("the body is no JSON at byte %d%s: unexpected %s%s", offset, where, found, hint)
	return e
}

// describeToken names what stands where JSON has no place for it, and guesses
// at what a hand-built body or a printf put there.
func describeToken(rest string) (found, hint string) {
	word := strings.ToLower(strings.TrimLeft(rest[:min(len(rest), 12)], "-+"))
	switch c := rest[0]; {
	case strings.HasPrefix(word, "nan"), strings.HasPrefix(word, "inf"):
		return excerpt(rest, 0), "; JSON has no such number, send null"
	case c == '\'':
		return "single quote", "; JSON has double quotes only"
	case c < ' ':
		return fmt.Sprintf("control character %#02x", c), "; within a string it must be escaped"
	case c-'0' <= 9:
		return excerpt(rest, 0), "; a decimal comma or a leading zero?"
	case c == '{':
		return "{", "; is a comma missing, or is this a second body?"
	case c >= utf8.RuneSelf:
		r, _ := utf8.DecodeRuneInString(rest)
		return strconv.QuoteRuneToASCII(r), ""
	}
	return excerpt(rest, 0), ""
}

// located moves the offset from the text that was read to the body as sent.
func (e *BodyError) located(body, text string) *BodyError {
	if e.Offset > 0 {
		e.Offset = offsetInBody(body, text, int(e.Offset))
	}
	return e
}

// tooManyEvents is the refusal of a batch at its first event too many.
func tooManyEvents(limit, offset int) *BodyError {
	return &BodyError{
		Code: CodeTooManyEvents, Field: "events", Offset: int64(offset),
		Detail: fmt.Sprintf("the batch has more than %d events; send it in parts", limit),
	}
}

// Bounds of what an error quotes.
const (
	maxPathDepth   = 16
	maxKeys        = 32
	maxKeyBytes    = 64
	maxExcerpt     = 40
	maxNameInError = 64
)

// step is one container on the way to a member.
type step struct {
	name   string // of the member that is being read, in an object
	index  int    // of the element, in a list
	object bool
}

// pathTo names the member at offset, which must not lie behind the first fault
// of the text, and the names at the top that come before it. Up to there the
// text is JSON, so brackets, commas and colons outside strings tell the way.
func pathTo(s string, offset int) (path string, keys []string) {
	var steps []step
	depth := 0
	for i := skipSpace(s, 0); i < offset; i = skipSpace(s, i) {
		// Steps beyond maxPathDepth are counted and not kept.
		known := depth == len(steps) && depth > 0
		switch c := s[i]; c {
		case '{', '[':
			depth++
			if len(steps) < maxPathDepth {
				steps = append(steps, step{object: c == '{'})
			}
		case '}', ']':
			if depth--; depth < len(steps) {
				steps = steps[:max(depth, 0)]
			}
		case ',':
			if known {
				steps[depth-1].index++
				steps[depth-1].name = ""
			}
		case '"':
			end, _ := scanString(s, i+1)
			if end < 0 || end >= offset {
				return pathText(steps), keys
			}
			name := s[i+1 : end]
			i = skipSpace(s, end+1)
			if i >= offset || s[i] != ':' {
				continue
			}
			if known {
				steps[depth-1].name = plainName(name)
			}
			if depth == 1 && len(keys) < maxKeys {
				keys = append(keys, plainName(name))
			}
		}
		i++
	}
	return pathText(steps), keys
}

// pathText writes steps as events[3].position.x.
func pathText(steps []step) string {
	var b strings.Builder
	for _, at := range steps {
		switch {
		case !at.object:
			fmt.Fprintf(&b, "[%d]", at.index)
		case at.name != "" && b.Len() > 0:
			b.WriteString("." + at.name)
		default:
			b.WriteString(at.name)
		}
	}
	return b.String()
}

// receivedKeys returns the names at the top of a body that is JSON.
func receivedKeys(s string) []string {
	_, keys := pathTo(s, len(s))
	return keys
}

// plainName makes a member's name safe to show: printable ASCII, not too long.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, event.Scrub(cut(name, maxNameInError)))
}

// excerpt returns the value at i as an error may quote it.
func excerpt(s string, i int) string {
	end := i
	if s[i] == '"' {
		if closing, _ := scanString(s, i+1); closing >= 0 {
			end = closing + 1
		}
	} else {
		for end < len(s) && !strings.ContainsRune(",}] \t\r\n", rune(s[end])) {
			end++
		}
	}
	end = max(end, min(i+1, len(s)))
	if end-i <= maxExcerpt {
		return strconv.QuoteToASCII(event.Scrub(s[i:end]))
	}
	return strconv.QuoteToASCII(event.Scrub(cut(s[i:end], maxExcerpt))) + "…"
}

// cut shortens s to limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// verdict is why an event is rejected; without a code it is accepted.
type verdict struct {
	code   event.Code
	name   string
	detail string
}

// tooLargeVerdict rejects an event for its size.
func tooLargeVerdict(size, limit int) verdict {
	return verdict{event.EventTooLarge, "", fmt.Sprintf("the event has %d bytes, %d are allowed", size, limit)}
}

// futureVerdict rejects an event whose time the server has not reached.
func futureVerdict(at, received event.Micros) verdict {
	ahead := time.Duration(at-received) * time.Microsecond
	if at-received > event.Micros(time.Duration(1<<62)/time.Microsecond) {
		ahead = 1 << 62
	}
	return verdict{
		event.TimestampInFuture, "timestamp",
		fmt.Sprintf("the event lies %s after its receipt, %s are allowed", ahead.Round(time.Second), allowedSkew*time.Microsecond),
	}
}

// explain puts a code into a sentence about the member and its value.
func explain(code event.Code, name, value string) string {
	if value != "" {
		name += " " + value
	}
	switch code {
	case event.InvalidTimestamp:
		return name + " is no time in a known form, or outside the years 1 to 9999"
	case event.InvalidNumber:
		return name + " is no number within the range that is stored"
	case event.InvalidText:
		return name + " holds NUL, half a surrogate pair or bytes that are no UTF-8"
	case event.InvalidType:
		return name + " has the wrong JSON type"
	case event.TextTooLong:
		return name + " is too long"
	case event.EventTooDeep:
		return name + " is nested too deeply"
	case event.InvalidSession:
		return name + " is no session id: " + sessionRule
	case event.UnknownEventType:
		return name + " is not in the list of event types, which is closed for this tenant"
	default:
		return name + " cannot be stored"
	}
}
