package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what a scenario measured.
type report struct {
	lines []reportLine
	wrong []string // findings of the checker
}

type reportLine struct {
	what, value string
	promised    string // empty: nothing
	broken      bool
}

func (r *report) broken() bool {
	return slices.ContainsFunc(r.lines, func(l reportLine) bool { return l.broken })
}

// scenarioMarkers are the lines of the page between which a scenario's report
// stands.
func scenarioMarkers(name string) (begin, end string) {
	return "<!-- written by chaos, scenario " + name + ": begin -->", "<!-- written by chaos, scenario " + name + ": end -->"
}

// write puts the report into a page, in place of the one that was there.
func (r *report) write(ctx context.Context, path string, one *scenario, a *act) error {
	begin, end := scenarioMarkers(one.name)
	var b strings.Builder
	minutes := int(math.Ceil(a.lasts.Minutes()))
	fmt.Fprintf(&b, "%s, commit `%s`, %d cores, %s/%s, %s, load average %s:\n`go run ./test/chaos --scenario %s --seed %d --minutes %d`\n\n",
		time.Now().UTC().Format("2006-01-02"), commit(ctx), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), loadAverage(ctx), one.name, a.seed, minutes)
	if a.built != "" {
		b.WriteString("The programs were not built for this run, so they may be of another commit.\n\n")
	}
	b.WriteString("| measured | value | promised |\n|---|---|---|\n")
	for _, line := range r.lines {
		promised := line.promised
		if line.broken {
			promised += " **BROKEN**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", line.what, line.value, promised)
	}
	for _, finding := range r.wrong {
		b.WriteString("\n    " + strings.ReplaceAll(finding, "\n", "\n    ") + "\n")
	}
	return writePart(path, begin, end, b.String())
}

// quantiles are the usual ones of some durations.
func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s, p99 %s, most %s", quantile(all, 0.5), quantile(all, 0.99), quantile(all, 1))
}

// quantile returns the smallest value that a share of all does not exceed.
func quantile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	at := int(math.Ceil(share*float64(len(sorted)))) - 1
	return sorted[max(at, 0)].Round(100 * time.Microsecond)
}

// mib is a size as people read it.
func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
