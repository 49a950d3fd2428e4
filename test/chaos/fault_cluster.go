package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// faultsOf are what can be drawn for a stand of the kind that o asks for.
func faultsOf(o options) []fault {
	if !o.cluster {
		return faults()
	}
	// Files of one server alone are not the queue's.
	all := slices.DeleteFunc(faults(), func(f fault) bool {
		return f.name == "older copy of the stream" || f.name == "disk full under nats"
	})
	return append(all, clusterFaults()...)
}

// clusterFaults befall servers of a cluster: with two left posts are taken, with
// one they are answered 503.
func clusterFaults() []fault {
	return []fault{
		{name: "queue leader killed", weight: 6, draw: drawLeaderKilled},
		{name: "queue leader frozen", weight: 6, draw: drawLeaderFrozen},
		{name: "queue node partitioned", weight: 6, draw: drawNodePartitioned},
		{name: "two of three queue nodes away", weight: 4, draw: drawTwoAway},
	}
}

// node returns a server of the cluster.
func (s *stand) node(number int) *process {
	if number == 0 {
		return s.queue
	}
	return s.cluster.peers[number-1]
}

// leader is which server answers for the stream of events, or another while
// nobody says.
func (s *stand) leader(ctx context.Context, other int) int {
	number := other
	_ = s.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, queue.StreamName)
		if err != nil || stream.CachedInfo().Cluster == nil {
			return err
		}
		_, err = fmt.Sscanf(stream.CachedInfo().Cluster.Leader, "chaos-%d", &number)
		return err
	})
	return number
}

func drawLeaderKilled(r *rand.Rand) blow {
	hold, other := between(r, 0, 4*time.Second), r.IntN(nodes)
	struck := other
	return blow{
		detail: lasting("dead", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			struck = f.leader(ctx, other)
			return f.node(struck).kill(ctx)
		},
		heal: func(_ context.Context, f *field) error { return f.node(struck).start() },
	}
}

func drawLeaderFrozen(r *rand.Rand) blow {
	hold, other := between(r, time.Second, 8*time.Second), r.IntN(nodes)
	struck := other
	return blow{
		detail: lasting("frozen", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			struck = f.leader(ctx, other)
			return f.node(struck).freeze()
		},
		heal: func(_ context.Context, f *field) error { return f.node(struck).thaw() },
	}
}

// drawNodePartitioned has a server and the two others not hear each other, while
// clients reach all three.
func drawNodePartitioned(r *rand.Rand) blow {
	hold, node, cut := between(r, time.Second, 9*time.Second), r.IntN(nodes), r.IntN(2) == 0
	detail := fmt.Sprintf("number %d hears nothing of the others", node)
	if cut {
		detail = fmt.Sprintf("number %d cut off from the others", node)
	}
	return blow{
		detail: lasting(detail, hold), hold: hold,
		strike: func(_ context.Context, f *field) error {
			for _, on := range f.cluster.links(node) {
				if cut {
					on.Refuse()
					on.Cut()
				} else {
					on.Blackhole()
				}
			}
			return nil
		},
		heal: func(_ context.Context, f *field) error {
			for _, on := range f.cluster.links(node) {
				on.Pass()
			}
			return nil
		},
	}
}

func drawTwoAway(r *rand.Rand) blow {
	hold, left := between(r, time.Second, 6*time.Second), r.IntN(nodes)
	each := func(f *field, do func(*process) error) error {
		var errs []error
		for node := range nodes {
			if node != left {
				errs = append(errs, do(f.node(node)))
			}
		}
		return errors.Join(errs...)
	}
	return blow{
		detail: lasting(fmt.Sprintf("number %d left", left), hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			return each(f, func(p *process) error { return p.kill(ctx) })
		},
		heal: func(_ context.Context, f *field) error { return each(f, (*process).start) },
	}
}
