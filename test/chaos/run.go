package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// options say what a run is.
type options struct {
	seed    uint64
	rounds  int           // 0: until minutes are over
	minutes time.Duration // 0: no limit
	// perStand is how many rounds are played on one stand before it is stopped,
	// looked at for leaks, and made anew.
	perStand int
	// most is how many faults may fall in a round.
	most    int
	cluster bool   // three NATS servers instead of one
	only    string // faults whose name contains it; empty: all
	keep    bool   // keep the data in any case
	parent  string // directory for data; empty: a temporary one
	built   string // directory of the programs; empty: they are built
}

// errBroken says that the product broke a promise.
var errBroken = errors.New("the books do not balance")

// run is a whole run and what came of it.
type run struct {
	options  options
	out      io.Writer
	programs programs
	table    []fault
	begun    time.Time
	result   result
}

// result is what a record shows.
type result struct {
	Seed   uint64
	Rounds int
	Stands int
	Faults map[string]int
	// Reached are the faults among them that happened in a certain way, such as
	// a death at a named step.
	Reached map[string]int
	// LeftOut are the faults that this machine cannot bring about, with why.
	LeftOut    map[string]string
	Counts     counts
	Books      books
	Violations []string
	Duration   time.Duration
	// Whole says that the run came to its end and every book was balanced.
	Whole bool
}

func newRun(o options, programs programs, out io.Writer) *run {
	r := &run{options: o, out: out, programs: programs, begun: time.Now()}
	r.result = result{Seed: o.seed, Faults: map[string]int{}, Reached: map[string]int{}}
	r.table, r.result.LeftOut = possible(chosen(faultsOf(o), o.only), r.say)
	return r
}

// say prints progress. Who reads along may be gone, which is no reason to stop.
func (r *run) say(format string, arguments ...any) { _, _ = fmt.Fprintf(r.out, format, arguments...) }

// play plays rounds until there were enough. errBroken: a promise was broken,
// and the data is kept; any other error is trouble of the harness.
func (r *run) play(ctx context.Context) (err error) {
	if len(r.table) == 0 {
		return errors.New("no fault is left to draw")
	}
	parent, err := os.MkdirTemp(r.options.parent, "nexero-chaos-")
	if err != nil {
		return err
	}
	if err := os.Chmod(parent, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user when we are root
		return err
	}
	defer func() {
		r.result.Duration = time.Since(r.begun)
		r.result.Whole = err == nil
		// Nobody needs the data of a run that somebody called off.
		if r.options.keep || err != nil && ctx.Err() == nil {
			r.say("data and logs are kept in %s\n", parent)
			return
		}
		err = errors.Join(err, os.RemoveAll(parent))
	}()
	for r.more() {
		if err := r.playStand(ctx, parent); err != nil {
			return err
		}
	}
	return nil
}

// more reports whether another round is to be played.
func (r *run) more() bool {
	if r.options.rounds > 0 && r.result.Rounds >= r.options.rounds {
		return false
	}
	return r.options.minutes == 0 || time.Since(r.begun) < r.options.minutes
}

// playStand plays some rounds on one stand, from nothing to its end in order.
func (r *run) playStand(ctx context.Context, parent string) (err error) {
	begun := time.Now()
	s, err := newStand(ctx, r.programs, parent, r.options.cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.destroy(context.WithoutCancel(ctx))) }()
	r.result.Stands++
	ledger := newLedger()
	defer func() { r.result.Counts.add(ledger.sum()) }()

	// A round without a fault shows that the stand and the checker are sound,
	// and how much everything holds at rest.
	quiet := &round{stand: s, ledger: ledger, number: 1<<19 + r.result.Stands, seed: r.options.seed, say: r.say}
	sum, err := quiet.play(ctx, nil)
	if err != nil {
		return err
	}
	before, _, err := s.measure(ctx)
	if err != nil {
		return err
	}
	r.say("stand %d is up after %s: %d batches, %d events without a fault\n",
		r.result.Stands, time.Since(begun).Round(time.Second), sum.Batches, sum.Events)
	if err := r.verdict(quiet, "without a fault"); err != nil {
		return err
	}
	for n := 0; n < r.options.perStand && r.more(); n++ {
		if sum, err = r.playRound(ctx, s, ledger); err != nil {
			return err
		}
	}
	r.result.Books.add(sum)
	return r.end(ctx, s, before)
}

func (r *run) playRound(ctx context.Context, s *stand, l *ledger) (books, error) {
	begun, was := time.Now(), l.sum()
	one := &round{stand: s, ledger: l, number: r.result.Rounds, seed: r.options.seed, say: r.say}
	blows := drawRound(r.options.seed, one.number, r.options.most, r.table)
	for i := range blows {
		one.describe(&blows[i])
		r.result.Faults[blows[i].name]++
	}
	r.result.Rounds++
	sum, err := one.play(ctx, blows)
	for _, name := range one.reached {
		r.result.Reached[name]++
	}
	if err != nil {
		return sum, errors.Join(err, r.verdict(one, "before this trouble"))
	}
	now := l.sum()
	took := time.Since(begun).Round(100 * time.Millisecond)
	if err := r.verdict(one, "of this round"); err != nil {
		return sum, err
	}
	r.say("seed %d round %d: balanced in %s: %d posts in %d attempts, %d acknowledged, %d refused, %d open; %d batches, %d events stored\n",
		one.seed, one.number, took, now.Posts-was.Posts, now.Attempts-was.Attempts, now.Acknowledged-was.Acknowledged,
		now.Refused-was.Refused, now.Open-was.Open, sum.Batches, sum.Events)
	return sum, nil
}

// verdict prints what is wrong; it is an error if anything is.
func (r *run) verdict(one *round, which string) error {
	if len(one.wrong) == 0 {
		return nil
	}
	r.result.Violations = append(r.result.Violations, one.wrong...)
	r.say("seed %d round %d: BROKEN %s; data in %s\n", one.seed, one.number, which, one.stand.dir)
	for _, line := range one.wrong {
		r.say("  %s\n", line)
	}
	return errBroken
}

// end stops a stand in order, and looks whether it held more than at its
// beginning.
func (r *run) end(ctx context.Context, s *stand, before level) error {
	last := &round{stand: s, number: r.result.Rounds, seed: r.options.seed}
	leaks, err := s.leaks(ctx, before)
	if err != nil {
		return err
	}
	last.wrong = append(leaks, s.stopServices(ctx)...)
	last.wrong = append(last.wrong, s.takeAlone()...)
	if err := r.verdict(last, "at the end of the stand"); err != nil {
		return err
	}
	r.say("stand %d: nothing leaked, every service left in order\n", r.result.Stands)
	if r.options.keep {
		return nil
	}
	if err := s.destroy(ctx); err != nil {
		return err
	}
	return s.remove()
}
