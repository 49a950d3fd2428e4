package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/nexero-vr/nexero/internal/sim"
)

// printSimulation tells a person what happened.
func printSimulation(w io.Writer, s *simulation) error {
	t := &s.Totals
	o := &s.Options
	p := &printer{w: w}
	p.line("%d headsets from %s for %s, seed %d\n\n", o.Headsets, o.Start.Format(time.RFC3339), o.Duration, o.Seed)
	if p.err == nil {
		p.err = printPlans(w, &s.truth)
	}
	p.line("\ntours     %s: %s by %s customers, %s of them by who had come before; %s by people without a name; %s headsets crashed\n",
		count(t.Tours), count(t.Tours-t.Nameless), count(t.Customers), count(t.Returned), count(t.Nameless), count(t.Crashed))
	p.line("sent      %s batches and %s session posts, %s of them again\n", count(t.Batches), count(t.Reports), count(t.Repeats))
	p.line("truth     %s events to be accepted, %s rejected%s\n", count(t.Accepted), count(t.RejectedEvents()), byCode(t.Rejected))
	if s.Answers != nil {
		p.line("\n")
		if p.err == nil {
			p.err = s.Answers.Print(w)
		}
		if s.Surprises == 0 {
			p.line("as it must be: every answer is what the truth says\n")
		} else {
			p.line("NOT as it must be: %d answers differ from the truth, the first: %s\n", s.Surprises, s.FirstSurprise)
		}
	}
	if s.Recording != "" {
		p.line("recording %s\n", s.Recording)
	}
	if s.TruthFile != "" {
		p.line("truth in  %s\n", s.TruthFile)
	}
	return p.err
}

// printer writes until something fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func count(n int) string { return humanize.Comma(int64(n)) }

// byCode lists why events are rejected, the most frequent reason first.
func byCode(rejected map[string]int) string {
	if len(rejected) == 0 {
		return ""
	}
	codes := slices.SortedFunc(maps.Keys(rejected), func(a, b string) int {
		return cmp.Or(cmp.Compare(rejected[b], rejected[a]), cmp.Compare(a, b))
	})
	for i, code := range codes {
		codes[i] = fmt.Sprintf("%s %d", code, rejected[code])
	}
	return " (" + strings.Join(codes, ", ") + ")"
}

// tourSums is what the tours of one plan come to.
type tourSums struct {
	tours, visits, events int
	walkedCM              float64
	lookMS                map[string]int64
	zoneMS                map[string]int64
}

// printPlans prints a line for each plan that was toured.
func printPlans(w io.Writer, truth *sim.Truth) error {
	sums := map[string]*tourSums{}
	for i := range truth.Sessions {
		s := &truth.Sessions[i]
		sum := sums[s.Plan]
		if sum == nil {
			sum = &tourSums{lookMS: map[string]int64{}, zoneMS: map[string]int64{}}
			sums[s.Plan] = sum
		}
		sum.tours++
		sum.visits += len(s.Visits)
		sum.events += s.Accepted
		sum.walkedCM += s.WalkedCM
		for _, v := range s.Visits {
			sum.zoneMS[v.Zone] += v.LeftMS - v.EnteredMS
		}
		for _, l := range s.Looks {
			sum.lookMS[l.Target] += l.MS
		}
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	p := &printer{w: table}
	p.line("plan\ttours\troom visits\tevents\twalked\tlongest in\tlongest look at\n")
	for _, plan := range sim.Plans() {
		if sum := sums[plan.PropertyID]; sum != nil {
			p.line("%s\t%s\t%s\t%s\t%.1f km\t%s\t%s\n", plan.Name, count(sum.tours), count(sum.visits), count(sum.events),
				sum.walkedCM/100_000, greatest(sum.zoneMS), greatest(sum.lookMS))
		}
	}
	if p.err != nil {
		return p.err
	}
	return table.Flush()
}

// greatest returns the name with the greatest sum, the first by name of equals.
func greatest(sums map[string]int64) string {
	best := ""
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if best == "" || sums[name] > sums[best] {
			best = name
		}
	}
	return best
}
