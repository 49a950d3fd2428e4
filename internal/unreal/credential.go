package unreal

import (
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// What a client writes next to its events is stored; the key that it posts with
// must not be. Two nets hold it back: [event.Scrub] knows our own keys wherever
// they stand, and members whose name says that they are a credential lose their
// value whatever it is.

// longestCredential is the length of the longest name below.
const longestCredential = len("authorization")

// isCredential reports whether a member's name says that its value is secret.
// These are the parameters that [CanonicalQuery] leaves out, but for "key" and
// "appid": next to a "value", or as a build's name, both are plain data, and
// one of our own keys is found by its form.
func isCredential(name string) bool {
	var folded [longestCredential]byte
	n := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_', c == '-', c == '.', c == ' ':
			continue
		case n == len(folded):
			return false
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		folded[n] = c
		n++
	}
	switch string(folded[:n]) {
	case "accesstoken", "apikey", "apisecret", "auth", "authorization", "authtoken", "bearer",
		"clientsecret", "jwt", "password", "secret", "sig", "signature", "token", "xapikey", "xapitoken":
		return true
	}
	return false
}

// nextCredential finds the value of the next member in s, at any depth, whose
// name says that it is secret; start is negative when there is none. s is JSON
// that may be cut off: what is cut within a value is all of it.
func nextCredential(s string, i int) (start, end int) {
	for {
		quote := strings.IndexByte(s[i:], '"')
		if quote < 0 {
			return -1, -1
		}
		i += quote + 1
		nameEnd, m := scanString(s, i)
		if nameEnd < 0 {
			return -1, -1
		}
		name := s[i:nameEnd]
		i = skipSpace(s, nameEnd+1)
		if i >= len(s) || s[i] != ':' {
			continue
		}
		i = skipSpace(s, i+1)
		if !isCredential(memberName(name, m)) {
			continue
		}
		if end, _ = scanValue(s, i, 0); end < 0 {
			end = len(s)
		}
		return i, end
	}
}

// hasCredential reports whether there is such a member in s.
func hasCredential(s string) bool {
	start, _ := nextCredential(s, 0)
	return start >= 0
}

// maskCredentials returns s with the values of such members replaced.
func maskCredentials(s string) string {
	start, end := nextCredential(s, 0)
	if start < 0 {
		return s
	}
	var masked strings.Builder
	done := 0
	for start >= 0 {
		masked.WriteString(s[done:start])
		masked.WriteString(maskFor(end - start))
		done = end
		start, end = nextCredential(s, end)
	}
	masked.WriteString(s[done:])
	return masked.String()
}

// maskFor returns a JSON value that says nothing and is no longer than the one
// it stands for, so that no limit is passed.
func maskFor(length int) string {
	switch {
	case length >= len(`"***"`):
		return `"***"`
	case length >= len(`""`):
		return `""`
	case length == 1:
		return "0"
	}
	return ""
}

// scrub takes credentials out of everything that the batch will have stored.
// Escapes can hide a key's prefix from the look at the whole body, but not from
// the fields, which were unescaped.
func (d *decoding) scrub() {
	b := d.batch
	for k := range b.Rejected {
		r := &b.Rejected[k]
		r.Raw = event.Scrub(cut(maskCredentials(r.Raw), d.limits.EventBytes))
		r.Detail = event.Scrub(r.Detail)
		r.Field = event.Scrub(r.Field)
	}
	if !strings.Contains(d.text, "nxr_") && !strings.Contains(d.text, `\u`) {
		return
	}
	for k := range b.Sessions {
		b.Sessions[k].ClientID = event.Scrub(b.Sessions[k].ClientID)
	}
	for k := range b.Events {
		e := &b.Events[k]
		for _, text := range [...]*string{&e.Zone, &e.Object, &e.Target, &e.Action, &e.Name, &e.Props} {
			*text = event.Scrub(*text)
		}
	}
	if r := b.Report; r != nil {
		for _, text := range [...]*string{&r.CustomerID, &r.PropertyID, &r.Device, &r.Props} {
			*text = event.Scrub(*text)
		}
	}
}
