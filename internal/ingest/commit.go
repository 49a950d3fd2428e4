package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
)

// Publisher stores messages in the durable queue. ingest needs nothing else of
// it.
type Publisher interface {
	// Publish returns nil only when message is durable under id; an id that was
	// stored before counts as success and stores nothing. Otherwise it returns
	// ErrFull, ErrTooLarge or ErrUnknownOutcome, or the context's error. It
	// returns soon after ctx ends, keeps no reference to message and is safe for
	// concurrent use.
	Publish(ctx context.Context, id string, message []byte) error
}

// committer is the group commit: batches that arrive together share one
// envelope and so one fsync of the queue, and every caller waits until its own
// envelope is acknowledged.
//
// A lone batch does not wait for company: when nothing is in flight its
// envelope leaves at once. While an envelope is in flight, arriving batches
// gather in the open one, which leaves when a flight returns or when it is
// full. The busier the queue, the larger the envelopes.
//
// A group goes one way: open → ready → in flight → done. It is joined only
// while open. It is sealed when its flight begins, and from then on its bytes
// and its id stay as they are, whatever the outcome of an attempt: the queue
// stores one id once, so a second attempt under the same id must not carry
// other batches. For the same reason no batch ever moves to another group; a
// caller that stops waiting leaves its batch where it is.
type committer struct {
	publisher Publisher
	options   Options
	metrics   *metrics
	log       *slog.Logger
	tracer    trace.Tracer // nil for none

	// flights is the parent of every attempt's context: senders outlive the
	// requests that start them. stop ends it, which is how Drain gives up.
	flights context.Context
	stop    context.CancelFunc

	// mu guards all fields below. It is held for copying one batch at most,
	// never across a call of the publisher, the log or a channel operation that
	// can block. Whenever it is free, these hold:
	//
	//   - 0 ≤ inFlight ≤ MaxEnvelopesInFlight, one sender goroutine each;
	//   - open is nil or has a batch, and then inFlight > 0: something will
	//     return and take it along, so no timer is needed;
	//   - ready holds groups only while inFlight is at its maximum;
	//   - held is the sum of the bytes of all groups that are not done, and
	//     waiting that of their batches;
	//   - idle is closed exactly when draining and inFlight is 0.
	mu       sync.Mutex
	open     *group
	ready    []*group // oldest first
	inFlight int
	held     int
	waiting  int
	draining bool
	idle     chan struct{}
}

// group is one envelope on its way and those who wait for it.
type group struct {
	// builder, batches, bytes, links and deadline are guarded by the committer's mu
	// while the group is open. Afterwards they belong to its sender.
	builder envelope.Builder
	batches int
	bytes   int
	// deadline is that of the caller who waits longest. Nobody can use an
	// acknowledgement after it.
	deadline time.Time
	// links are the traced batches, and span is the envelope's own, nil without
	// them. The sender sets it before it closes done.
	links []trace.Link
	span  trace.Span
	// err is written by the sender before it closes done and read only behind
	// done.
	err  error
	done chan struct{}
}

func newCommitter(publisher Publisher, options Options, m *metrics, log *slog.Logger) *committer {
	flights, stop := context.WithCancel(context.Background())
	return &committer{
		publisher: publisher, options: options, metrics: m, log: log,
		flights: flights, stop: stop, idle: make(chan struct{}),
	}
}

// Submit puts an encoded batch into an envelope and waits until the queue has
// it; nil means durable. ctx must have a deadline: Submit returns by then with
// an error that says the outcome is open. batch is copied before Submit waits.
//
// The errors are ErrFull, ErrTooLarge, ErrOverloaded, ErrDraining (certainly
// not stored by this call) and errWaitOver or ErrUnknownOutcome (perhaps).
func (c *committer) Submit(ctx context.Context, batch []byte) error {
	g, err := c.join(ctx, batch)
	if err != nil {
		return err
	}
	if err := g.wait(ctx); err != nil {
		return err
	}
	g.linkTrace(ctx)
	return nil
}

