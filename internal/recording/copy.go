package recording

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// ForCopy returns the request as copy n of the recording sends it. Copy 1 is the
// request itself. Every further copy is other traffic with the same content: its
// sessions have ids of their own, which depend on the recorded id and n alone, so
// that playing a copy again is a repeat of it.
//
// An id that is a GUID, in whatever spelling, becomes another GUID in the same
// spelling, and two spellings of one stay two spellings of one. Any other id gets
// "-copy<n>" appended. An Idempotency-Key gets the same, because it names a batch
// before its content does. A request without a session id is told apart by a
// query parameter copy=<n>.
func (r Request) ForCopy(n int) Request {
	if n <= 1 {
		return r
	}
	body, replaced := replaceSessionIDs(r.Body, n)
	r.Body = body
	r.Headers = maps.Clone(r.Headers)
	suffix := "-copy" + strconv.Itoa(n)
	for name, value := range r.Headers {
		if http.CanonicalHeaderKey(name) == "Idempotency-Key" {
			r.Headers[name] = value + suffix
		}
	}
	if !replaced {
		separator := "?"
		if strings.Contains(r.Path, "?") {
			separator = "&"
		}
		r.Path += separator + "copy=" + strconv.Itoa(n)
	}
	return r
}

// replaceSessionIDs gives the sessions in a JSON body other ids and leaves every
// other byte alone.
func replaceSessionIDs(body string, n int) (changed string, replaced bool) {
	var out strings.Builder
	end := 0 // of what is in out
	for {
		id, ok := nextSessionID(body, end)
		if !ok {
			break
		}
		out.WriteString(body[end:id.begin])
		out.WriteString(copyOfID(id.text, n))
		end = id.begin + len(id.text)
		replaced = true
	}
	if !replaced {
		return body, false
	}
	out.WriteString(body[end:])
	return out.String(), true
}

// foundID is a session id in a body.
type foundID struct {
	text  string
	begin int // of the text, behind its quotation mark
}

// nextSessionID finds the value of the next member session_id at or behind from
// that can be an id: a string without escapes, which an id has no use for, and
// not empty. It looks at bytes instead of parsing, since a body that cannot be
// parsed is played like any other; in JSON a quotation mark without a backslash
// before the name and a colon behind it make it a member.
func nextSessionID(body string, from int) (foundID, bool) {
	const member = `"session_id"`
	const blank = " \t\r\n"
	for {
		at := strings.Index(body[from:], member)
		if at < 0 {
			return foundID{}, false
		}
		at += from
		from = at + len(member)
		if at > 0 && body[at-1] == '\\' {
			continue
		}
		rest, ok := strings.CutPrefix(strings.TrimLeft(body[from:], blank), ":")
		if !ok {
			continue
		}
		rest, ok = strings.CutPrefix(strings.TrimLeft(rest, blank), `"`)
		if !ok {
			continue
		}
		text, _, ok := strings.Cut(rest, `"`)
		if !ok || text == "" || strings.ContainsRune(text, '\\') {
			continue
		}
		return foundID{text: text, begin: len(body) - len(rest)}, true
	}
}

// copyOfID is the id that copy n has in the place of id.
func copyOfID(id string, n int) string {
	prefix, guid := cutEngine(id)
	digits := guidDigits(guid)
	if digits == "" {
		return id + "-copy" + strconv.Itoa(n)
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(n))
	sum := sha256.Sum256(append(number[:], digits...))
	other := hex.EncodeToString(sum[:16])
	if guid == strings.ToUpper(guid) {
		other = strings.ToUpper(other)
	}
	out := []byte(guid)
	next := 0
	for i := range out {
		if isHex(out[i]) {
			out[i] = other[next]
			next++
		}
	}
	return prefix + string(out)
}

// cutEngine splits off what an engine puts before its id, as in "AnalyticsET@@".
func cutEngine(id string) (prefix, rest string) {
	if at := strings.LastIndex(id, "@@"); at >= 0 {
		return id[:at+2], id[at+2:]
	}
	return "", id
}

// guidDigits are the 32 digits of a GUID in lower case, or empty when text is
// none: dashes anywhere and brackets around it are its spelling.
func guidDigits(text string) string {
	digits := strings.ToLower(strings.ReplaceAll(strings.Trim(text, "{}() "), "-", ""))
	if len(digits) != 32 {
		return ""
	}
	for i := range len(digits) {
		if !isHex(digits[i]) {
			return ""
		}
	}
	return digits
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
