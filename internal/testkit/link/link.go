package link

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// Direction says who is spoken to.
type Direction int

// The two directions of a connection.
const (
	ToServer Direction = iota
	ToClient
)

// Counts are what a link has seen since it was opened.
type Counts struct {
	// Accepted connections, and how many of them are open.
	Accepted, Open int
	// Refused connections: by command, or because the target took none.
	Refused int
	// Cut connections: by command, trigger or Stop.
	Cut int
	// Fired triggers.
	Fired int
	// Bytes that were passed on, by direction.
	Bytes [2]int64
}

// Link forwards one loopback port to one address. Its methods are safe for
// concurrent use; a command holds for all connections, open and new, from when
// it returns, and stays until [Link.Pass] or its opposite.
type Link struct {
	target   string
	listener *net.TCPListener
	ctx      context.Context // of the dialling, which belongs to no caller
	cancel   context.CancelFunc
	wg       sync.WaitGroup // everything that runs for this link

	mu       sync.Mutex // guards all below
	refuse   bool
	held     [2]bool
	delay    time.Duration
	rate     int // bytes a second and direction, 0 for any
	triggers []*trigger
	pairs    map[*pair]struct{}
	counts   Counts
	stopped  bool
	changed  chan struct{} // closed, and made anew, whenever something above changes
}

// Open listens on a free loopback port and forwards to target, host:port. The
// caller stops it.
func Open(ctx context.Context, target string) (*Link, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{
		target: target, listener: listener,
		pairs: make(map[*pair]struct{}), changed: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is where the link listens, host:port.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// URL is address, of the target, by way of the link.
func (l *Link) URL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("link to %s: %w", l.target, err)
	}
	u.Host = l.Addr()
	return u.String(), nil
}

// Pass ends whatever holds, delays, slows or refuses, and disarms all triggers.
// What was held arrives now. Connections that were cut or half-closed stay so.
func (l *Link) Pass() {
	l.command(func() {
		l.refuse, l.held, l.delay, l.rate, l.triggers = false, [2]bool{}, 0, 0, nil
	})
}

// Cut resets every open connection: both sides get an RST, and what was under
// way is lost. New connections are accepted.
func (l *Link) Cut() {
	l.command(func() {
		for p := range l.pairs {
			l.cut(p)
		}
	})
}

// Refuse resets new connections at once. Open ones go on.
func (l *Link) Refuse() { l.command(func() { l.refuse = true }) }

// Delay holds every piece back for d. While it waits the next ones gather, so a
// byte is up to twice as late.
func (l *Link) Delay(d time.Duration) { l.command(func() { l.delay = d }) }

// Slow passes at most so many bytes a second on each connection and direction;
// 0 is no limit.
func (l *Link) Slow(bytesPerSecond int) { l.command(func() { l.rate = bytesPerSecond }) }

// Blackhole keeps connections open and passes nothing in the given directions,
// both if none is given: no byte, and no end of a connection either. New
// connections are accepted and hear nothing.
func (l *Link) Blackhole(directions ...Direction) {
	l.command(func() {
		l.held = [2]bool{len(directions) == 0, len(directions) == 0}
		for _, d := range directions {
			l.held[d] = true
		}
	})
}

// HalfClose ends one direction of every open connection: who is spoken to reads
// its end, what is still said that way is thrown away, and the other direction
// goes on.
func (l *Link) HalfClose(d Direction) {
	l.command(func() {
		for p := range l.pairs {
			p.shut[d] = true
			_ = p.to(d).CloseWrite() // it may have ended by itself
		}
	})
}

// Passes reports whether what is said arrives: nothing is held or refused.
func (l *Link) Passes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.refuse && !l.held[ToServer] && !l.held[ToClient]
}

// Counts returns what the link has seen.
func (l *Link) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Until waits until what the link has seen is enough, or ctx ends.
func (l *Link) Until(ctx context.Context, enough func(Counts) bool) error {
	for {
		l.mu.Lock()
		counts, changed := l.counts, l.changed
		l.mu.Unlock()
		if enough(counts) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("link to %s, which has seen %+v: %w", l.target, counts, context.Cause(ctx))
		}
	}
}

// Stop cuts everything, takes no more connections and returns when all that ran
// for the link has ended. It may be called more than once.
func (l *Link) Stop() {
	l.cancel()
	_ = l.listener.Close()
	l.command(func() {
		l.stopped = true
		for p := range l.pairs {
			l.cut(p)
		}
	})
	l.wg.Wait()
}

// command changes the state and wakes all who wait for it.
func (l *Link) command(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.tell()
}

// tell wakes all who wait for a change. mu is held.
func (l *Link) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Link) accept() {
	for {
		client, err := l.listener.AcceptTCP()
		if err != nil {
			return // stopped: nothing else ends it
		}
		l.wg.Go(func() { l.serve(client) })
	}
}

// serve is the life of one connection.
func (l *Link) serve(client *net.TCPConn) {
	p := l.join(client)
	if p == nil {
		reset(client)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(p, ToServer) })
	both.Go(func() { l.pump(p, ToClient) })
	both.Wait()
	_, _ = p.ends[ToServer].Close(), p.ends[ToClient].Close()
	l.command(func() {
		delete(l.pairs, p)
		l.counts.Open--
	})
}

// join connects a client with the target, or returns nil for one that is refused.
func (l *Link) join(client *net.TCPConn) *pair {
	l.mu.Lock()
	refuse := l.refuse
	l.mu.Unlock()
	var server net.Conn
	if !refuse {
		var err error
		server, err = new(net.Dialer).DialContext(l.ctx, "tcp", l.target)
		refuse = err != nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tell()
	if refuse || l.refuse || l.stopped {
		if server != nil {
			_ = server.Close()
		}
		l.counts.Refused++
		return nil
	}
	p := &pair{gone: make(chan struct{}), matched: make(map[*trigger]*progress)}
	p.ends = [2]*net.TCPConn{ToServer: server.(*net.TCPConn), ToClient: client}
	l.pairs[p] = struct{}{}
	l.counts.Accepted++
	l.counts.Open++
	return p
}

// cut resets a connection, once. mu is held.
func (l *Link) cut(p *pair) {
	select {
	case <-p.gone:
		return
	default:
	}
	close(p.gone)
	p.reset()
	l.counts.Cut++
}
