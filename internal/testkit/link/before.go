package link

import (
	"net/url"
	"testing"
)

// Before opens a link before the server at address, a URL, and returns the URL
// that leads through it. The link is stopped when the test ends.
func Before(t testing.TB, address string) (l *Link, through string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = Open(t.Context(), u.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	if through, err = l.URL(address); err != nil {
		t.Fatal(err)
	}
	return l, through
}
