package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// processFaults end or freeze NATS and the services.
func processFaults() []fault {
	return []fault{
		{name: "kill", weight: 6, draw: drawKill},
		{name: "terminate", weight: 3, draw: drawTerminate},
		{name: "freeze", weight: 4, draw: drawFreeze},
		{name: "kill all of a kind", weight: 1, draw: drawKillAll},
	}
}

// targets are all that can be hit: by name, since the stand changes.
func targets() []string {
	return []string{"ingest-0", "ingest-1", "worker-0", "worker-1", "worker-2", "query-0", "nats"}
}

func drawTarget(r *rand.Rand) string {
	names := targets()
	return names[r.IntN(len(names))]
}

// find returns the process of a name.
func (s *stand) find(name string) (*process, error) {
	for _, p := range s.all() {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the stand has no %s", name)
}

// revive starts a process without waiting for it to be ready.
func revive(name string) func(context.Context, *field) error {
	return func(_ context.Context, f *field) error {
		p, err := f.find(name)
		if err != nil {
			return err
		}
		return p.start()
	}
}

// drawKill is a power cut of one process, of all of it but the disk.
func drawKill(r *rand.Rand) blow {
	name, hold := drawTarget(r), between(r, 0, 3*time.Second)
	return blow{
		detail: lasting(name+" dead", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			p, err := f.find(name)
			if err != nil {
				return err
			}
			return p.kill(ctx)
		},
		heal: revive(name),
	}
}

// drawKillAll kills all of a kind at the same instant.
func drawKillAll(r *rand.Rand) blow {
	k := []kind{kindIngest, kindWorker}[r.IntN(2)]
	hold := between(r, 0, 4*time.Second)
	return blow{
		detail: lasting(fmt.Sprintf("every %s dead", k), hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			var errs []error
			for _, service := range f.of(k) {
				errs = append(errs, service.kill(ctx))
			}
			return errors.Join(errs...)
		},
		heal: func(_ context.Context, f *field) error {
			var errs []error
			for _, service := range f.of(k) {
				errs = append(errs, service.start())
			}
			return errors.Join(errs...)
		},
	}
}

// drawTerminate asks a process to stop. It has to end within its deadline even
// when what it needs is away; whether it leaves in order then is not for it to
// decide.
func drawTerminate(r *rand.Rand) blow {
	name, hold := drawTarget(r), between(r, 0, 2*time.Second)
	return blow{
		detail: lasting(name+" stopped by SIGTERM", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			p, err := f.find(name)
			if err != nil {
				return err
			}
			// A process that another fault froze cannot hear.
			if err := p.thaw(); err != nil {
				return err
			}
			if _, err = p.terminate(ctx, stopPatience); errors.Is(err, errStillThere) {
				f.broken("after SIGTERM %v; its stacks are in %s.log", err, name)
				return nil
			}
			return err
		},
		heal: revive(name),
	}
}

// drawFreeze stops a process where it is, for less or more than AckWait: what it
// holds is given to others meanwhile, and then it goes on.
func drawFreeze(r *rand.Rand) blow {
	name, hold := drawTarget(r), between(r, time.Second, ackWait+4*time.Second)
	return blow{
		detail: lasting(name+" frozen", hold), hold: hold,
		strike: func(_ context.Context, f *field) error {
			p, err := f.find(name)
			if err != nil {
				return err
			}
			return p.freeze()
		},
		heal: func(_ context.Context, f *field) error {
			p, err := f.find(name)
			if err != nil {
				return err
			}
			return p.thaw()
		},
	}
}
