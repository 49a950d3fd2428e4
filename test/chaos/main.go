package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit statuses.
const (
	exitBroken  = 1
	exitTrouble = 2
)

// defaultPerStand is few enough that the books are balanced in seconds, and
// enough for a leak to show.
const defaultPerStand = 10

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	status := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// command runs the program and returns its exit status.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	var minutes int
	var record, scenario, mistakes string
	flags.Uint64Var(&o.seed, "seed", 1, "what is drawn, and who tours")
	flags.IntVar(&o.rounds, "rounds", 10, "how many rounds; 0: until --minutes are over")
	flags.IntVar(&minutes, "minutes", 0, "begin no round after so many minutes; 0: no limit. Of a scenario: how long what it is about lasts; 0: as long as it usually does")
	flags.StringVar(&scenario, "scenario", "", "play one of: "+strings.Join(scenarioNames(), ", "))
	flags.StringVar(&mistakes, "mistakes", "", `build known mistakes into the programs, one at a time, and expect the books to show each: names with commas between, or "all"`)
	flags.IntVar(&o.perStand, "per-stand", defaultPerStand, "rounds on one stand before it is stopped, checked for leaks and made anew")
	flags.IntVar(&o.most, "most", usualMost, "how many faults may fall in a round; the fewest is 1")
	flags.StringVar(&o.only, "only", "", "draw only faults whose name contains this; several: with commas between")
	flags.BoolVar(&o.cluster, "cluster", false, "three NATS servers that replicate, and what can befall them")
	flags.StringVar(&o.built, "programs", "", "directory with the programs, which an earlier run built; default: they are built")
	flags.BoolVar(&o.keep, "keep", false, "keep data and logs")
	flags.StringVar(&o.parent, "dir", "", "directory for data; default: a temporary one")
	flags.StringVar(&record, "record", "", "write what came of it into this page, between its markers")
	if err := flags.Parse(args); err != nil {
		return exitTrouble
	}
	o.minutes = time.Duration(minutes) * time.Minute
	if flags.NArg() > 0 || o.rounds < 0 || minutes < 0 || o.perStand < 1 || o.most < 1 || o.rounds == 0 && minutes == 0 {
		_, _ = fmt.Fprintln(stderr, "chaos: give rounds or minutes, and nothing but flags")
		return exitTrouble
	}
	var err error
	switch {
	case scenario != "":
		err = playScenario(ctx, scenario, o, record, stdout)
	case mistakes != "":
		err = playMistakes(ctx, mistakes, o, record, stdout)
	default:
		err = runWith(ctx, o, record, stdout)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errBroken), errors.Is(err, errUnnoticed):
		_, _ = fmt.Fprintln(stderr, "chaos:", err)
		return exitBroken
	default:
		_, _ = fmt.Fprintln(stderr, "chaos: trouble of the harness:", err)
		return exitTrouble
	}
}

// runWith builds the programs, plays, and writes the record.
func runWith(ctx context.Context, o options, record string, stdout io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "nexero-chaos-programs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := o.programs(ctx, dir)
	if err != nil {
		return calledOff(ctx, err)
	}
	r := newRun(o, programs, stdout)
	err = r.play(ctx)
	r.summarise()
	if ctx.Err() != nil {
		return calledOff(ctx, err)
	}
	if record != "" && (err == nil || errors.Is(err, errBroken)) {
		err = errors.Join(err, r.result.record(ctx, record, o))
	}
	return err
}

// calledOff says that what failed did so because somebody ended the run.
func calledOff(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("called off: %w", err)
}

// chosen leaves the faults whose name contains a text, or one of several with
// commas between them.
func chosen(table []fault, text string) []fault {
	var kept []fault
	for _, f := range table {
		if slices.ContainsFunc(strings.Split(text, ","), func(part string) bool { return strings.Contains(f.name, part) }) {
			kept = append(kept, f)
		}
	}
	return kept
}
