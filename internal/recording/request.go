package recording

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Request is one recorded HTTP request.
type Request struct {
	// AtMS is when it was sent, in milliseconds from the start of the recording.
	AtMS int64 `json:"at_ms"`
	// Method is the HTTP method.
	Method string `json:"method"`
	// Path begins with a slash and may have a query.
	Path string `json:"path"`
	// Headers are those that matter; no key and no host among them.
	Headers map[string]string `json:"headers"`
	// Body is the exact bytes, which are UTF-8.
	Body string `json:"body"`
}

// SessionID is the first session id in the body as it is written there, or
// empty.
func (r Request) SessionID() string {
	if id, ok := nextSessionID(r.Body, 0); ok {
		return id.text
	}
	return ""
}

// header returns the value of a header, whatever the spelling of its name, as a
// server sees it. Of names that differ in spelling alone the first in order wins.
func (r Request) header(name string) string {
	for _, spelling := range slices.Sorted(maps.Keys(r.Headers)) {
		if strings.EqualFold(spelling, name) {
			return r.Headers[spelling]
		}
	}
	return ""
}

// check refuses what cannot be written to a recording and read back unchanged.
func (r Request) check() error {
	switch {
	case r.AtMS < 0:
		return fmt.Errorf("at_ms is %d", r.AtMS)
	case r.Method == "":
		return errors.New("method is missing")
	case !strings.HasPrefix(r.Path, "/"):
		return fmt.Errorf("path %q does not begin with a slash", r.Path)
	case !utf8.ValidString(r.Body):
		return errors.New("body is not UTF-8")
	default:
		return nil
	}
}

// endpoint tells what the request's path is for: what a client posts to, under
// any prefix, with or without a slash at the end.
func (r Request) endpoint() string {
	path, _, _ := strings.Cut(r.Path, "?")
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}
