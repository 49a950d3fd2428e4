// Command mutants breaks the code in known ways and expects the tests to
// notice.
//
// A mutant is a patch of one edit, test/mutants/<package>/<name>.patch. Its
// first line says what it breaks and which test should notice:
//
//	# acknowledges before COMMIT; TestWorker_AcksAfterLoad
//
// For each mutant the tests of internal/<package> are compiled with the patched
// file laid over the tree and run until the first failure. A mutant that
// survives says that a promise has no test; one that does not apply or does not
// compile is out of date. Both fail the run. Before a package's mutants its
// tests run once as they are, since a test that always fails notices nothing.
//
// Everything happens in a copy of the tree, so that what failing tests leave in
// testdata, and edits made meanwhile, do not mix.
//
// Usage: go run ./test/mutants [-j N] [package…], where a package is named as go
// test would (./internal/worker, ./...) or by its last element.
//
// With -only curated it tries the mistakes listed in curated.txt, and for each
// runs the named test alone; it ends with a table of them, which -record FILE
// writes into a page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nexero-vr/nexero/test/mutants/patch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	parallel := flag.Int("j", min(runtime.NumCPU(), 4), "mutants at a time")
	only := flag.String("only", "", `"curated" for the mistakes listed in curated.txt, each with its named test alone`)
	page := flag.String("record", "", "the page that gets the table of the curated mistakes, once all are caught")
	flag.Parse()
	err := run(ctx, os.Stdout, *parallel, *only, *page, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run tests every mutant of the chosen packages and prints a line for each.
func run(ctx context.Context, out io.Writer, parallel int, only, page string, packages []string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	mutants, err := choose(filepath.Join(root, "test", "mutants"), only, packages)
	if err != nil {
		return err
	}
	if only == "" && page != "" {
		return errors.New("only the curated mistakes have a page")
	}
	scratch, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return fmt.Errorf("make a directory for the copy: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	// PostgreSQL refuses to run as root; the user it runs as has to get through.
	if err := os.Chmod(scratch, 0o755); err != nil { //nolint:gosec // see above
		return fmt.Errorf("open the copy's directory: %w", err)
	}
	bench := bench{tree: filepath.Join(scratch, "tree"), work: scratch}
	if err := copyTree(ctx, root, bench.tree); err != nil {
		return err
	}

	results, err := try(ctx, out, &bench, parallel, mutants)
	if err != nil {
		return err
	}
	counts := map[outcome]int{}
	for _, r := range results {
		counts[r.verdict.outcome]++
	}
	_, _ = fmt.Fprintf(out, "\n%d mutants: %d caught, %d survived, %d broken, %d not tried\n", len(mutants),
		counts[caught], counts[survived], counts[broken], counts[notTried])
	if only != "" {
		_, _ = fmt.Fprintf(out, "\n%s", table(results))
	}
	if counts[caught] != len(mutants) {
		return errors.New("not every mutant was caught")
	}
	if page != "" {
		return record(filepath.Join(root, page), table(results))
	}
	return nil
}

// choose returns the mutants of the packages, all of them or those of a list.
func choose(dir, only string, packages []string) ([]mutant, error) {
	chosen, err := load(dir, packages)
	if err != nil || only == "" {
		return chosen, err
	}
	if only != "curated" {
		return nil, fmt.Errorf("there is no list %q", only)
	}
	all, err := load(dir, nil)
	if err != nil {
		return nil, err
	}
	curated, err := curate(dir, all)
	return slices.DeleteFunc(curated, func(m mutant) bool {
		return !slices.ContainsFunc(chosen, func(c mutant) bool { return c.Pkg == m.Pkg })
	}), err
}

// mutant is a patch that is tried.
type mutant struct {
	patch.Patch

	// mistake is what people call it and only the one test that may notice it,
	// if the mutant is curated.
	mistake, only string
}

// load reads the patches below dir that belong to one of packages.
func load(dir string, packages []string) ([]mutant, error) {
	patches, err := patch.Load(dir, packages)
	mutants := make([]mutant, len(patches))
	for i := range patches {
		mutants[i].Patch = patches[i]
	}
	return mutants, err
}

// result is a mutant and what became of it.
type result struct {
	mutant
	verdict verdict
}

// try tries mutants and returns their results in the same order.
func try(ctx context.Context, out io.Writer, bench *bench, parallel int, mutants []mutant) ([]result, error) {
	timeouts := baselines(ctx, out, bench, parallel, mutants)
	var (
		mu      sync.Mutex
		results = make([]result, len(mutants))
		group   errgroup.Group
	)
	group.SetLimit(parallel)
	for i, m := range mutants {
		results[i] = result{m, verdict{outcome: notTried}}
		timeout, sound := timeouts[m.Pkg]
		if !sound {
			continue
		}
		group.Go(func() error {
			v := bench.try(ctx, m, timeout)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			results[i].verdict = v
			report(out, m, v)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("stopped early: %w", err)
	}
	return results, nil
}

// baselines runs the tests of each package as they are. It returns how long a
// mutant of the package may take: one that makes its tests hang is caught too,
// but should not cost minutes. A package that fails already is not in the
// result, since its tests would catch anything.
func baselines(ctx context.Context, out io.Writer, bench *bench, parallel int, mutants []mutant) map[string]time.Duration {
	var (
		mu       sync.Mutex
		timeouts = map[string]time.Duration{}
		group    errgroup.Group
		only     = map[string][]string{} // the tests that matter of a package, none for all
	)
	group.SetLimit(parallel)
	for _, m := range mutants {
		only[m.Pkg] = append(only[m.Pkg], m.only)
	}
	for _, pkg := range slices.Sorted(maps.Keys(only)) {
		group.Go(func() error {
			tests := slices.DeleteFunc(only[pkg], func(test string) bool { return test == "" })
			v := bench.try(ctx, mutant{Patch: patch.Patch{Pkg: pkg}, only: strings.Join(tests, "|")}, 5*time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if v.outcome != survived {
				_, _ = fmt.Fprintf(out, "%-8s  %-44s %5.1fs  without a mutant: %s\n%s\n", "FAILS", pkg, v.took.Seconds(), v.by, tail(v.output))
				return nil
			}
			timeouts[pkg] = 20*time.Second + 3*v.took
			_, _ = fmt.Fprintf(out, "%-8s  %-44s %5.1fs  as it is\n", "ok", pkg, v.took.Seconds())
			return nil
		})
	}
	_ = group.Wait() // none of them returns an error
	return timeouts
}

// report prints one line for a caught mutant, and for another all that helps to
// see why.
func report(out io.Writer, m mutant, v verdict) {
	_, _ = fmt.Fprintf(out, "%-8s  %-44s %5.1fs  %s\n", v.outcome, m.Pkg+"/"+m.Name, v.took.Seconds(), v.by)
	if v.outcome == caught {
		return
	}
	_, _ = fmt.Fprintf(out, "          it %s; %s should notice\n", m.Breaks, m.NoticedBy)
	if v.output != "" {
		_, _ = fmt.Fprintf(out, "          %s\n", strings.ReplaceAll(tail(v.output), "\n", "\n          "))
	}
}

// tail returns the end of a test's output: enough to see what failed.
func tail(output string) string {
	const most = 30
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
