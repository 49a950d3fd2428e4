package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// faultsOf are what can be drawn for a stand of the kind that o asks for.
func faultsOf(o options) []fault {
	if !o.cluster {
		return faults()
	}
	return append(faults(), clusterFaults()...)
}

// clusterFaults befall servers of a cluster: with two left posts are taken, with
// one they are answered 503.
func clusterFaults() []fault {
	return []fault{
		{name: "queue leader killed", weight: 6, draw: drawLeaderKilled},
		{name: "queue leader frozen", weight: 6, draw: drawLeaderFrozen},
		{name: "queue node partitioned", weight: 6, draw: drawNodePartitioned},
		{name: "two of three queue nodes away", weight: 4, draw: drawTwoAway},
		{name: "every queue node killed", weight: 3, draw: drawEveryNodeKilled},
		{name: "queue leader moved", weight: 3, draw: drawLeaderMoved},
		{name: "queue nodes restarted in turn", weight: 2, draw: drawNodesInTurn},
	}
}

// node returns a server of the cluster.
func (s *stand) node(number int) *process { return s.queueNodes()[number] }

// seat is what a leader answers for: the stream of events or its consumer, which
// may be led by different servers.
type seat int

const (
	seatOfStream seat = iota
	seatOfConsumer
)

func drawSeat(r *rand.Rand) seat { return seat(r.IntN(2)) }

func (s seat) String() string { return []string{"the stream", "the consumer"}[s] }

// leader is which server has the seat, or another while nobody says.
func (s *stand) leader(ctx context.Context, of seat, other int) int {
	number := other
	_ = s.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		led, err := membersOf(ctx, js, of)
		if err != nil || led == nil {
			return err
		}
		if _, err := fmt.Sscanf(led.Leader, "chaos-%d", &number); err != nil {
			number = other // it is being elected
		}
		return nil
	})
	return number
}

func membersOf(ctx context.Context, js jetstream.JetStream, of seat) (*jetstream.ClusterInfo, error) {
	if of == seatOfStream {
		stream, err := js.Stream(ctx, queue.StreamName)
		if err != nil {
			return nil, err
		}
		return stream.CachedInfo().Cluster, nil
	}
	consumer, err := js.Consumer(ctx, queue.StreamName, queue.ConsumerName)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo().Cluster, nil
}

func drawLeaderKilled(r *rand.Rand) blow {
	hold, other, of := between(r, 0, 4*time.Second), r.IntN(nodes), drawSeat(r)
	struck := other
	return blow{
		detail: lasting("of "+of.String()+", dead", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			struck = f.leader(ctx, of, other)
			return f.node(struck).kill(ctx)
		},
		heal: func(_ context.Context, f *field) error { return f.node(struck).start() },
	}
}

func drawLeaderFrozen(r *rand.Rand) blow {
	hold, other, of := between(r, time.Second, 8*time.Second), r.IntN(nodes), drawSeat(r)
	struck := other
	return blow{
		detail: lasting("of "+of.String()+", frozen", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			struck = f.leader(ctx, of, other)
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

// drawEveryNodeKilled is a power cut of all three: what was acknowledged is on
// the disks of two at least.
func drawEveryNodeKilled(r *rand.Rand) blow {
	hold, order := between(r, 0, 4*time.Second), r.Perm(nodes)
	return blow{
		detail: lasting("dead", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			var errs []error
			for _, node := range order {
				errs = append(errs, f.node(node).kill(ctx))
			}
			return errors.Join(errs...)
		},
		heal: func(_ context.Context, f *field) error {
			var errs []error
			for _, node := range order {
				errs = append(errs, f.node(node).start())
			}
			return errors.Join(errs...)
		},
	}
}

// drawLeaderMoved has leaders step down, as an operator may ask them to.
func drawLeaderMoved(r *rand.Rand) blow {
	times, of := 1+r.IntN(4), drawSeat(r)
	subject := "$JS.API.STREAM.LEADER.STEPDOWN." + queue.StreamName
	if of == seatOfConsumer {
		subject = "$JS.API.CONSUMER.LEADER.STEPDOWN." + queue.StreamName + "." + queue.ConsumerName
	}
	return blow{
		detail: "of " + of.String() + ", " + plural(times, "time"),
		strike: func(ctx context.Context, f *field) error {
			for range times {
				_ = f.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
					_, err := js.Conn().RequestWithContext(ctx, subject, nil)
					return err
				})
				if !pause(ctx, 500*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
	}
}

// turnPatience is how long a server that was started again is waited for. With
// others away by other faults it will not be ready.
const turnPatience = 8 * time.Second

// drawNodesInTurn stops the servers in order and starts them again, one after the
// other, as an upgrade does.
func drawNodesInTurn(r *rand.Rand) blow {
	order := r.Perm(nodes)
	return blow{
		detail: fmt.Sprint("in order ", order),
		strike: func(ctx context.Context, f *field) error {
			for _, number := range order {
				node := f.node(number)
				if err := node.thaw(); err != nil {
					return err
				}
				if _, err := node.terminate(ctx, drainTimeout); err != nil && !errors.Is(err, errStillThere) {
					return err
				}
				if err := node.start(); err != nil {
					return err
				}
				_ = poll(ctx, turnPatience, node.name+" to be ready", func() (bool, error) {
					_, err := get(ctx, "http://"+f.natsServers()[number].monitor+"/healthz")
					return err == nil, err
				})
			}
			return ctx.Err()
		},
	}
}
