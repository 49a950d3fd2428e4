package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/test/mutants/patch"
)

// mistake is an edit that breaks a promise of the product: a run against
// programs built with it has to find the books out of balance. Otherwise a
// balanced run would prove nothing.
type mistake struct {
	// name is that of a patch, as test/mutants has them: package/name.
	name string
	// faults are those that bring it to light, as --only takes them. Any would,
	// sooner or later.
	faults string
}

// mistakes are those that break what the books can show. Left out are mistakes
// behind which a second defence stands, so that the outcome is right all the
// same (a message id minted per attempt is a second message that the ledger
// knows; what a stopping ingest forgets was not acknowledged, and headsets post
// it again), and those that cost time only (deadlocks, which are tried again, as
// is a row until its day is made).
func mistakes() []mistake {
	return []mistake{
		{"worker/acks-before-commit", "crash point,database"},
		{"postgres/no-ledger", "consumer,two workers,older"},
		{"postgres/ledger-outside-the-transaction", "crash point,database,answer lost"},
		{"ingest/answer-before-puback", "kill,line,answer lost"},
		{"unreal/id-per-receipt", "kill"},
		{"postgres/copy-in-gather-loaded-twice", "consumer,older"},
		{"postgres/difference-applied-twice", "kill"},
		{"postgres/stored-contributions-not-taken-back", "kill"},
		{"postgres/touches-deleted-after-reading", "kill,freeze"},
		{"postgres/touches-only-when-none", "kill,freeze"},
		{"postgres/quarantine-drops-neighbours", "rows refused"},
		{"apikey/judgement-cached", "key revoked"},
	}
}

// mistakeRounds are how many rounds a mistake may go unnoticed.
const mistakeRounds = 10

// Between these lines of the page stands what the last run on record found.
const (
	mistakesBegin = "<!-- written by chaos --mistakes: begin -->"
	mistakesEnd   = "<!-- written by chaos --mistakes: end -->"
)

// errUnnoticed says that the harness cannot fail where it should.
var errUnnoticed = errors.New("a mistake went unnoticed")

// playMistakes builds the programs with one mistake at a time and plays rounds
// until its books are out of balance. names are those to play, with commas
// between them, or "all".
func playMistakes(ctx context.Context, names string, o options, page string, stdout io.Writer) error {
	chosen := slices.DeleteFunc(mistakes(), func(m mistake) bool {
		return names != "all" && !slices.Contains(strings.Split(names, ","), m.name)
	})
	if len(chosen) == 0 {
		return fmt.Errorf("no mistake is called %q", names)
	}
	var table strings.Builder
	table.WriteString("| mistake | patch | found | by |\n|---|---|---|---|\n")
	unnoticed := 0
	for _, m := range chosen {
		begun := time.Now()
		found, err := m.play(ctx, o)
		if err != nil {
			return calledOff(ctx, fmt.Errorf("%s: %w", m.name, err))
		}
		if found.by == "" {
			unnoticed++
		}
		_, _ = fmt.Fprintf(stdout, "%s: %s after %s: %s\n", m.name, found.when(), time.Since(begun).Round(time.Second), found.by)
		_, _ = fmt.Fprintf(&table, "| %s | `%s` | %s | %s |\n", found.breaks, m.name, found.when(), strings.ReplaceAll(found.by, "|", "\\|"))
	}
	if page != "" {
		text := fmt.Sprintf("%s, commit `%s`: `go run ./test/chaos --mistakes %s --seed %d`\n\n",
			time.Now().UTC().Format(time.DateOnly), commit(ctx), names, o.seed) + table.String()
		if err := writePart(page, mistakesBegin, mistakesEnd, text); err != nil {
			return err
		}
	}
	if unnoticed > 0 {
		return fmt.Errorf("%w: %d of %d", errUnnoticed, unnoticed, len(chosen))
	}
	return nil
}

// finding is what gave a mistake away.
type finding struct {
	breaks string // the mistake in words
	rounds int    // 0: before any fault
	by     string // the first line of what was wrong; empty: nothing was
}

func (f *finding) when() string {
	switch {
	case f.by == "":
		return "NOT in " + plural(f.rounds, "round")
	case f.rounds == 0:
		return "before any fault"
	default:
		return fmt.Sprintf("in round %d", f.rounds)
	}
}

// play builds the programs with the mistake and plays rounds until it is found.
// The data goes, also that of broken books: it is of no product.
func (m *mistake) play(ctx context.Context, o options) (found finding, err error) {
	dir, err := os.MkdirTemp(o.parent, "nexero-chaos-mistake-")
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user when we are root
		return found, err
	}
	overlay, breaks, err := m.overlay(ctx, dir)
	if err != nil {
		return found, err
	}
	programs, err := buildPrograms(ctx, dir, "-overlay", overlay)
	if err != nil {
		return found, err
	}
	r := newRun(options{
		seed: o.seed, rounds: mistakeRounds, perStand: mistakeRounds, most: o.most, only: m.faults, parent: dir,
	}, programs, io.Discard)
	err = r.play(ctx)
	found = finding{breaks: breaks, rounds: r.result.Rounds}
	if len(r.result.Violations) > 0 {
		found.by = firstLine(r.result.Violations[0])
	}
	if errors.Is(err, errBroken) {
		err = nil
	}
	return found, err
}

// firstLine shortens a violation to what a table has room for.
func firstLine(text string) string {
	const most = 160
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// overlay lays the patch over the tree. It returns the list for the go command,
// and what the patch breaks.
func (m *mistake) overlay(ctx context.Context, dir string) (list, breaks string, err error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", "", fmt.Errorf("look for the tree: %w", err)
	}
	tree := strings.TrimSpace(string(output))
	pkg, name, _ := strings.Cut(m.name, "/")
	all, err := patch.Load(filepath.Join(tree, "test", "mutants"), []string{pkg})
	if err != nil {
		return "", "", err
	}
	at := slices.IndexFunc(all, func(p patch.Patch) bool { return p.Name == name })
	if at < 0 {
		return "", "", fmt.Errorf("there is no patch %s", m.name)
	}
	list, err = all[at].Overlay(tree, dir)
	return list, all[at].Breaks, err
}
