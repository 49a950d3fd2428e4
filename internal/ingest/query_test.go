package ingest

import "testing"

// Queries that differ only in what cannot be parsed are not the same, and no
// credential stays in any. // rules 2, 8
func TestCanonicalQuery(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"b=2&a=1":                "a=1&b=2",
		"b=2&a=%zz":              "a=%25zz&b=2",
		"b=2&a=%zy":              "a=%25zy&b=2",
		"a=1;b=2":                "a=1&b=2",
		"a=%zz&api_key=S":        "a=%25zz",
		"a=%zz&API%2DKEY=S":      "a=%25zz",
		"a=%zz;token=S":          "a=%25zz",
		"password=%zz&a=b=c&d":   "a=b%3Dc&d=",
		"a=100%&session_id=t%20": "a=100%25&session_id=t+",
	} {
		if got := canonicalQuery(raw); got != want {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}
