package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/test/mutants/patch"
)

// Every curated mistake has a patch, and no name stands there twice.
func TestCuratedListFitsThePatches(t *testing.T) {
	t.Parallel()
	mutants, err := load(".", nil)
	if err != nil {
		t.Fatal(err)
	}
	curated, err := curate(".", mutants)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range curated {
		if seen[m.Pkg+"/"+m.Name] || seen[m.mistake] || m.mistake == "" || !strings.HasPrefix(m.only, "Test") {
			t.Errorf("%s/%s: %q, noticed by %q", m.Pkg, m.Name, m.mistake, m.only)
		}
		seen[m.Pkg+"/"+m.Name], seen[m.mistake] = true, true
	}
	if len(curated) < 16 {
		t.Errorf("%d curated mistakes, want at least 16", len(curated))
	}
}

func TestCurate_Refuses(t *testing.T) {
	t.Parallel()
	mutants := []mutant{{Patch: patch.Patch{Pkg: "a", Name: "b", NoticedBy: "TestB"}}}
	for name, list := range map[string]string{"no such patch": "a/c words", "no words": "a/b"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, curatedList), []byte("# comment\n\n"+list+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := curate(dir, mutants); err == nil {
			t.Errorf("%s: curated %+v", name, got)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+recordBegin+"\nold\n"+recordEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	results := []result{{
		mutant:  mutant{Patch: patch.Patch{Pkg: "worker", Name: "acks", NoticedBy: "TestRun"}, mistake: "ack before COMMIT"},
		verdict: verdict{outcome: caught},
	}}
	const want = "before\n" + recordBegin + "\n\n| Mistake | Patch | Test | Outcome |\n| --- | --- | --- | --- |\n" +
		"| ack before COMMIT | `worker/acks` | `TestRun` | caught |\n\n" + recordEnd + "\nafter\n"
	for range 2 { // the second time finds what the first has written
		if err := record(page, table(results)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("the page is %q, %v, want %q", got, err, want)
	}
	if err := os.WriteFile(page, []byte("no place"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := record(page, "x"); err == nil {
		t.Error("a page without a place was written to")
	}
}
