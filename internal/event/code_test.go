package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"
)

// declaredCodes reads the constants of code.go, so that one that was forgotten
// in the table shows.
func declaredCodes(t *testing.T) []Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Code
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok || len(value.Values) != 1 {
				t.Fatalf("a constant without a value of its own at %d", spec.Pos())
			}
			literal, ok := value.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no literal", value.Names[0])
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, Code(text))
		}
	}
	return declared
}

func TestCodes_ListIsClosed(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := make(map[Code]bool)
	for _, code := range declaredCodes(t) {
		if !code.Valid() || seen[code] || !form.MatchString(string(code)) {
			t.Errorf("%q: valid %v, twice %v", code, code.Valid(), seen[code])
		}
		seen[code] = true
	}
	if len(seen) != len(codes) {
		t.Errorf("%d constants, %d in the table", len(seen), len(codes))
	}
	for _, code := range []Code{"", "INVALID_TEXT", "invalid text", "unknown"} {
		if code.Valid() || code.Edge() || code.Retryable() {
			t.Errorf("%q is a code", code)
		}
	}
}

func TestCode_Edge(t *testing.T) {
	t.Parallel()
	for _, code := range []Code{RefusedByDatabase, ReceivedTooOld, ReceivedInFuture, BatchIDReused} {
		if code.Edge() {
			t.Errorf("the edge never gives %s", code)
		}
	}
	for _, code := range []Code{MissingTimestamp, TimestampInFuture, InvalidText, EventTooLarge, UnreadableBody, NotAnObject} {
		if !code.Edge() {
			t.Errorf("the edge gives %s", code)
		}
	}
}

func TestCode_RetryableIsOfTheEdge(t *testing.T) {
	t.Parallel()
	for code := range codes {
		if code.Retryable() != (code == TimestampInFuture) || code.Retryable() && !code.Edge() {
			t.Errorf("%s: retryable %v", code, code.Retryable())
		}
	}
}
