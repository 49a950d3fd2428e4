package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// curatedList names the mutants that stand for the mistakes everybody knows.
const curatedList = "curated.txt"

// Between these lines of a page stands what the last run on record found.
const (
	recordBegin = "<!-- curated -->"
	recordEnd   = "<!-- /curated -->"
)

// curate keeps those of mutants that the list in dir names, in its order, and
// gives them the list's words. From then on the named test alone may notice
// them: a mistake that is only noticed by accident counts as not noticed.
func curate(dir string, mutants []mutant) ([]mutant, error) {
	text, err := os.ReadFile(filepath.Join(dir, curatedList))
	if err != nil {
		return nil, fmt.Errorf("read the curated list: %w", err)
	}
	var curated []mutant
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, words, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("the curated list says nothing of %s", name)
		}
		at := slices.IndexFunc(mutants, func(m mutant) bool { return m.Pkg+"/"+m.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the curated list names %s, which is not among the mutants", name)
		}
		m := mutants[at]
		m.mistake, m.only = strings.TrimSpace(words), m.NoticedBy
		curated = append(curated, m)
	}
	return curated, nil
}

// table renders the results as a table of a page.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("| Mistake | Patch | Test | Outcome |\n| --- | --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | `%s/%s` | `%s` | %s |\n", r.mistake, r.Pkg, r.Name, r.NoticedBy, r.verdict.outcome)
	}
	return b.String()
}

// record writes text into the page at path, in place of what stands between the
// two marks.
func record(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	before, rest, begins := strings.Cut(string(page), recordBegin)
	_, after, ends := strings.Cut(rest, recordEnd)
	if !begins || !ends {
		return errors.New(path + " has no place between " + recordBegin + " and " + recordEnd)
	}
	page = []byte(before + recordBegin + "\n\n" + text + "\n" + recordEnd + after)
	return os.WriteFile(path, page, 0o644) //nolint:gosec // a page that everybody reads
}
