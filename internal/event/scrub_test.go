package event

import (
	"strings"
	"testing"
	"unicode/utf8"
)

const scrubSecret = "0123456789abcdefghjkmnpqrstvwxyz01234567zz"

// rule 8: no key is kept in the clear.
func TestScrub(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", `{"a":"nothing"}`, `{"a":"nothing"}`},
		{"prefix only", "nxr_", "nxr_"},
		{"no key", "nxr_engine_dev_a", "nxr_engine_dev_a"},
		{"no id", "nxr_dev__a", "nxr_dev__a"},
		{"id only", "nxr_dev_0123456789", "nxr_dev_0123456789"},
		{"id and underscore", "nxr_dev_0123456789_", "nxr_dev_0123456789_"},
		{"development", "nxr_dev_0123456789_" + scrubSecret, "nxr_dev_0123456789_***"},
		{"staging", "nxr_stg_0123456789_" + scrubSecret, "nxr_stg_0123456789_***"},
		{"production in JSON", `{"k":"nxr_prod_0123456789_` + scrubSecret + `","b":1}`, `{"k":"nxr_prod_0123456789_***","b":1}`},
		{"two", "nxr_dev_a_b nxr_dev_c_" + scrubSecret + ".", "nxr_dev_a_* nxr_dev_c_***."},
		{"glued", "nxr_dev_a_nxr_prod_0123456789_" + scrubSecret, "nxr_dev_a_***"},
		{"prefix twice", "nxr_nxr_prod_0123456789_" + scrubSecret, "nxr_nxr_prod_0123456789_***"},
		{"prefix as id", "nxr_dev_nxr_prod_0123456789_" + scrubSecret, "nxr_dev_nxr_***"},
		{"cut", "nxr_prod_0123456789_0123", "nxr_prod_0123456789_***"},
		{"underscore lost", "nxr_prod_0123456789" + scrubSecret, "nxr_prod_0123456789***"},
		{"in capitals", "nxr_prod_0123456789_" + strings.ToUpper(scrubSecret), "nxr_prod_0123456789_***"},
		{"scrubbed", "nxr_prod_0123456789_***", "nxr_prod_0123456789_***"},
	} {
		if got := Scrub(test.in); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestScrub_CostsNothingWithoutAKey(t *testing.T) { //nolint:paralleltest // it counts allocations
	s := strings.Repeat(`{"zone_name":"kitchen"},`, 100)
	if n := testing.AllocsPerRun(10, func() { _ = Scrub(s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzScrub(f *testing.F) {
	for _, seed := range []string{"", "nxr_", "nxr_dev_", "nxr_dev_a_b", "é nxr_stg_a_", "\xff", "nxr_prod_0123456789"} {
		f.Add(seed, "")
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, s := range []string{before + after, before + "nxr_prod_0123456789_" + scrubSecret + after} {
			clean := Scrub(s)
			if Scrub(clean) != clean || len(clean) > len(s) || utf8.ValidString(s) != utf8.ValidString(clean) {
				t.Errorf("%q became %q", s, clean)
			}
			if !strings.Contains(before+after, scrubSecret) && strings.Contains(clean, scrubSecret) {
				t.Errorf("a secret survived: %q", clean)
			}
		}
	})
}
