package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	// maxLines is when a file surely has become two.
	maxLines = 600
	// maxMainLines bounds a service's main: configuration, run, no logic.
	maxMainLines = 80
)

// saysNothing are names that tell where code lies and not what it is for.
var saysNothing = regexp.MustCompile(`^(base|common|helpers?|managers?|misc|models?|shared|types|\w*utils?)$`)

// skips are the calls that skip, by the names that a test's parameter has.
var skips = regexp.MustCompile(`^(tb?|b|f)\.Skip(f|Now)?$`)

func TestSource_PackageNames(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if saysNothing.MatchString(p.Name) || saysNothing.MatchString(path.Base(p.path)) {
			t.Errorf("%s (package %s): a package is named by what it is for", p.path, p.Name)
		}
		if p.Name != "main" && p.Name != path.Base(p.path) {
			t.Errorf("%s holds package %s", p.path, p.Name)
		}
	}
}

func TestSource_Files(t *testing.T) {
	t.Parallel()
	mains := map[string]int{}
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		text := read(t, path)
		lines := bytes.Count(text, []byte("\n"))
		if lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: is it one thing?", path, lines, maxLines)
		}
		if dir := filepath.ToSlash(filepath.Dir(path)); strings.HasPrefix(dir, "cmd/") && dir != "cmd/nexero" && !strings.HasSuffix(path, "_test.go") {
			mains[dir] += lines
		}
		for _, decl := range parse(t, path, text).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: what it does belongs to who needs it", path)
			}
		}
	})
	for dir, lines := range mains {
		if lines > maxMainLines {
			t.Errorf("%s has %d lines, more than %d: logic belongs to its composition root", dir, lines, maxMainLines)
		}
	}
}

// A test that skips passes where it should fail, and one that sleeps is slow
// where it works and flaky where it does not. Inside a synctest bubble time is
// not real and sleeping is how it is moved.
func TestSource_TestsNeitherSkipNorSleep(t *testing.T) {
	t.Parallel()
	walk(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "internal/testkit/") {
			return
		}
		file := parse(t, path, read(t, path))
		inBubbles := imports(file, "testing/synctest")
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := selector.X.(*ast.Ident)
			if of == nil {
				return true
			}
			switch called := of.Name + "." + selector.Sel.Name; {
			case skips.MatchString(called):
				t.Errorf("%s calls %s: a missing dependency fails", path, called)
			case called == "testing.Short":
				t.Errorf("%s asks testing.Short: every test runs every time", path)
			case called == "time.Sleep" && !inBubbles:
				t.Errorf("%s sleeps: wait for what should happen", path)
			}
			return true
		})
	})
}

// imports reports whether file imports the package at path.
func imports(file *ast.File, path string) bool {
	for _, spec := range file.Imports {
		if spec.Path.Value == `"`+path+`"` {
			return true
		}
	}
	return false
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t *testing.T, path string, text []byte) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
