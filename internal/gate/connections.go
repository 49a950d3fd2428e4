package gate

import (
	"context"
	"hash/maphash"
	"net"
	"net/http"
	"sync"
)

// Limit bounds the connections that are accepted from inner, together and for
// each client address. Connections beyond are not left to wait: a tenth of
// MaxConnections more is answered 503, so that clients learn why, and what is
// beyond that is closed.
func (g *Guard) Limit(inner net.Listener) net.Listener {
	return &boundListener{Listener: inner, guard: g, seed: maphash.MakeSeed(), byAddress: map[uint64]int{}}
}

// boundListener counts open connections.
type boundListener struct {
	net.Listener

	guard *Guard
	seed  maphash.Seed

	mu sync.Mutex // guards what follows
	// served and refused are the open connections by what they get.
	served, refused int
	byAddress       map[uint64]int
}

// Accept returns the next connection that is not beyond all bounds.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if bound := l.admit(conn); bound != nil {
			return bound, nil
		}
		l.guard.metrics.closed.Inc()
		_ = conn.Close()
	}
}

// admit counts a new connection; nil says that there is no room at all.
func (l *boundListener) admit(conn net.Conn) *boundConn {
	peer := addressOf(conn.RemoteAddr().String())
	bound := &boundConn{Conn: conn, listener: l}
	if !l.guard.sources.trusts(peer) { // a proxy brings many clients
		bound.from, bound.counted = maphash.Comparable(l.seed, network(peer)), true
	}
	options := &l.guard.options
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.served < options.MaxConnections && (!bound.counted || l.byAddress[bound.from] < options.MaxConnectionsPerAddress):
		l.served++
		if bound.counted {
			l.byAddress[bound.from]++
		}
		l.guard.metrics.open.Inc()
	case l.refused < max(options.MaxConnections/10, 1):
		l.refused++
		bound.over = true
		l.guard.metrics.refused.Inc()
	default:
		return nil
	}
	return bound
}

func (l *boundListener) release(c *boundConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.over {
		l.refused--
		return
	}
	l.served--
	l.guard.metrics.open.Dec()
	if !c.counted {
		return
	}
	if l.byAddress[c.from]--; l.byAddress[c.from] == 0 {
		delete(l.byAddress, c.from)
	}
}

// boundConn is a counted connection.
type boundConn struct {
	net.Conn

	listener *boundListener
	// from is the client's address, hashed; counted says that it has a limit.
	from    uint64
	counted bool
	// over says that it is only there to be told to go.
	over bool
	once sync.Once
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	c.once.Do(func() { c.listener.release(c) })
	return c.Conn.Close()
}

// CloseWrite ends an answer without cutting off its reading: net/http looks for
// it before it closes a connection on which the client still sends.
func (c *boundConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// overKey marks the context of a connection that is beyond the limit.
type overKey struct{}

// markOver is a server's ConnContext.
func markOver(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if bound, ok := conn.(*boundConn); ok && bound.over {
		return context.WithValue(ctx, overKey{}, true)
	}
	return ctx
}

// Screen refuses what a look at connection and header is enough for, before
// anything else is done for a request. The error is a [Problem].
func (g *Guard) Screen(x *Exchange) error {
	if x.Request.Context().Value(overKey{}) != nil {
		x.Response.Header().Set("Connection", "close")
		if x.Route != RouteLive {
			return Refused(TooManyConnections, "This server has as many connections as it can hold, or as many as it allows from one address. Send the same request again.")
		}
	}
	if headerFields(x.Request.Header) > g.options.MaxHeaders {
		return Refused(TooManyHeaders, "The request has too many header fields.")
	}
	return nil
}

func headerFields(header http.Header) int {
	n := 0
	for _, values := range header {
		n += len(values)
	}
	return n
}
