package ingest

import (
	"net/url"
	"strings"

	"github.com/nexero-vr/nexero/internal/unreal"
)

// canonicalQuery returns a query for a batch's identity, without credentials.
// Of a pair that cannot be parsed, the text is taken as it came: what the
// parser would drop tells posts apart as well, and says what the client meant.
func canonicalQuery(raw string) string {
	values, err := url.ParseQuery(raw)
	if err == nil {
		return unreal.CanonicalQuery(values)
	}
	values = url.Values{}
	// A semicolon parted pairs once and may hide a credential behind it.
	for pair := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		values.Add(unescaped(name), unescaped(value))
	}
	return unreal.CanonicalQuery(values)
}

func unescaped(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}
