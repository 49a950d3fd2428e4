package postgres

import "strings"

// storable returns s as text that PostgreSQL takes. The edge sends nothing
// else; but these texts explain a row or name its session, and a bad one must
// not cost the transaction that carries everybody else's events.
func storable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// repaired reports whether s may be what storable made of another text.
func repaired(s string) bool { return strings.ContainsRune(s, '\uFFFD') }
