package crashpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// constants returns the points that point.go declares, by their Go names.
func constants(t *testing.T) map[string]Point {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "point.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]Point{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Names) != 1 || len(value.Values) != 1 {
				t.Fatalf("%v declares something other than one point", spec)
			}
			name := value.Names[0].Name
			if doc := value.Doc.Text() + group.Doc.Text(); !strings.HasPrefix(doc, name+" is ") && !strings.Contains(doc, "\n"+name+" is ") {
				t.Errorf("%s has no comment that says where it is", name)
			}
			literal, ok := value.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no literal", name)
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[name] = Point(text)
		}
	}
	return declared
}

func TestAll_ListsEveryPointOnce(t *testing.T) {
	t.Parallel()
	var declared []Point
	for name, p := range constants(t) {
		declared = append(declared, p)
		if spelled := strings.ReplaceAll(string(p), "-", ""); spelled != strings.ToLower(name) {
			t.Errorf("%s is spelled %q", name, p)
		}
	}
	slices.Sort(declared)
	listed := slices.Sorted(slices.Values(All()))
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("declared in point.go (-), listed by All (+):\n%s", diff)
	}
}

// A point that is nowhere never fires, and a fault run that waits for it finds
// nothing; one that is in two places says nothing about either.
func TestPoints_AreEachInOnePlace(t *testing.T) {
	t.Parallel()
	used := map[string][]string{}
	call := regexp.MustCompile(`crashpoint\.At\(crashpoint\.(\w+)\)`)
	mention := regexp.MustCompile(`crashpoint\.[A-Z]\w*`)
	root := os.DirFS("../..")
	for _, top := range []string{"cmd", "internal"} {
		err := fs.WalkDir(root, top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.Contains(path, "internal/crashpoint/") {
				return err
			}
			text, err := fs.ReadFile(root, path)
			if err != nil {
				return err
			}
			calls := call.FindAllSubmatch(text, -1)
			for _, c := range calls {
				used[string(c[1])] = append(used[string(c[1])], path)
			}
			if mentions := mention.FindAll(text, -1); len(mentions) != 2*len(calls) {
				t.Errorf("%s uses this package otherwise than by crashpoint.At(crashpoint.Name)", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	declared := constants(t)
	for name := range declared {
		if places := used[name]; len(places) != 1 {
			t.Errorf("%s is in %d places: %v", name, len(places), places)
		}
	}
	for name, places := range used {
		if _, ok := declared[name]; !ok {
			t.Errorf("%v: crashpoint.%s is not declared in point.go", places, name)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, p := range All() {
		if got, n, err := parse(Variable, p.Nth(7)); got != p || n != 7 || err != nil {
			t.Errorf("parse(%q) = %q, %d, %v", p.Nth(7), got, n, err)
		}
	}
	for _, bad := range []string{"worker-committed", "worker-committed:", "worker-committed:0", "worker-committed:-1", "nowhere:1", ":1", "worker-committed:1:2"} {
		if got, n, err := parse(Variable, bad); err == nil {
			t.Errorf("parse(%q) = %q, %d and no error", bad, got, n)
		}
	}
}
