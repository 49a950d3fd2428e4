package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mutant is one patch.
type mutant struct {
	// pkg is the package below internal/ whose tests should notice.
	pkg, name string
	// breaks and noticedBy are the two halves of the patch's first line.
	breaks, noticedBy string
	files             []filePatch
	// mistake is what people call it and only the one test that may notice it,
	// if the mutant is curated.
	mistake, only string
}

// filePatch is the part of a patch that changes one file.
type filePatch struct {
	path  string
	hunks []hunk
}

// hunk replaces the lines in before by those in after.
type hunk struct {
	line          int // where before begins in the file that the patch was made from
	before, after []string
}

// load reads the mutants below dir that belong to one of packages, sorted.
func load(dir string, packages []string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("look for patches: %w", err)
	}
	wanted := make([]string, 0, len(packages))
	for _, p := range packages {
		wanted = append(wanted, filepath.Base(strings.TrimSuffix(p, "/...")))
	}
	var mutants []mutant
	for _, path := range paths {
		pkg := filepath.Base(filepath.Dir(path))
		all := len(wanted) == 0 || slices.Contains(wanted, ".") || slices.Contains(wanted, "internal")
		if !all && !slices.Contains(wanted, pkg) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a patch: %w", err)
		}
		m, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		m.pkg, m.name = pkg, strings.TrimSuffix(filepath.Base(path), ".patch")
		mutants = append(mutants, m)
	}
	if len(mutants) == 0 {
		return nil, fmt.Errorf("no patch in %s for %v", dir, packages)
	}
	return mutants, nil
}

// parse reads a unified diff with one line before it that says what it is for.
func parse(text string) (mutant, error) {
	var m mutant
	head, diff, _ := strings.Cut(text, "\n")
	breaks, noticedBy, ok := strings.Cut(strings.TrimPrefix(head, "# "), "; ")
	if !ok || !strings.HasPrefix(head, "# ") {
		return m, fmt.Errorf("the first line is %q, not \"# what breaks; which test should notice\"", head)
	}
	m.breaks, m.noticedBy = breaks, noticedBy

	lines := strings.Split(strings.TrimSuffix(diff, "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		switch {
		case strings.HasPrefix(line, "@@ ") && len(m.files) > 0:
			h, rest, err := parseHunk(lines)
			if err != nil {
				return m, err
			}
			file := &m.files[len(m.files)-1]
			file.hunks = append(file.hunks, h)
			lines = rest
			continue
		case strings.HasPrefix(line, "+++ b/"):
			path, _, _ := strings.Cut(strings.TrimPrefix(line, "+++ b/"), "\t")
			if !filepath.IsLocal(path) {
				return m, fmt.Errorf("%q is outside the tree", path)
			}
			m.files = append(m.files, filePatch{path: path})
		}
		lines = lines[1:]
	}
	if len(m.files) == 0 || len(m.files[0].hunks) == 0 {
		return m, errors.New("no change in it")
	}
	return m, nil
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
func (p *filePatch) apply(text string) (string, error) {
	lines := strings.Split(text, "\n")
	moved := 0
	for _, h := range p.hunks {
		want, best := h.line-1+moved, -1
		for at := 0; at+len(h.before) <= len(lines); at++ {
			if slices.Equal(lines[at:at+len(h.before)], h.before) && (best < 0 || abs(at-want) < abs(best-want)) {
				best = at
			}
		}
		if best < 0 {
			return "", fmt.Errorf("%s: nothing like this, once at line %d:\n%s", p.path, h.line, strings.Join(h.before, "\n"))
		}
		lines = slices.Replace(lines, best, best+len(h.before), h.after...)
		moved += len(h.after) - len(h.before)
	}
	return strings.Join(lines, "\n"), nil
}

func abs(n int) int { return max(n, -n) }
