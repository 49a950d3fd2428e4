package ingest

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// FuzzQuoted compares the appender with the library: every text, however
// broken, becomes one JSON string that reads as that text.
func FuzzQuoted(f *testing.F) {
	for _, text := range []string{"", "plain", `"\`, "\x00\x1f\x7f", "\n\r\t", "äöü", "\u2028", "\xff\xfe", "a\xc3", "\U0001f3e0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := appendQuoted([]byte("before"), text)
		var got string
		if err := json.Unmarshal(quoted[len("before"):], &got); err != nil {
			t.Fatalf("%q became %s: %v", text, quoted, err)
		}
		if want := strings.ToValidUTF8(text, "\uFFFD"); utf8.ValidString(text) && got != want {
			t.Errorf("%q reads as %q", text, got)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q reads as %q", text, got)
		}
	})
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		part, whole int
		want        string
	}{
		{0, 0, "0.0"}, {0, 5, "0.0"}, {5, 5, "100.0"}, {2, 3, "66.7"}, {999, 1000, "99.9"}, {9999, 10_000, "99.9"}, {1, 10_000, "0.0"},
	} {
		o := newObject(nil)
		o.percent("p", tc.part, tc.whole)
		if got := string(o.end()); got != `{"p":`+tc.want+`}` {
			t.Errorf("%d of %d is %s, want %s", tc.part, tc.whole, got, tc.want)
		}
	}
}

// What is quoted from a request can be stored and shown.
func TestQuotable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		most int
		want string
	}{
		{"short", 10, "short"},
		{"0123456789", 10, "0123456789"},
		{"0123456789a", 10, "0123456789…"},
		{"ää", 3, "ä…"},
		{"a\x00b", 10, "a\uFFFDb"},
		{"a\xffb", 10, "a\uFFFDb"},
		{"\x80\x80\x80", 2, "…"},
	} {
		got := quotable(tc.text, tc.most)
		if got != tc.want || event.CheckText(got, 100) != "" {
			t.Errorf("%q is quoted as %q, want %q", tc.text, got, tc.want)
		}
	}
}
