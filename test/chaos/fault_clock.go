package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const oneDay = 24 * time.Hour

// clockFaults are about ingests whose clock is wrong.
func clockFaults() []fault {
	return []fault{
		{name: "clock jump", weight: 2, draw: drawClockJump},
		{name: "receipts of another day", weight: 2, draw: drawAnotherDay},
		{name: "backlog of ten days", weight: 1, draw: drawBacklog},
	}
}

// drawClockJump sets the clock of an ingest wrong while headsets post to it, and
// right again. What it receives meanwhile may count as received later than
// tomorrow, and its events as of the future: all of that is kept, and is stored
// when it is judged again.
func drawClockJump(r *rand.Rand) blow {
	name, hold := fmt.Sprintf("ingest-%d", r.IntN(ingests)), between(r, 500*time.Millisecond, 4*time.Second)
	offset := []time.Duration{36 * time.Hour, 3 * oneDay, oneDay, time.Hour, -time.Hour, -oneDay, -61 * time.Second, 90 * time.Second}[r.IntN(8)]
	return blow{
		detail: lasting(name+" off by "+offset.String(), hold), hold: hold,
		strike: func(_ context.Context, f *field) error {
			f.traffic.mixClocks()
			return f.setClock(name, offset)
		},
		heal: func(_ context.Context, f *field) error { return f.setClock(name, 0) },
	}
}

// mixClocks notes that the ingests' clocks no longer agree: what one of them
// accepts the other may reject, and within a session times may be shifted by
// different amounts. It holds for the traffic's answers, and for what is true of
// looks and touches until the stand's end.
func (t *traffic) mixClocks() {
	t.mixed.Store(true)
	t.ledger.mixed.Store(true)
}

// drawAnotherDay has tours of another day arrive on that day, as the guest's
// clock says: days that were never written, tomorrow, and days later than that,
// which are put aside whole.
func drawAnotherDay(r *rand.Rand) blow {
	offset := time.Duration(r.IntN(14)-10) * oneDay
	hold, seed := between(r, 500*time.Millisecond, 2*time.Second), r.Uint64()
	return blow{
		detail: lasting("off by "+offset.String(), hold),
		strike: func(ctx context.Context, f *field) error {
			return f.withGuest(ctx, offset, func(guest *service) error {
				return f.tourAt(ctx, guest, offset, hold, seed)
			})
		},
	}
}

// drawBacklog kills every worker and has tours of each of the last ten days
// arrive meanwhile: partitions of all those days have to be there before the
// first of them is loaded.
func drawBacklog(r *rand.Rand) blow {
	const days = 10
	seed := r.Uint64()
	return blow{
		detail: "every worker dead, tours of ten days arrive",
		strike: func(ctx context.Context, f *field) error {
			var errs []error
			for _, worker := range f.of(kindWorker) {
				errs = append(errs, worker.kill(ctx))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			return f.withGuest(ctx, -days*oneDay, func(guest *service) error {
				for ago := days; ago > 0; ago-- {
					offset := -time.Duration(ago) * oneDay
					if err := f.setClock(guest.name, offset); err != nil {
						return err
					}
					if err := f.tourAt(ctx, guest, offset, 400*time.Millisecond, seed+uint64(ago)); err != nil {
						return err
					}
				}
				f.reached("ten days in the queue")
				return nil
			})
		},
		heal: func(_ context.Context, f *field) error {
			var errs []error
			for _, worker := range f.of(kindWorker) {
				errs = append(errs, worker.start())
			}
			return errors.Join(errs...)
		},
	}
}
