package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// dialTimeout bounds one attempt to connect to one server.
	dialTimeout = 2 * time.Second
	// reconnectWait and its jitter lie between two attempts: short enough that
	// a restarted server is found within a second, spread enough that a fleet
	// does not come back in step.
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
	// A connection that goes silent without closing is given up after
	// pingInterval × (pingsOut + 1).
	pingInterval = 5 * time.Second
	pingsOut     = 2

	readyTimeout = time.Second
	// readyFor is how long an answer of Ready is repeated, so that probes,
	// which anybody may send, cannot be turned into load on the server.
	readyFor = 500 * time.Millisecond
)

// Conn is a connection to the queue. Its methods may be called at the same
// time; it owns its connection and goroutines until [Conn.Close].
type Conn struct {
	cfg     Config
	purpose Purpose
	log     *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	metrics *metrics
	puller  *puller

	closing     atomic.Bool
	closed      chan struct{} // closed by the library's last callback
	reconnected broadcast
	line        atomic.Pointer[line]

	consumerMu sync.Mutex // serialises recreating the consumer
	leftovers  leftovers

	// refused is the size of the last message that found no room in the stream,
	// 0 when there is room for it again as far as anybody has looked. doubt is
	// about everything else that keeps the stream from taking messages.
	refused atomic.Int64
	doubt   atomic.Pointer[doubt]

	readyMu sync.Mutex
	readyAt time.Time
	readyIs error
}

// Connect connects, and keeps trying until ctx ends while no server answers.
// A server that answers and refuses, such as for wrong credentials, ends it at
// once. Once connected, the connection is re-established for ever. reg may be
// nil for no metrics; otherwise it must hold no other connection of this
// purpose. The caller closes the Conn.
func Connect(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer, purpose Purpose) (*Conn, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("queue configuration: %w", err)
	}
	if cfg.CredsFile != "" {
		if _, err := os.Stat(cfg.CredsFile); err != nil {
			return nil, fmt.Errorf("nats credentials: %w", err)
		}
	}
	c := &Conn{
		cfg:     cfg,
		purpose: purpose,
		log:     log.With("component", "queue", "connection", string(purpose)),
		closed:  make(chan struct{}),
	}
	c.puller, c.metrics = newPuller(c), newMetrics(reg)
	c.line.Store(newLine())
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	// Only now, because a scrape asks the server.
	if err := c.metrics.register(c); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("queue metrics: %w", err)
	}
	c.log.InfoContext(ctx, "connected to queue", "server", c.nc.ConnectedUrlRedacted(), "max_payload", c.nc.MaxPayload())
	return c, nil
}

func (c *Conn) dial(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		nc, err := nats.Connect(c.cfg.URL, c.options()...)
		if err == nil {
			c.nc = nc
			c.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(c.cfg.RequestTimeout))
			return err
		}
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrNkeysNotSupported) {
			return fmt.Errorf("connect to queue: %w", err)
		}
		if attempt == 1 {
			c.log.WarnContext(ctx, "queue does not answer, trying again", "error", err)
		}
		if !pause(ctx, reconnectWait) {
			return fmt.Errorf("%w: connect: %w", ErrUnavailable, err)
		}
	}
}

func (c *Conn) options() []nats.Option {
	options := []nats.Option{
		nats.Name(c.cfg.Name + "-" + string(c.purpose)),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// Otherwise the second refusal, such as during a change of
		// credentials on the server, closes the connection for good.
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(pingsOut),
		nats.DisconnectErrHandler(c.onDisconnect),
		nats.ReconnectHandler(c.onReconnect),
		nats.ErrorHandler(c.onError),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}
	if c.purpose == Publisher {
		options = append(options, nats.ReconnectBufSize(-1))
	}
	if c.cfg.CredsFile != "" {
		options = append(options, nats.UserCredentials(c.cfg.CredsFile))
	}
	return options
}

