package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/security.md promises with tests; one that was renamed or removed is no
// promise.
func TestSecurity_NamesTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n### API")
	if len(sections) != 11 {
		t.Fatalf("%d points, want 10", len(sections)-1)
	}
	item := regexp.MustCompile("(?m)^- `((?:internal|test|cmd)/\\S+)` (.*)$")
	for i, section := range sections {
		named := item.FindAllStringSubmatch(section, -1)
		if i > 0 && len(named) == 0 {
			t.Errorf("API%d names no test", i)
		}
		for _, in := range named {
			have := testsOf(t, in[1])
			for test := range strings.SplitSeq(in[2], ", ") {
				if !strings.Contains(have, "\nfunc "+test+"(") {
					t.Errorf("%s has no %s", in[1], test)
				}
			}
		}
	}
}

// testsOf returns the text of all tests of a package.
func testsOf(t *testing.T, path string) string {
	t.Helper()
	tree := os.DirFS(root)
	files, err := fs.Glob(tree, path+"/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := fs.ReadFile(tree, file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
