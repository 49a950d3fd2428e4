// Package patch reads the one-edit mistakes that lie beside it and lays them over
// a tree, for the tests that should notice them (test/mutants) and for the fault
// runs that should (test/chaos). Nothing here changes the tree.
package patch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Patch is one mistake.
type Patch struct {
	// Pkg is the package below internal/ whose tests should notice, Name the
	// file's without its ending.
	Pkg, Name string
	// Breaks and NoticedBy are the two halves of the first line: what the mistake
	// is, and the test that should notice it.
	Breaks, NoticedBy string

	files []file
}

// file is the part of a patch that changes one file.
type file struct {
	path  string
	hunks []hunk
}

// hunk replaces the lines in before by those in after.
type hunk struct {
	line          int // where before begins in the file that the patch was made from
	before, after []string
}

// Load reads the patches below dir, dir/<package>/<name>.patch, that belong to one
// of packages, sorted; no packages are all. A package is named as go test would,
// or by its last element. It is an error if there is none.
func Load(dir string, packages []string) ([]Patch, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("look for patches: %w", err)
	}
	wanted := make([]string, 0, len(packages))
	for _, p := range packages {
		wanted = append(wanted, filepath.Base(strings.TrimSuffix(p, "/...")))
	}
	every := len(wanted) == 0 || slices.Contains(wanted, ".") || slices.Contains(wanted, "internal")
	var patches []Patch
	for _, path := range paths {
		pkg := filepath.Base(filepath.Dir(path))
		if !every && !slices.Contains(wanted, pkg) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a patch: %w", err)
		}
		p, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		p.Pkg, p.Name = pkg, strings.TrimSuffix(filepath.Base(path), ".patch")
		patches = append(patches, p)
	}
	if len(patches) == 0 {
		return nil, fmt.Errorf("no patch in %s for %v", dir, packages)
	}
	return patches, nil
}

// parse reads a unified diff with one line before it that says what it is for.
func parse(text string) (Patch, error) {
	var p Patch
	head, diff, _ := strings.Cut(text, "\n")
	breaks, noticedBy, ok := strings.Cut(strings.TrimPrefix(head, "# "), "; ")
	if !ok || !strings.HasPrefix(head, "# ") {
		return p, fmt.Errorf("the first line is %q, not \"# what breaks; which test should notice\"", head)
	}
	p.Breaks, p.NoticedBy = breaks, noticedBy

	lines := strings.Split(strings.TrimSuffix(diff, "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		switch {
		case strings.HasPrefix(line, "@@ ") && len(p.files) > 0:
			h, rest, err := parseHunk(lines)
			if err != nil {
				return p, err
			}
			last := &p.files[len(p.files)-1]
			last.hunks = append(last.hunks, h)
			lines = rest
			continue
		case strings.HasPrefix(line, "+++ b/"):
			path, _, _ := strings.Cut(strings.TrimPrefix(line, "+++ b/"), "\t")
			if !filepath.IsLocal(path) {
				return p, fmt.Errorf("%q is outside the tree", path)
			}
			p.files = append(p.files, file{path: path})
		}
		lines = lines[1:]
	}
	if len(p.files) == 0 || len(p.files[0].hunks) == 0 {
		return p, errors.New("no change in it")
	}
	return p, nil
}

// parseHunk takes one hunk off the front of lines. The counts in its header say
// where it ends; a removed SQL comment looks like the header of a file.
func parseHunk(lines []string) (h hunk, rest []string, err error) {
	header := lines[0]
	var before, after int
	if _, err := fmt.Sscanf(counted(header), "@@ -%d,%d +%d,%d @@", &h.line, &before, new(int), &after); err != nil {
		return h, nil, fmt.Errorf("hunk header %q: %w", header, err)
	}
	rest = lines[1:]
	for len(h.before) < before || len(h.after) < after {
		if len(rest) == 0 {
			return h, nil, fmt.Errorf("hunk %q ends early", header)
		}
		line := rest[0]
		rest = rest[1:]
		switch {
		case line == "": // an editor took the blank of an empty context line
			h.before, h.after = append(h.before, ""), append(h.after, "")
		case line[0] == ' ':
			h.before, h.after = append(h.before, line[1:]), append(h.after, line[1:])
		case line[0] == '-':
			h.before = append(h.before, line[1:])
		case line[0] == '+':
			h.after = append(h.after, line[1:])
		default:
			return h, nil, fmt.Errorf("hunk %q has a line %q", header, line)
		}
	}
	return h, rest, nil
}

// counted writes out the counts that a hunk header leaves away when they are 1.
func counted(header string) string {
	fields := strings.Fields(header)
	for i, field := range fields {
		if _, err := strconv.Atoi(field); err == nil && i < 3 {
			fields[i] = field + ",1"
		}
	}
	return strings.Join(fields[:min(len(fields), 4)], " ")
}

// apply returns text with the patch's changes. Each hunk must fit exactly; of
// several places that fit, it takes the one nearest to where it was made, so
// that a patch lives on while the lines around it move.
func (f *file) apply(text string) (string, error) {
	lines := strings.Split(text, "\n")
	moved := 0
	for _, h := range f.hunks {
		want, best := h.line-1+moved, -1
		for at := 0; at+len(h.before) <= len(lines); at++ {
			if slices.Equal(lines[at:at+len(h.before)], h.before) && (best < 0 || abs(at-want) < abs(best-want)) {
				best = at
			}
		}
		if best < 0 {
			return "", fmt.Errorf("%s: nothing like this, once at line %d:\n%s", f.path, h.line, strings.Join(h.before, "\n"))
		}
		lines = slices.Replace(lines, best, best+len(h.before), h.after...)
		moved += len(h.after) - len(h.before)
	}
	return strings.Join(lines, "\n"), nil
}

// Overlay writes the patched files into dir, and with them the list that the go
// command's -overlay takes to lay them over the tree. It returns the list's path.
// It is an error if the patch does not fit the tree as it is.
func (p *Patch) Overlay(tree, dir string) (path string, err error) {
	replace := map[string]string{}
	for i := range p.files {
		f := &p.files[i]
		target := filepath.Join(tree, filepath.FromSlash(f.path))
		text, err := os.ReadFile(target)
		if err != nil {
			return "", err
		}
		patched, err := f.apply(string(text))
		if err != nil {
			return "", err
		}
		replacement := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(target)))
		if err := os.WriteFile(replacement, []byte(patched), 0o600); err != nil { //nolint:gosec // below dir, whatever the patch says
			return "", err
		}
		replace[target] = replacement
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

func abs(n int) int { return max(n, -n) }