// The handlers run one after the other on a goroutine of the library, which
// waits for them, so they must not block.

func (c *Conn) onDisconnect(_ *nats.Conn, err error) {
	if c.closing.Load() {
		return
	}
	c.metrics.disconnects.Inc()
	c.log.Warn("queue disconnected", "error", err)
	c.line.Swap(newLine()).cut()
	c.puller.lost()
}

func (c *Conn) onReconnect(nc *nats.Conn) {
	c.metrics.reconnects.Inc()
	c.log.Info("queue reconnected", "server", nc.ConnectedUrlRedacted())
	c.reconnected.send()
}

func (c *Conn) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	c.metrics.asyncErrors.Inc()
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	c.log.Error("queue connection error", "error", err, "subject", subject)
}

// MaxPayload is the largest message in bytes, headers included, that the server
// takes on this connection.
func (c *Conn) MaxPayload() int64 { return c.nc.MaxPayload() }

// Ready says why the queue cannot be used now, or nil: the connection stands,
// the stream answers within a second, and the server takes messages as large as
// [Config.LargestMessage]. After a publish that the stream's byte limit refused
// it is [ErrFull] until there is room for that message again. After one that was
// refused for another limit, or had no answer, it publishes an empty message and
// fails until the stream takes that: nobody posts to who is not ready, so nothing
// else would tell. An answer holds for half a second.
func (c *Conn) Ready() error {
	c.readyMu.Lock()
	defer c.readyMu.Unlock()
	if now := time.Now(); c.readyAt.IsZero() || now.Sub(c.readyAt) >= readyFor {
		c.readyIs = c.checkReady()
		c.readyAt = time.Now()
	}
	return c.readyIs
}

func (c *Conn) checkReady() error {
	if !c.nc.IsConnected() {
		return fmt.Errorf("%w: %s", ErrUnavailable, c.nc.Status())
	}
	if have, want := c.MaxPayload(), c.cfg.LargestMessage; have < want {
		return fmt.Errorf("%w: the server's max_payload is %d bytes, but the largest message has %d", ErrTooLarge, have, want)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, StreamName)
	if err != nil {
		return streamError("look for "+StreamName, err)
	}
	info := stream.CachedInfo()
	if err := c.checkRoom(info); err != nil {
		return err
	}
	return c.checkDoubt(ctx, info.Config.Replicas)
}

// Close gives back messages that were delivered and not handed out, waits until
// what was sent, acknowledgements above all, has left, and closes the
// connection. When ctx ends first, the rest is abandoned: the messages
// concerned are delivered again after AckWait. Close is called once, after the
// last use of the Conn and of its messages.
func (c *Conn) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	c.closing.Store(true)
	err := c.puller.close(ctx)
	if c.nc.IsConnected() {
		err = errors.Join(err, c.nc.FlushWithContext(ctx))
	}
	c.nc.Close()
	select {
	case <-c.closed:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	c.line.Load().cut()
	c.metrics.unregister()
	if err != nil {
		return fmt.Errorf("close queue connection: %w", err)
	}
	return nil
}

// waitConnected waits until the connection stands. It returns false when it
// does not before the deadline or the end of ctx.
func (c *Conn) waitConnected(ctx context.Context, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		// Taken before the look, so that a reconnect in between is not missed.
		reconnected := c.reconnected.next()
		if c.nc.IsConnected() {
			return true
		}
		select {
		case <-reconnected:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		case <-c.closed:
			return false
		}
	}
}

// line stands for the connection from one reconnect to the next. Its context
// ends when the connection breaks: the library lets a request wait for its
// deadline although the answer cannot come any more.
type line struct {
	ctx context.Context //nolint:containedctx // ends with the connection, not with a call
	cut context.CancelFunc
}

func newLine() *line {
	ctx, cut := context.WithCancel(context.Background())
	return &line{ctx, cut}
}

// broadcast wakes everybody who waits for the next send. Its zero value is
// ready.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// pause waits d and returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
