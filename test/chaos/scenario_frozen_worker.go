package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// What bounds the time until another worker has loaded what a frozen one holds:
// the queue waits for AckWait; the other one waits for locks until its time-out
// and then ends the frozen COPY, which is older than the statement time-out by
// then; and it has its own time-out for a load.
const (
	statementTimeout = 3 * time.Second
	loadTimeout      = 4 * time.Second
	takenOverWithin  = ackWait + statementTimeout + loadTimeout
	// nthPiece is the piece of a COPY at which the worker stops.
	nthPiece = 6
)

// frozenWorker freezes each worker in turn while it sends rows.
//
// rule 2, rule 10
func frozenWorker() scenario {
	return scenario{
		name: "frozen-worker", minutes: time.Minute,
		about: "each worker in turn is stopped by SIGSTOP between two pieces of a COPY, and goes on after the time is over",
		play:  playFrozenWorker,
	}
}

func playFrozenWorker(ctx context.Context, a *act) error {
	l, err := startLoad(ctx, a, headsets, meanPause/2)
	if err != nil {
		return err
	}
	if !pause(ctx, warmUp/2) {
		return ctx.Err()
	}
	for _, worker := range a.of(kindWorker) {
		if err := a.freezeInCopy(ctx, worker); err != nil {
			return err
		}
	}
	return l.finish()
}

// freezeInCopy has one worker stop inside a COPY and measures what the others
// make of it.
func (a *act) freezeInCopy(ctx context.Context, worker *service) error {
	connection, err := a.look(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(ctx) }()
	db, err := a.database.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	// Whatever comes, it does not stay as it is.
	defer func() { _ = worker.thaw() }()
	var copies int64
	// The n-th piece may be one that the server has not been told of yet.
	for nth := nthPiece; copies == 0; nth++ {
		if nth == nthPiece+10 {
			return errNoCopy
		}
		if copies, err = a.stopAt(ctx, db, worker, nth); err != nil {
			return err
		}
	}
	frozen := time.Now()
	status, err := connection.Status(ctx)
	if err != nil {
		return err
	}
	a.show(worker.name+" frozen", "with %d messages at workers, %d COPY waiting for its client", status.AckPending, copies)
	// The longest time in which no batch at all was loaded.
	var longest time.Duration
	last, lastAt, held := int64(0), frozen, time.Duration(0)
	if err := poll(ctx, a.lasts, "all that was there to be loaded", func() (bool, error) {
		batches, err := count(ctx, db, "SELECT count(*) FROM nexero.batches")
		if err != nil {
			return false, err
		}
		if now := time.Now(); batches != last {
			longest, last, lastAt = max(longest, now.Sub(lastAt)), batches, now
		}
		now, err := connection.Status(ctx)
		if err != nil {
			return false, err
		}
		if held == 0 && now.FirstSequence > status.LastSequence {
			held = time.Since(frozen)
		}
		// A while longer, to see that the others go on.
		return held > 0 && time.Since(frozen) > takenOverWithin+5*time.Second, errStillHeld
	}); err != nil {
		if late, err := overdue(err); !late {
			return err
		}
	}
	longest = max(longest, time.Since(lastAt))
	a.promise(held > 0 && held <= takenOverWithin, "its messages are loaded by others", "within "+takenOverWithin.String()+": AckWait and the time-outs",
		"after %s", held.Round(10*time.Millisecond))
	a.promise(longest <= ackWait, "longest time in which the others loaded nothing", "within AckWait, "+ackWait.String(), "%s", longest.Round(10*time.Millisecond))
	if !stopped(ctx, worker.process) {
		return errNoCopy
	}
	return a.goesOn(ctx, worker)
}

// stopAt starts a worker so that it stops at the n-th piece of a COPY, and
// returns how many COPY wait for their clients then. The others stand still until
// it has: where all of them are quick, no COPY has a second piece.
func (a *act) stopAt(ctx context.Context, db *pgx.Conn, worker *service, nth int) (copies int64, err error) {
	if err := worker.kill(ctx); err != nil {
		return 0, err
	}
	var errs []error
	others := slices.DeleteFunc(a.of(kindWorker), func(other *service) bool { return other == worker })
	for _, other := range others {
		errs = append(errs, other.freeze())
	}
	errs = append(errs, worker.startDoomed(crashpoint.StopVariable+"="+crashpoint.LoadInCopy.Nth(nth)),
		poll(ctx, raisePatience, worker.name+" to stop inside a COPY", func() (bool, error) { return stopped(ctx, worker.process), nil }))
	for _, other := range others {
		errs = append(errs, other.thaw())
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	// Those of the others are over in no time, and it has only just begun itself.
	const begun = 2 * time.Second
	err = poll(ctx, begun, "a COPY that waits for its client", func() (bool, error) {
		var err error
		copies, err = count(ctx, db, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%COPY nexero.events %'
			AND state = 'active' AND wait_event = 'ClientRead' AND query_start < clock_timestamp() - interval '50 milliseconds'`)
		return copies > 0, err
	})
	if late, err := overdue(err); !late {
		return copies, err
	}
	return 0, nil // not here; see who calls
}

var errNoCopy = errors.New("the worker could not be made to stay inside a COPY")

var errStillHeld = errors.New("messages are still there")

// goesOn lets the worker go on, in whose hands everything is out of date.
func (a *act) goesOn(ctx context.Context, worker *service) error {
	if err := worker.thaw(); err != nil {
		return err
	}
	thawed := time.Now()
	return a.timed(ctx, "from going on to being ready", thawed, ackWait+loadTimeout, resumePatience, func() (bool, error) {
		err := worker.ready(ctx)
		return err == nil, err
	})
}

// stopped reports whether a process was stopped by a signal.
func stopped(ctx context.Context, p *process) bool {
	state, err := p.asked(ctx, "state")
	return err == nil && strings.HasPrefix(state, "T")
}
