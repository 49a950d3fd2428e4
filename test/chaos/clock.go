package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nexero-vr/nexero/internal/sim"
	"github.com/nexero-vr/nexero/internal/wrongclock"
)

// clockFile is where the service of a name reads how wrong its clock is.
func (s *stand) clockFile(name string) string { return filepath.Join(s.dir, name+".clock") }

func (s *stand) clockSetting(name string) string {
	return wrongclock.Variable + "=" + s.clockFile(name)
}

// setClock makes the clock of a service wrong, or right again by 0, at once.
func (s *stand) setClock(name string, offset time.Duration) error {
	file := s.clockFile(name)
	if err := os.WriteFile(file+".new", []byte(offset.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// rightClocks sets all clocks right.
func (s *stand) rightClocks() error {
	var errs []error
	for _, ingest := range s.of(kindIngest) {
		errs = append(errs, s.setClock(ingest.name, 0))
	}
	return errors.Join(errs...)
}

// guestNumber is that of the ingest that is there for one fault only.
const guestNumber = 9

// withGuest starts one more ingest, which the headsets of the round do not know,
// and stops it in order afterwards. Without the queue, away by another fault, it
// cannot start: then do is not called, which is no error.
func (f *field) withGuest(ctx context.Context, offset time.Duration, do func(*service) error) (err error) {
	if !f.storesRun() {
		return nil
	}
	if err := f.addService(ctx, kindIngest, guestNumber); err != nil {
		return err
	}
	last := len(f.services) - 1
	guest := f.services[last]
	f.services = f.services[:last]
	defer func() {
		err = errors.Join(err, guest.kill(context.WithoutCancel(ctx)))
		for _, on := range guest.lines {
			on.Stop()
		}
	}()
	if err := f.setClock(guest.name, offset); err != nil {
		return err
	}
	if err := guest.start(); err != nil {
		return err
	}
	if err := poll(ctx, guestPatience, guest.name+" to be ready", func() (bool, error) {
		err := guest.ready(ctx)
		return err == nil, err
	}); err != nil {
		if _, overdue := errors.AsType[*overdueError](err); overdue {
			return nil
		}
		return err
	}
	if err := do(guest); err != nil {
		return err
	}
	status, err := guest.terminate(ctx, stopPatience)
	if err != nil || status != 0 {
		f.broken("after SIGTERM %s exits %d (%v), see %s.log", guest.name, status, err, guest.name)
	}
	return nil
}

// Of tours of another day.
const (
	guestPatience = 15 * time.Second
	dayPatience   = 8 * time.Second
)

// tourAt lets headsets of their own post to one ingest what they lived through
// until now plus offset, for a while. Their clocks and the ingest's agree.
func (f *field) tourAt(ctx context.Context, to *service, offset, hold time.Duration, seed uint64) error {
	ctx, cancel := context.WithTimeout(ctx, hold+dayPatience)
	defer cancel()
	t, err := startTours(ctx, f.traffic, seed, time.Now().Add(offset), to.listen)
	if err != nil {
		return err
	}
	pause(ctx, hold)
	return t.finish()
}

// startTours is startTraffic for tours that end at a time of their own.
func startTours(ctx context.Context, of *traffic, seed uint64, end time.Time, base string) (*traffic, error) {
	run, err := sim.New(sim.Options{
		Seed: seed, Headsets: headsets, Start: end.Add(-tourLength).Truncate(time.Second),
		Duration: tourLength, Habits: sim.Usual(),
	})
	if err != nil {
		return nil, fmt.Errorf("tours until %s: %w", end, err)
	}
	t := &traffic{
		ledger: of.ledger, first: of.first, expired: time.Since(end) > usualRetention, stop: make(chan struct{}), bases: []string{base},
		client: &http.Client{Timeout: attemptTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: headsets}},
	}
	for number := range headsets {
		h := &headset{traffic: t, number: number, chances: rand.New(rand.NewPCG(seed, uint64(number)))}
		t.group.Go(func() {
			if err := h.play(ctx, run, number); err != nil {
				t.fail(err)
			}
		})
	}
	return t, nil
}
