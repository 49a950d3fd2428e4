package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// linkFaults are about the lines between services and stores.
func linkFaults() []fault {
	return []fault{
		{name: "line cut", weight: 3, draw: drawCut},
		{name: "line held", weight: 3, draw: drawHeld},
		{name: "line refused", weight: 2, draw: drawRefusedLine},
		{name: "line delayed", weight: 2, draw: drawDelayed},
		{name: "line half closed", weight: 2, draw: drawHalfClosed},
		{name: "answer lost", weight: 8, draw: drawAnswerLost},
	}
}

// line names a link by its two ends.
type line struct{ from, to string }

func (l line) String() string { return l.from + " to " + l.to }

// lines are all links of a stand.
func lines() []line {
	var all []line
	for _, name := range targets() {
		if name == "nats" {
			continue
		}
		all = append(all, line{name, toNATS})
		if !strings.HasPrefix(name, string(kindIngest)) {
			all = append(all, line{name, toDatabase})
		}
	}
	return all
}

// The ends of a line that are not services.
const (
	toNATS     = "nats"
	toDatabase = "postgres"
)

func drawLine(r *rand.Rand) line {
	all := lines()
	return all[r.IntN(len(all))]
}

// onLine is a blow to one line that is taken back by letting all pass.
func onLine(l line, what string, hold time.Duration, strike func(link.Bundle)) blow {
	return blow{
		detail: lasting(l.String()+" "+what, hold), hold: hold,
		strike: func(_ context.Context, f *field) error {
			on, err := f.line(l)
			if err != nil {
				return err
			}
			strike(on)
			return nil
		},
		heal: func(_ context.Context, f *field) error {
			on, err := f.line(l)
			if err != nil {
				return err
			}
			on.Pass()
			return nil
		},
	}
}

// drawCut resets connections, several times within a short while.
func drawCut(r *rand.Rand) blow {
	l, times := drawLine(r), 1+r.IntN(5)
	return blow{
		detail: l.String() + " reset " + plural(times, "time"),
		strike: func(ctx context.Context, f *field) error {
			on, err := f.line(l)
			if err != nil {
				return err
			}
			for range times {
				on.Cut()
				if !pause(ctx, 150*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
	}
}

// drawHeld is a black hole in one direction or both: nobody is told that nothing
// arrives. What was held arrives in the end.
func drawHeld(r *rand.Rand) blow {
	l, hold := drawLine(r), between(r, time.Second, 9*time.Second)
	switch r.IntN(3) {
	case 0:
		return onLine(l, "says nothing", hold, func(on link.Bundle) { on.Blackhole(link.ToServer) })
	case 1:
		return onLine(l, "hears nothing", hold, func(on link.Bundle) { on.Blackhole(link.ToClient) })
	default:
		return onLine(l, "says and hears nothing", hold, func(on link.Bundle) { on.Blackhole() })
	}
}

func drawRefusedLine(r *rand.Rand) blow {
	return onLine(drawLine(r), "cut and refused", between(r, time.Second, 6*time.Second), func(on link.Bundle) {
		on.Refuse()
		on.Cut()
	})
}

func drawDelayed(r *rand.Rand) blow {
	l, hold, late := drawLine(r), between(r, time.Second, 6*time.Second), between(r, 20*time.Millisecond, 800*time.Millisecond)
	return onLine(l, "late by "+late.String(), hold, func(on link.Bundle) { on.Delay(late) })
}

func drawHalfClosed(r *rand.Rand) blow {
	l, hold := drawLine(r), between(r, time.Second, 3*time.Second)
	if r.IntN(2) == 0 {
		return onLine(l, "ended by the service", hold, func(on link.Bundle) { on.HalfClose(link.ToServer) })
	}
	return onLine(l, "ended by the server", hold, func(on link.Bundle) { on.HalfClose(link.ToClient) })
}

// drawAnswerLost cuts a line where an answer, or what asks for it, would have
// passed: one side knows what the other does not.
func drawAnswerLost(r *rand.Rand) blow {
	cases := []struct {
		what string
		kind kind
		to   string
		said link.Said
	}{
		{"COMMIT", kindWorker, toDatabase, link.Said{Direction: link.ToServer, Pattern: link.CommitAsked}},
		{"the answer to COMMIT", kindWorker, toDatabase, link.Said{Direction: link.ToClient, Pattern: link.CommitAnswered}},
		{"an ack", kindWorker, toNATS, link.Said{Direction: link.ToServer, Pattern: link.Acked}},
		{"a publish", kindIngest, toNATS, link.Said{Direction: link.ToServer, Pattern: link.Published}},
		{"a PubAck", kindIngest, toNATS, link.Said{Direction: link.ToClient, Pattern: link.PublishAnswered}},
	}
	one := cases[r.IntN(len(cases))]
	number := r.IntN(ingests)
	if one.kind == kindWorker {
		number = r.IntN(workers)
	}
	l := line{fmt.Sprintf("%s-%d", one.kind, number), one.to}
	one.said.N = 1 + r.IntN(6)
	silent := r.IntN(3) == 0
	how, hold := "cut", 3*time.Second
	if silent {
		how, hold = "held for ever", ackWait+2*time.Second
	}
	return blow{
		detail: fmt.Sprintf("%s: %s, number %d, %s", l, one.what, one.said.N, how), hold: 0,
		strike: func(ctx context.Context, f *field) error {
			on, err := f.line(l)
			if err != nil {
				return err
			}
			arm := on.CutOn
			if silent {
				arm = on.HoldOn
			}
			select {
			case <-arm(one.said):
				f.reached("lost " + one.what)
				if silent {
					pause(ctx, hold)
					// What was held must not arrive: that is what the others are for.
					on.Cut()
				}
			case <-time.After(hold):
			case <-ctx.Done():
			}
			return ctx.Err()
		},
		heal: func(_ context.Context, f *field) error {
			on, err := f.line(l)
			if err != nil {
				return err
			}
			on.Pass()
			return nil
		},
	}
}

// line returns the links of a service to a store, of which a cluster has several
// servers.
func (s *stand) line(l line) (link.Bundle, error) {
	for _, service := range s.services {
		if on := service.lines[l.to]; service.name == l.from && on != nil {
			return on, nil
		}
	}
	return nil, fmt.Errorf("the stand has no line from %s", l)
}
