package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// refusedFaults are rows that PostgreSQL does not take.
func refusedFaults() []fault {
	return []fault{{name: "rows refused", weight: 4, draw: drawRefusedRows}}
}

// refusal is which rows are refused: those of every so many positions of a
// batch, or session reports.
type refusal struct {
	every, offset int
	reports       bool
}

func (f refusal) String() string {
	if f.reports {
		return "every second session report"
	}
	return fmt.Sprintf("positions %d, %d and so on", f.offset, f.offset+f.every)
}

// meant reports whether an event at a position is one of those.
func (f refusal) meant(index int) bool {
	if f.reports {
		return index == -1
	}
	return index >= 0 && index%f.every == f.offset
}

// refusalName is the constraint that refuses.
const refusalName = "chaos_refuses"

// drawRefusedRows has PostgreSQL refuse some rows of today for a while. Those
// and no others are put aside, and after it is over they are stored, once, by
// `nexero rejected replay`.
func drawRefusedRows(r *rand.Rand) blow {
	hold := between(r, 500*time.Millisecond, 3*time.Second)
	every := []int{2, 7, 31}[r.IntN(3)]
	what := refusal{every: every, offset: r.IntN(every), reports: r.IntN(5) == 0}
	return blow{
		detail: lasting(what.String(), hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			f.expectRefused(what)
			return f.refuse(ctx, what)
		},
		heal: func(ctx context.Context, f *field) error {
			// With the database away it is the round's end that lifts it.
			if f.database.running() {
				_ = f.liftRefusals(ctx)
			}
			return ctx.Err()
		},
	}
}

// expectRefused notes whose refusal is nobody's fault.
func (s *stand) expectRefused(what refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, what)
}

// refuse makes PostgreSQL refuse rows. One that is away, or that gives no lock,
// refuses none.
func (s *stand) refuse(ctx context.Context, what refusal) error {
	db, err := s.database.connect(ctx)
	if err != nil {
		return nil // it is away by another fault
	}
	defer func() { _ = db.Close(ctx) }()
	check := fmt.Sprintf("event_index %% %d <> %d", what.every, what.offset)
	day := time.Now().UTC().Format("20060102")
	tables := []string{"nexero.events_pose_" + day, "nexero.events_other_" + day}
	if what.reports {
		check, tables = "batch_no % 2 <> 0", []string{"nexero.session_reports"}
	}
	for _, table := range tables {
		_, _ = db.Exec(ctx, fmt.Sprintf(`DO $$ BEGIN
			SET LOCAL lock_timeout = '2s';
			ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID;
		END $$`, table, refusalName, check))
	}
	return ctx.Err()
}

// liftRefusals takes all of them away; without any it changes nothing. The
// server may still be recovering from another fault.
func (s *stand) liftRefusals(ctx context.Context) error {
	const patience = 20 * time.Second
	return poll(ctx, patience, "rows to be taken again", func() (bool, error) {
		db, err := s.database.connect(ctx)
		if err != nil {
			return false, err
		}
		defer func() { _ = db.Close(ctx) }()
		_, err = db.Exec(ctx, `DO $$ DECLARE t regclass; BEGIN
			SET LOCAL lock_timeout = '2s';
			FOR t IN SELECT conrelid FROM pg_constraint WHERE conname = '`+refusalName+`' LOOP
				EXECUTE format('ALTER TABLE %s DROP CONSTRAINT `+refusalName+`', t);
			END LOOP;
		END $$`)
		return err == nil, err
	})
}
