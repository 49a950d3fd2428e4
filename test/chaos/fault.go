package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// fault is something that goes wrong, as a row of the table in [faults].
type fault struct {
	name string
	// weight is how often it is drawn, compared with the others.
	weight int
	// cannot says why it is impossible on this machine; nil or "" if it is not.
	// A run says so once and goes on without it.
	cannot func() string
	// draw takes the parameters of one occurrence from the round's chances: the
	// same chances give the same ones.
	draw func(r *rand.Rand) blow
}

// blow is one occurrence of a fault.
type blow struct {
	// detail are the parameters, as the record shows them.
	detail string
	// hold is the time between strike and heal.
	hold time.Duration
	// strike does the damage. An error is trouble of the harness, not of the
	// product; what is not there to be damaged is no error.
	strike func(ctx context.Context, f *field) error
	// heal takes back what strike did. Nil: there is nothing to take back, or
	// it is a dead process, which the stand starts.
	heal func(ctx context.Context, f *field) error
}

// field is what faults reach.
type field struct {
	*stand

	traffic *traffic
	// broken notes a broken promise that a fault saw itself.
	broken func(format string, arguments ...any)
	// reached counts what a fault may bring about and may not, by name.
	reached func(name string)
}

// faults are all that can be drawn, in a fixed order: what a seed draws depends
// on it, so new ones go to the end.
//
// A further kind is a file fault_*.go with a function that returns its rows,
// named here.
func faults() []fault {
	var all []fault
	for _, some := range [][]fault{
		processFaults(), databaseFaults(), queueFaults(), keyFaults(), crashFaults(), linkFaults(),
		clockFaults(), partitionFaults(), refusedFaults(), twiceFaults(), copyFaults(), diskFaults(),
		maintenanceFaults(), damagedFaults(),
	} {
		all = append(all, some...)
	}
	return all
}

// drawn is a blow and when it falls in its round.
type drawn struct {
	blow

	name string
	// after is how long after the one before it strikes.
	after time.Duration
}

// Of a round's faults.
const (
	usualMost  = 5
	longestGap = 1200 * time.Millisecond
)

// drawRound draws what goes wrong in a round: the seed and the number decide.
func drawRound(seed uint64, round, most int, table []fault) []drawn {
	r := rand.New(rand.NewPCG(seed, uint64(round)))
	total := 0
	for i := range table {
		total += table[i].weight
	}
	all := make([]drawn, 1+r.IntN(most))
	for i := range all {
		pick := r.IntN(total)
		for j := range table {
			if pick -= table[j].weight; pick < 0 {
				all[i] = drawn{table[j].draw(r), table[j].name, between(r, 0, longestGap)}
				break
			}
		}
	}
	return all
}

// possible leaves out what this machine cannot do, and says why: in the second
// answer by the fault's name.
func possible(table []fault, say func(format string, arguments ...any)) (kept []fault, left map[string]string) {
	left = map[string]string{}
	for _, f := range table {
		if f.cannot != nil {
			if why := f.cannot(); why != "" {
				say("left out %s: %s\n", f.name, why)
				left[f.name] = why
				continue
			}
		}
		kept = append(kept, f)
	}
	return kept, left
}

// between draws a time in whole milliseconds.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(r.Int64N(int64(to-from)))).Truncate(time.Millisecond)
}

// lasting is how the record shows a blow that holds for a while.
func lasting(what string, hold time.Duration) string { return fmt.Sprintf("%s for %s", what, hold) }
