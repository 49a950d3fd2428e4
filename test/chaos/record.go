package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What lies between the markers of a page is the harness's; the rest is left.
const (
	recordBegin = "<!-- written by make chaos: begin -->"
	recordEnd   = "<!-- written by make chaos: end -->"

	// Of a run with a cluster, which stands beside the other one.
	clusterBegin = "<!-- written by make chaos --cluster: begin -->"
	clusterEnd   = "<!-- written by make chaos --cluster: end -->"
)

func (b *books) add(other books) {
	b.Batches += other.Batches
	b.Events += other.Events
	b.Rejected += other.Rejected
	b.Quarantined += other.Quarantined
}

func (r *result) faults() int {
	n := 0
	for _, times := range r.Faults {
		n += times
	}
	return n
}

// summarise prints the whole run.
func (r *run) summarise() {
	s := &r.result
	r.say("\n%s, %s, seed %d on %s in %s\n", plural(s.faults(), "fault"), plural(s.Rounds, "round"), s.Seed,
		plural(s.Stands, "stand"), s.Duration.Round(time.Second))
	for _, name := range slices.Sorted(maps.Keys(s.Faults)) {
		r.say("  %5d %s\n", s.Faults[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Reached)) {
		r.say("  %5d %s\n", s.Reached[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.LeftOut)) {
		r.say("  left out %s: %s\n", name, s.LeftOut[name])
	}
	r.say("%s\n", s.balance())
}

// balance is the outcome in one sentence.
func (r *result) balance() string {
	c, b := &r.Counts, &r.Books
	text := fmt.Sprintf("%d posts in %d attempts: %d acknowledged, %d refused, %d open, %d never arrived; %d clients vanished. "+
		"%d batches with %d events are stored, %d events rejected, %d quarantined.",
		c.Posts, c.Attempts, c.Acknowledged, c.Refused, c.Open, c.Unsent, c.Vanished, b.Batches, b.Events, b.Rejected, b.Quarantined)
	if len(r.Violations) > 0 {
		return text + fmt.Sprintf(" NOT balanced: %d violations.", len(r.Violations))
	}
	if !r.Whole {
		return text + " The run did not come to its end."
	}
	return text + " Every book balanced."
}

// record writes the run into a page, in place of the run that was there.
func (r *result) record(ctx context.Context, path string, o options) error {
	if o.cluster {
		return writePart(path, clusterBegin, clusterEnd, r.page(ctx, o))
	}
	return writePart(path, recordBegin, recordEnd, r.page(ctx, o))
}

// writePart writes a text between two markers of a page, in place of what was
// there.
func writePart(path, begin, end, text string) error {
	page, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		page, err = []byte("# Reliability\n\n"+begin+"\n"+end+"\n"), nil
	}
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("record: %s has no lines %q and %q", path, begin, end)
	}
	whole := before + begin + "\n\n" + text + "\n" + end + after
	if err := os.WriteFile(path, []byte(whole), 0o644); err != nil { //nolint:gosec // a page for all to read
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// page is the run as a reader of the page sees it.
func (r *result) page(ctx context.Context, o options) string {
	var b strings.Builder
	line := func(name, format string, arguments ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, arguments...))
	}
	b.WriteString("| | |\n|---|---|\n")
	line("when", "%s", time.Now().UTC().Format("2006-01-02"))
	line("commit", "`%s`", commit(ctx))
	line("command", "`%s`", r.command(o))
	line("machine", "%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	line("took", "%s", r.Duration.Round(time.Second))
	line("rounds", "%d on %s, each made from nothing", r.Rounds, plural(r.Stands, "stand"))
	line("faults", "%d", r.faults())
	b.WriteString("\n| fault | times |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		line(name, "%d", r.Faults[name])
	}
	if len(r.Reached) > 0 {
		b.WriteString("\n| of these | times |\n|---|---|\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Reached)) {
		line(name, "%d", r.Reached[name])
	}
	if len(r.LeftOut) > 0 {
		b.WriteString("\n| left out on this machine | why |\n|---|---|\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.LeftOut)) {
		line(name, "%s", r.LeftOut[name])
	}
	b.WriteString("\n" + r.balance() + "\n")
	for _, violation := range r.Violations {
		b.WriteString("\n    " + strings.ReplaceAll(violation, "\n", "\n    ") + "\n")
	}
	return b.String()
}

// command is what plays the same rounds again, however many there were.
func (r *result) command(o options) string {
	text := fmt.Sprintf("go run ./test/chaos --seed %d --rounds %d", o.seed, r.Rounds)
	if o.most != usualMost {
		text += fmt.Sprintf(" --most %d", o.most)
	}
	if o.perStand != defaultPerStand {
		text += fmt.Sprintf(" --per-stand %d", o.perStand)
	}
	if o.cluster {
		text += " --cluster"
	}
	if o.only != "" {
		text += fmt.Sprintf(" --only %q", o.only)
	}
	return text
}

// commit names what was run: the commit, and whether there were changes to it.
// Those to the page do not count: the run before may have written them.
func commit(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(output))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD", "--", ":/", ":(top,exclude)docs/reliability.md").Run() != nil {
		name += "-dirty"
	}
	return name
}
