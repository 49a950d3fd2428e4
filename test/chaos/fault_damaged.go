package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/queue"
)

// damagedFaults kill a worker at what it does with rows and messages that cannot
// be loaded.
func damagedFaults() []fault {
	return []fault{
		{name: "death at refused rows", weight: 2, draw: drawRefusedCrash},
		{name: "death at a damaged message", weight: 2, draw: drawDamagedCrash},
	}
}

// drawRefusedCrash has PostgreSQL refuse many rows of today, and a worker die
// after so many refusals of one.
func drawRefusedCrash(r *rand.Rand) blow {
	name, nth := drawWorker(r), 1+r.IntN(4)
	what := refusal{every: 7, offset: r.IntN(7)}
	return blow{
		detail: fmt.Sprintf("%s dies at %s, at %s", name, crashpoint.LoadRefused.Nth(nth), what),
		strike: func(ctx context.Context, f *field) error {
			f.expectRefused(what)
			if err := f.refuse(ctx, what); err != nil {
				return err
			}
			p, err := f.arm(ctx, name, crashpoint.LoadRefused.Nth(nth))
			if err != nil {
				return err
			}
			return f.awaitDeath(ctx, p, crashpoint.LoadRefused, maintenancePatience)
		},
		heal: func(ctx context.Context, f *field) error {
			// With the database away it is the round's end that lifts it.
			if f.database.running() {
				_ = f.liftRefusals(ctx)
			}
			return disarm(name)(ctx, f)
		},
	}
}

// drawDamagedCrash puts messages into the queue that nobody can read, one after
// the other, until a worker has died after keeping one. Each is kept once, and
// what else is loaded with it does not suffer.
func drawDamagedCrash(r *rand.Rand) blow {
	name, seed := drawWorker(r), r.Uint64()
	return blow{
		detail: name + " dies at " + crashpoint.DamagedKept.Nth(1),
		strike: func(ctx context.Context, f *field) error {
			if !f.storesRun() {
				return nil
			}
			p, err := f.arm(ctx, name, crashpoint.DamagedKept.Nth(1))
			if err != nil {
				return err
			}
			const most = 25 // others get them as well
			for n := 0; n < most && p.running(); n++ {
				if !f.damage(ctx, fmt.Sprintf("nobody can read this: %x %d", seed, n)) {
					break // the queue is away by another fault
				}
				if !pause(ctx, maintenancePatience/most) {
					return ctx.Err()
				}
			}
			return f.awaitDeath(ctx, p, crashpoint.DamagedKept, crashPatience)
		},
		heal: disarm(name),
	}
}

// damage puts a message into the queue and reports whether the queue confirmed
// it. One that it did not may be in it all the same.
func (s *stand) damage(ctx context.Context, message string) bool {
	if s.damaged == nil {
		s.damaged = map[string]bool{}
	}
	s.damaged[message] = false
	_ = s.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		ctx, cancel := context.WithTimeout(ctx, lookPatience)
		defer cancel()
		_, err := js.Publish(ctx, queue.Subject, []byte(message))
		s.damaged[message] = err == nil
		return nil
	})
	return s.damaged[message]
}

// takeDamaged looks whether every damaged message was kept, once and as it was,
// and nothing else, and lets them go as an operator would.
func (r *round) takeDamaged(ctx context.Context) error {
	s := r.stand
	if len(s.damaged) == 0 {
		return nil
	}
	db, err := s.database.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	rows, err := db.Query(ctx, `DELETE FROM nexero.damaged_messages RETURNING convert_from(message, 'UTF8')`)
	if err != nil {
		return fmt.Errorf("take damaged messages: %w", err)
	}
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("take damaged messages: %w", err)
	}
	r.wrong = append(r.wrong, compareDamaged(s.damaged, kept)...)
	s.damaged = nil
	return nil
}

// compareDamaged holds what was kept against what was put into the queue, and
// whether that was confirmed.
func compareDamaged(sent map[string]bool, kept []string) []string {
	var found findings
	times := map[string]int{}
	for _, message := range kept {
		if times[message]++; times[message] > 1 {
			found.add("damaged", "%q is kept twice", message)
		}
		if _, known := sent[message]; !known {
			found.add("damaged", "%q is kept and nobody sent it", message)
		}
	}
	for message, confirmed := range sent {
		if confirmed && times[message] == 0 {
			found.add("damaged", "%q is not kept", message)
		}
	}
	return found.all()
}