// join adds batch to the open group and returns the group to wait for.
func (c *committer) join(ctx context.Context, batch []byte) (*group, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(c.options.RequestTimeout)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return nil, ErrDraining
	}
	if c.held+len(batch) > c.options.MaxPendingBytes {
		return nil, ErrOverloaded
	}
	if c.open != nil && c.open.builder.Len()+len(batch) > c.options.EnvelopeBytes {
		c.depart() //nolint:contextcheck // a flight outlives the call that starts it
	}
	if c.open == nil {
		c.open = &group{done: make(chan struct{})}
	}
	g := c.open
	g.joinTrace(ctx)
	g.builder.Add(batch)
	g.batches++
	g.bytes += len(batch)
	if deadline.After(g.deadline) {
		g.deadline = deadline
	}
	c.held += len(batch)
	c.waiting++
	c.metrics.pendingBytes.Set(float64(c.held))
	if c.inFlight == 0 || g.builder.Len() >= c.options.EnvelopeBytes {
		c.depart() //nolint:contextcheck // a flight outlives the call that starts it
	}
	return g, nil
}

// depart closes the open group to further batches and gives it a sender, or a
// place in the line when all senders are out. mu is held.
func (c *committer) depart() {
	g := c.open
	c.open = nil
	if c.inFlight == c.options.MaxEnvelopesInFlight {
		c.ready = append(c.ready, g)
		return
	}
	c.inFlight++
	c.metrics.envelopesInFlight.Set(float64(c.inFlight))
	go c.fly(g)
}

// wait returns when the group's fate is known or ctx ends, whichever is first.
// An acknowledgement that is there already wins over a context that has ended.
func (g *group) wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
	}
	select {
	case <-g.done:
		return g.err
	default:
		return fmt.Errorf("%w: %w", errWaitOver, context.Cause(ctx))
	}
}

// fly publishes g and then whatever waits, until nothing does. It is the one
// goroutine behind each unit of inFlight; Drain waits for it.
func (c *committer) fly(g *group) {
	for g != nil {
		g.err = c.publish(g)
		next := c.land(g)
		// The room in held is free before the callers learn of it, so that one
		// who submits again at once finds it.
		close(g.done)
		g = next
	}
}

// land settles the accounts of g and takes the next group: the oldest in the
// line, else the open one. Without one the sender is free.
func (c *committer) land(g *group) (next *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held -= g.bytes
	c.waiting -= g.batches
	c.metrics.pendingBytes.Set(float64(c.held))
	switch {
	case len(c.ready) > 0:
		next = c.ready[0]
		c.ready[0] = nil
		c.ready = c.ready[1:]
		return next
	case c.open != nil:
		next, c.open = c.open, nil
		return next
	}
	c.inFlight--
	c.metrics.envelopesInFlight.Set(float64(c.inFlight))
	if c.draining && c.inFlight == 0 {
		close(c.idle)
	}
	return nil
}

// Drain refuses new batches, sends what is open and waits until every envelope
// is done. When ctx ends first it cancels the attempts under way and returns an
// error; their callers are answered as "not confirmed". Drain can be called
// more than once.
func (c *committer) Drain(ctx context.Context) error {
	crashpoint.At(crashpoint.IngestDraining)
	c.mu.Lock()
	if !c.draining {
		c.draining = true
		if c.open != nil && c.inFlight < c.options.MaxEnvelopesInFlight {
			c.depart() //nolint:contextcheck // a flight outlives the call that starts it
		}
		if c.inFlight == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	defer c.stop()
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		return nil // it came down to the last moment
	}
	return fmt.Errorf("ingest: drain: %d bytes of %d batches in %d flights unconfirmed: %w", c.held, c.waiting, c.inFlight, context.Cause(ctx))
}
