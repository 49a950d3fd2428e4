package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// crashFaults kill a service at a named step.
func crashFaults() []fault {
	return []fault{{name: "crash point", weight: 10, draw: drawCrash}}
}

// ingestPoints are reached by posts; workerPoints by loads and roll-ups of the
// data that headsets send. Points of retention, replays and damaged messages are
// reached by faults that bring those about, and by tests.
func ingestPoints() []crashpoint.Point {
	return []crashpoint.Point{
		crashpoint.IngestBeforePublish, crashpoint.IngestPublished, crashpoint.IngestBeforeRetry, crashpoint.IngestConfirmed,
		crashpoint.IngestBeforeState, crashpoint.IngestStateWritten, crashpoint.IngestBeforeAnswer, crashpoint.IngestDraining,
		crashpoint.QueueStateRead,
	}
}

func workerPoints() []crashpoint.Point {
	return []crashpoint.Point{
		crashpoint.QueuePulled,
		crashpoint.WorkerGathered, crashpoint.WorkerBeforeLoad, crashpoint.WorkerCommitted, crashpoint.WorkerAcked, crashpoint.WorkerDraining,
		crashpoint.LoadLedger, crashpoint.LoadBeforeCopy, crashpoint.LoadInCopy, crashpoint.LoadCopied, crashpoint.LoadBeforeCommit, crashpoint.LoadCommitted,
		crashpoint.SessionsMade, crashpoint.SessionsLocked, crashpoint.SessionsTouchesTaken, crashpoint.SessionsRead, crashpoint.SessionsWholeRead,
		crashpoint.SessionsFolded, crashpoint.SessionsStored, crashpoint.SessionsBeforeCommit, crashpoint.SessionsCommitted,
		crashpoint.CustomersMade, crashpoint.CustomersLocked, crashpoint.CustomersTouchesTaken, crashpoint.CustomersRead, crashpoint.CustomersStored,
		crashpoint.CustomersBeforeCommit, crashpoint.CustomersCommitted,
		crashpoint.AggregatesPortion, crashpoint.QualityMoved, crashpoint.QualityCommitted,
	}
}

// crashPatience is how long an armed process may take to reach its point. Some
// are not reached in every round: no retry where nothing failed.
const crashPatience = 4 * time.Second

// drawCrash starts a service again so that it dies at a point, and waits until it
// has.
func drawCrash(r *rand.Rand) blow {
	name, points := fmt.Sprintf("ingest-%d", r.IntN(ingests)), ingestPoints()
	if r.IntN(3) > 0 {
		name, points = fmt.Sprintf("worker-%d", r.IntN(workers)), workerPoints()
	}
	point, nth := points[r.IntN(len(points))], 1+r.IntN(4)
	setting := point.Nth(nth)
	drains := point == crashpoint.IngestDraining || point == crashpoint.WorkerDraining
	if drains {
		setting = point.Nth(1) // there is one stop in a life
	}
	return blow{
		detail: name + " dies at " + setting,
		strike: func(ctx context.Context, f *field) error {
			p, err := f.arm(ctx, name, setting)
			if err != nil {
				return err
			}
			if drains {
				if !pause(ctx, crashPatience/2) {
					return ctx.Err()
				}
				if _, err := p.terminate(ctx, stopPatience); err != nil {
					f.broken("after SIGTERM %v; its stacks are in %s.log", err, name)
				}
			}
			return f.awaitDeath(ctx, p, point, crashPatience)
		},
		heal: disarm(name),
	}
}

// arm starts a service again so that it dies where a setting of
// [crashpoint.Variable] says; settings are on top of its own.
func (f *field) arm(ctx context.Context, name, setting string, settings ...string) (*process, error) {
	p, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if err := p.kill(ctx); err != nil {
		return nil, err
	}
	return p, p.startDoomed(append(settings, crashpoint.Variable+"="+setting)...)
}

// awaitDeath waits until an armed process has ended, and counts it if it has.
func (f *field) awaitDeath(ctx context.Context, p *process, point crashpoint.Point, patience time.Duration) error {
	err := poll(ctx, patience, "a crash", func() (bool, error) { return !p.running(), nil })
	if err == nil {
		f.reached("crash at " + string(point))
	}
	return ctx.Err()
}

// disarm starts a service as it was. One that lives on is not to die while the
// books are balanced.
func disarm(name string) func(context.Context, *field) error {
	return func(ctx context.Context, f *field) error {
		p, err := f.find(name)
		if err != nil {
			return err
		}
		if err := p.kill(ctx); err != nil {
			return err
		}
		return p.start()
	}
}
