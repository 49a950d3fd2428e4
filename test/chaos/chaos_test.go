package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What `make test` plays. The rounds are counted, not the time: a slow machine
// takes longer over the same.
const (
	testSeed   = 1
	testRounds = 10
)

// TestChaos plays a short run: the same faults every time.
//
// rule 1, rule 2, rule 3, rule 4, rule 5, rule 10
func TestChaos(t *testing.T) {
	t.Parallel()
	// A test that runs into its time-out ends without cleaning up: the run has to
	// end before, with all that it started.
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Minute))
		defer cancel()
	}
	programs, err := buildPrograms(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(options{seed: testSeed, rounds: testRounds, perStand: testRounds, most: usualMost}, programs, testLog{t})
	if err := r.play(ctx); err != nil {
		t.Fatalf("repeat it with: make chaos SEED=%d ROUNDS=%d: %v", testSeed, testRounds, err)
	}
	r.summarise()
	if r.result.faults() < testRounds || r.result.Counts.Acknowledged == 0 || r.result.Books.Events == 0 {
		t.Errorf("%d faults, %+v, %+v: too tame to prove anything", r.result.faults(), r.result.Counts, r.result.Books)
	}
}

// testLog writes a run's lines to a test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// TestDrawRound_Repeats draws the same faults from the same seed, others from
// another, and gives each fault a turn.
func TestDrawRound_Repeats(t *testing.T) {
	t.Parallel()
	for name, table := range map[string][]fault{"one server": faults(), "a cluster": faultsOf(options{cluster: true})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRepeats(t, table)
		})
	}
}

func testRepeats(t *testing.T, table []fault) {
	t.Helper()
	describe := func(seed uint64) (lines []string) {
		for round := range 300 {
			for _, b := range drawRound(seed, round, usualMost, table) {
				lines = append(lines, b.after.String()+" "+b.name+": "+b.detail)
			}
		}
		return lines
	}
	first := describe(1)
	if diff := cmp.Diff(first, describe(1)); diff != "" {
		t.Errorf("the same seed draws other faults:\n%s", diff)
	}
	if slices.Equal(first, describe(2)) {
		t.Error("another seed draws the same faults")
	}
	all := strings.Join(first, "\n")
	for _, f := range table {
		if !strings.Contains(all, " "+f.name+": ") {
			t.Errorf("%s is not drawn in %d rounds", f.name, 300)
		}
	}
}

// TestRecord_ReplacesItsPart leaves what people wrote around the record.
func TestRecord_ReplacesItsPart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("before\n"+recordBegin+"\nold\n"+recordEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := result{Seed: 7, Rounds: 2, Faults: map[string]int{"kill": 3}}
	table := []fault{{name: "kill"}, {name: "disk full", cannot: func() string { return "nobody may mount" }}}
	table, r.LeftOut = possible(table, func(string, ...any) {})
	if len(table) != 1 || table[0].name != "kill" {
		t.Errorf("%v is left to draw", table)
	}
	for range 2 {
		if err := r.record(t.Context(), path, options{seed: 7, perStand: defaultPerStand, most: usualMost}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Contains(text, "old") {
		t.Errorf("the page is\n%s", text)
	}
	if strings.Count(text, "| kill | 3 |") != 1 || !strings.Contains(text, "--seed 7 --rounds 2") || strings.Count(text, "| disk full | nobody may mount |") != 1 {
		t.Errorf("the page is\n%s", text)
	}
	if err := os.WriteFile(path, []byte("no markers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.record(t.Context(), path, options{}); err == nil {
		t.Error("a page without markers was written")
	}
}

// TestRecord_ClusterHasItsOwnPart leaves the record of one server beside that of
// three.
func TestRecord_ClusterHasItsOwnPart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	empty := recordBegin + "\n" + recordEnd + "\nbetween\n" + clusterBegin + "\n" + clusterEnd + "\n"
	if err := os.WriteFile(path, []byte(empty), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, clustered := range []bool{false, true, false} {
		r := result{Seed: uint64(i), Rounds: 1}
		if err := r.record(t.Context(), path, options{seed: r.Seed, cluster: clustered, perStand: defaultPerStand, most: usualMost}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one, three, found := strings.Cut(string(page), "between")
	if !found || !strings.Contains(one, "--seed 2 --rounds 1`") || !strings.Contains(three, "--seed 1 --rounds 1 --cluster`") {
		t.Errorf("the page is\n%s", page)
	}
}

// TestCommand_Refuses says 2, harness trouble, to what makes no run.
func TestCommand_Refuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no end":     {"--rounds", "0"},
		"no flag":    {"--seed", "1", "extra"},
		"unknown":    {"--sed", "1"},
		"no rounds":  {"--per-stand", "0"},
		"below zero": {"--rounds", "-1"},
		"scenario":   {"--scenario", "sunshine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if got := command(t.Context(), args, &stderr, &stderr); got != exitTrouble || stderr.Len() == 0 {
				t.Errorf("%v: status %d, %q; want %d and a reason", args, got, stderr.String(), exitTrouble)
			}
		})
	}
}
