package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// proxy is a TCP connection that can go wrong on command: it stands between a
// client and the server, holds back what one of them says, or cuts the line.
type proxy struct {
	url    string
	target string
	ln     net.Listener
	wg     sync.WaitGroup

	mu    sync.Mutex
	free  *sync.Cond
	held  [2]bool // by direction: to the server, to the client
	stuck [2]int  // connections whose bytes are held back
	conns map[net.Conn]struct{}
	done  bool
}

// Directions of a proxied connection.
const (
	toServer = iota
	toClient
)

func newProxy(t *testing.T, serverURL string) *proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, ln: ln, conns: make(map[net.Conn]struct{})}
	p.free = sync.NewCond(&p.mu)
	u.Host = ln.Addr().String()
	p.url = u.String()
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		p.mu.Lock()
		p.done = true
		p.mu.Unlock()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(toServer, server, client) })
		p.wg.Go(func() { p.copy(toClient, client, server) })
	}
}

func (p *proxy) copy(direction int, to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.pass(direction, from) {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the direction is held. Bytes of a connection that is cut
// meanwhile are lost.
func (p *proxy) pass(direction int, from net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.held[direction] && !p.done {
		if _, alive := p.conns[from]; !alive {
			return false
		}
		p.stuck[direction]++
		p.free.Wait()
		p.stuck[direction]--
	}
	_, alive := p.conns[from]
	return alive
}

// hold makes one direction fall silent, or lets it speak again.
func (p *proxy) hold(direction int, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[direction] = held
	p.free.Broadcast()
}

// caught waits until something is held back in the direction.
func (p *proxy) caught(t *testing.T, direction int) {
	t.Helper()
	eventually(t, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stuck[direction] == 0 {
			return "nothing was sent"
		}
		return ""
	})
}

// cut closes every connection. New ones are accepted.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
	p.free.Broadcast()
}

// setupProxied is setup with a proxy before the connection under test.
func setupProxied(t *testing.T, purpose queue.Purpose) (*proxy, *bundle) {
	t.Helper()
	direct := testkit.NATS(t)
	p := newProxy(t, direct)
	b := setupAt(t, p.url, purpose)
	b.js = observe(t, direct)
	return p, b
}

func portOf(t *testing.T, serverURL string) int {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// freePort is a free port that no server of another test takes meanwhile:
// those get theirs from the system, which hands out higher ones.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(18_000)))
		if err != nil {
			continue // taken
		}
		defer ln.Close()
		return portOf(t, "tcp://"+ln.Addr().String())
	}
	t.Fatal("no port is free")
	return 0
}
