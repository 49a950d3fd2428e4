package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// roundPatience bounds a round; every wait in it is bounded too, so this is for
// what nobody thought of.
const roundPatience = 8 * time.Minute

// enough is how many posts make sure that there is something to break before
// the faults of a round, and that all works again after them.
const enough = 25

// round is one set of faults and the balance after it.
type round struct {
	stand  *stand
	ledger *ledger
	number int
	seed   uint64
	say    func(format string, arguments ...any)
	wrong  []string
	// reached are what faults brought about beyond what was drawn.
	reached []string
}

func (r *round) broken(format string, arguments ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, arguments...))
}

func (r *round) reach(name string) { r.reached = append(r.reached, name) }

// play lets headsets post, strikes, heals, settles and checks. What is wrong is
// in r.wrong; an error is trouble of the harness.
func (r *round) play(ctx context.Context, blows []drawn) (books, error) {
	ctx, cancel := context.WithTimeout(ctx, roundPatience)
	defer cancel()
	// Tours of their own: the same walk in two rounds would be a repeat.
	traffic, err := startTraffic(ctx, r.stand, r.ledger, r.seed<<20+uint64(r.number))
	if err != nil {
		return books{}, err
	}
	err = r.strike(ctx, &field{stand: r.stand, traffic: traffic, broken: r.broken, reached: r.reach}, blows)
	// Everything is healed before headsets stop, so that they end as they would.
	if err == nil {
		err = r.judge("after healing", r.stand.mend(ctx))
	}
	// Posts are taken again without anybody's help.
	if err == nil {
		err = r.flow(ctx, enough)
	}
	if err = errors.Join(err, traffic.finish()); err != nil {
		return books{}, err
	}
	return r.balance(ctx)
}

// strike lets the blows fall one after the other, some before the ones before
// them are over, and heals each after its time.
func (r *round) strike(ctx context.Context, f *field, blows []drawn) error {
	// There has to be something to break.
	if err := r.flow(ctx, enough); err != nil {
		return err
	}
	type due struct {
		at   time.Time
		blow *drawn
	}
	var healing []due
	heal := func(until time.Time) error {
		slices.SortStableFunc(healing, func(a, b due) int { return a.at.Compare(b.at) })
		for len(healing) > 0 && !healing[0].at.After(until) {
			next := healing[0]
			healing = healing[1:]
			if !pause(ctx, time.Until(next.at)) {
				return ctx.Err()
			}
			if err := next.blow.heal(ctx, f); err != nil {
				return fmt.Errorf("heal %s: %w", next.blow.name, err)
			}
		}
		return nil
	}
	for i := range blows {
		b := &blows[i]
		falls := time.Now().Add(b.after)
		if err := heal(falls); err != nil {
			return err
		}
		if !pause(ctx, time.Until(falls)) {
			return ctx.Err()
		}
		if err := b.strike(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if b.heal != nil {
			healing = append(healing, due{time.Now().Add(b.hold), b})
		}
	}
	return heal(time.Now().Add(roundPatience))
}

// flow waits until some more posts were acknowledged.
func (r *round) flow(ctx context.Context, posts int) error {
	target := r.ledger.acknowledged() + posts
	return r.judge("before or after the faults", poll(ctx, raisePatience, "posts to be acknowledged", func() (bool, error) {
		return r.ledger.acknowledged() >= target, nil
	}))
}

// judge tells a promise that was not kept in time, which is the product's, from
// trouble of the harness.
func (r *round) judge(when string, err error) error {
	if overdue, ok := errors.AsType[*overdueError](err); ok {
		r.broken("%s: %v", when, overdue)
		return nil
	}
	return err
}

// balance waits for rest and compares the books.
func (r *round) balance(ctx context.Context) (books, error) {
	r.wrong = append(r.wrong, r.stand.takeAlone()...)
	r.wrong = append(r.wrong, r.ledger.takeSurprises()...)
	before := len(r.wrong)
	if err := r.judge("draining", r.stand.settle(ctx)); err != nil {
		return books{}, fmt.Errorf("settle: %w", err)
	}
	if len(r.wrong) > before {
		return books{}, nil // what has not come to rest cannot be compared
	}
	if err := r.takeBack(ctx); err != nil || len(r.wrong) > before {
		return books{}, err
	}
	if err := r.takeDamaged(ctx); err != nil {
		return books{}, err
	}
	if err := r.giveUp(ctx); err != nil || len(r.wrong) > before {
		return books{}, err
	}
	sum, wrong, err := check(ctx, r.stand, r.ledger)
	if err != nil {
		return sum, fmt.Errorf("check: %w", err)
	}
	r.wrong = append(r.wrong, wrong...)
	for _, look := range []func(context.Context, *stand) ([]string, error){verify, checkRevoked} {
		wrong, err := look(ctx, r.stand)
		if err != nil {
			return sum, err
		}
		r.wrong = append(r.wrong, wrong...)
	}
	return sum, nil
}

// describe is the line of one blow: what it takes to see what happened.
func (r *round) describe(b *drawn) {
	r.say("seed %d round %d: +%s %s: %s\n", r.seed, r.number, b.after, b.name, b.detail)
}

// plural counts things in words.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s", n, strings.TrimSuffix(what, "s")+"s")
}
