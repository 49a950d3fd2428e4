package patch

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const example = `# forgets to greet; TestGreet
--- a/greet.go
+++ b/greet.go
@@ -2,3 +2,2 @@
 two
-three
 four
`

func TestParse(t *testing.T) {
	t.Parallel()
	m, err := parse(example)
	if err != nil {
		t.Fatal(err)
	}
	want := Patch{
		Breaks: "forgets to greet", NoticedBy: "TestGreet",
		files: []file{{path: "greet.go", hunks: []hunk{{
			line: 2, before: []string{"two", "three", "four"}, after: []string{"two", "four"},
		}}}},
	}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(Patch{}, file{}, hunk{})); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
}

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no first line":        strings.TrimPrefix(example, "# forgets to greet; TestGreet\n"),
		"no test named":        strings.Replace(example, "; TestGreet", "", 1),
		"nothing changed":      "# nothing; TestNothing\n",
		"a hunk that is short": strings.TrimSuffix(example, " four\n"),
		"a path that leaves":   strings.ReplaceAll(example, "b/greet.go", "b/../greet.go"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m, err := parse(text); err == nil {
				t.Errorf("parse accepted it: %+v", m)
			}
		})
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	m, err := parse(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, want string }{
		{"as made", "one\ntwo\nthree\nfour\n", "one\ntwo\nfour\n"},
		{"moved", "zero\n\n\none\ntwo\nthree\nfour\n", "zero\n\n\none\ntwo\nfour\n"},
		{"nearest of two", "two\nthree\nfour\n-\n-\n-\ntwo\nthree\nfour\n", "two\nfour\n-\n-\n-\ntwo\nthree\nfour\n"},
	} {
		got, err := m.files[0].apply(test.text)
		if err != nil || got != test.want {
			t.Errorf("%s: apply(%q) = %q, %v, want %q", test.name, test.text, got, err, test.want)
		}
	}
	if got, err := m.files[0].apply("one\ntwo\n3\nfour\n"); err == nil {
		t.Errorf("apply to a file that it does not fit = %q, want an error", got)
	}
}

// A patch that no longer fits is found here, in milliseconds, by whoever moved
// the code, instead of by the next run of all mutants.
func TestPatchesFitTheTree(t *testing.T) {
	t.Parallel()
	patches, err := Load("..", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patches {
		if _, err := p.Overlay(filepath.Join("..", "..", ".."), t.TempDir()); err != nil {
			t.Errorf("%s/%s: %v", p.Pkg, p.Name, err)
		}
	}
}
