package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// scenario is a situation that is played out on a stand of its own and
// measured: a row of the table in [scenarios].
type scenario struct {
	name string
	// about is what happens, in a sentence.
	about string
	// minutes is how long it lasts unless somebody says otherwise.
	minutes time.Duration
	// settings are those of all services on top of the stand's.
	settings []string
	play     func(ctx context.Context, a *act) error
}

// scenarios are all that can be played.
func scenarios() []scenario {
	return []scenario{
		databaseAway(), queueAway(), streamFull(), overload(), frozenWorker(), hostile(),
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// act is a scenario that is being played.
type act struct {
	*stand

	ledger *ledger
	seed   uint64
	built  string // where the programs come from, if they were not built for it
	lasts  time.Duration
	say    func(format string, arguments ...any)
	report report
}

// promise notes a measured value beside what was promised of it, and whether
// the promise was kept.
func (a *act) promise(kept bool, what, promised, format string, arguments ...any) {
	value := fmt.Sprintf(format, arguments...)
	a.report.lines = append(a.report.lines, reportLine{what, value, promised, !kept})
	word := ""
	if !kept {
		word = " BROKEN"
	}
	a.say("%s: %s (promised: %s)%s\n", what, value, promised, word)
}

// show notes a measured value of which nothing was promised.
func (a *act) show(what, format string, arguments ...any) {
	value := fmt.Sprintf(format, arguments...)
	a.report.lines = append(a.report.lines, reportLine{what: what, value: value})
	a.say("%s: %s\n", what, value)
}

// playScenario builds the programs, plays one scenario and records it. errBroken:
// a promise was broken, and data and logs are kept.
func playScenario(ctx context.Context, name string, o options, page string, stdout io.Writer) (err error) {
	all := scenarios()
	found := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
	if found < 0 {
		return fmt.Errorf("no scenario is called %q; there are %s", name, strings.Join(scenarioNames(), ", "))
	}
	one := all[found]
	parent, err := os.MkdirTemp(o.parent, "nexero-chaos-")
	if err != nil {
		return err
	}
	if err := os.Chmod(parent, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user when we are root
		return err
	}
	say := func(format string, arguments ...any) {
		_, _ = fmt.Fprintf(stdout, "%s "+format, append([]any{time.Now().UTC().Format(time.TimeOnly)}, arguments...)...)
	}
	defer func() {
		if o.keep || err != nil && ctx.Err() == nil {
			say("data and logs are kept in %s\n", parent)
			return
		}
		err = errors.Join(err, os.RemoveAll(parent))
	}()
	programs, err := o.programs(ctx, parent)
	if err != nil {
		return err
	}
	a := &act{ledger: newLedger(), seed: o.seed, built: o.built, lasts: cmp.Or(o.minutes, one.minutes), say: say}
	if err := a.perform(ctx, &one, programs, parent); err != nil {
		return err
	}
	if page != "" {
		if err := a.report.write(ctx, page, &one, a); err != nil {
			return err
		}
	}
	if a.report.broken() {
		return errBroken
	}
	return nil
}

// perform plays a scenario on a new stand, balances the books and ends the stand.
func (a *act) perform(ctx context.Context, one *scenario, programs programs, parent string) (err error) {
	begun := time.Now()
	if a.stand, err = newStand(ctx, programs, parent, false, one.settings...); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.destroy(context.WithoutCancel(ctx))) }()
	a.say("%s: %s; the stand is up after %s\n", one.name, one.about, time.Since(begun).Round(time.Second))
	if err := one.play(ctx, a); err != nil {
		return fmt.Errorf("%s: %w", one.name, err)
	}
	return a.balance(ctx)
}

// balance holds the database against what headsets were told, as after a round.
func (a *act) balance(ctx context.Context) error {
	r := &round{stand: a.stand, ledger: a.ledger, seed: a.seed, say: a.say}
	sum, err := r.balance(ctx)
	if err != nil {
		return err
	}
	c := a.ledger.sum()
	a.show("posts", "%d in %d attempts, %d acknowledged", c.Posts, c.Attempts, c.Acknowledged)
	a.report.wrong = append(a.report.wrong, r.wrong...)
	a.promise(len(r.wrong) == 0, "books", "every acknowledged event stored once, `nexero verify` exact", "%d batches, %d events stored, %d findings",
		sum.Batches, sum.Events, len(r.wrong))
	for _, line := range r.wrong {
		a.say("  %s\n", line)
	}
	return nil
}

// overdue tells whether err is a wait in vain, which a scenario reports as a
// promise that was not kept.
func overdue(err error) (late bool, trouble error) {
	if _, ok := errors.AsType[*overdueError](err); ok {
		return true, nil
	}
	return false, err
}

// timed waits for a condition and notes how long it took since from, beside
// the limit. It goes on waiting beyond that, so that the report has a number.
func (a *act) timed(ctx context.Context, what string, from time.Time, limit, patience time.Duration, condition func() (bool, error)) error {
	late, err := overdue(poll(ctx, patience, what, condition))
	if err != nil {
		return err
	}
	took := time.Since(from)
	if late {
		a.promise(false, what, "within "+limit.String(), "not within %s", patience)
		return nil
	}
	if limit == 0 {
		a.show(what, "%s", took.Round(10*time.Millisecond))
		return nil
	}
	a.promise(took <= limit, what, "within "+limit.String(), "%s", took.Round(10*time.Millisecond))
	return nil
}
