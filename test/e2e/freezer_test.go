package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// freezer stands before a server and, once frozen, passes nothing on any more
// and closes nothing: the server seems to have swallowed what it was sent.
type freezer struct {
	url    string
	frozen chan struct{}
	freeze func()

	mu    sync.Mutex
	conns []net.Conn
	done  bool
}

func newFreezer(t *testing.T, address string) *freezer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = listener.Addr().String()
	f := &freezer{url: u.String(), frozen: make(chan struct{})}
	f.freeze = sync.OnceFunc(func() { close(f.frozen) })
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", target)
			if err != nil || !f.keep(client, server) {
				_ = client.Close()
				continue
			}
			wg.Go(func() { f.copy(server, client) })
			wg.Go(func() { f.copy(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		f.freeze()
		f.mu.Lock()
		f.done = true
		for _, conn := range f.conns {
			_ = conn.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	return f
}

// keep remembers connections until the end of the test.
func (f *freezer) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, conns...)
	return !f.done
}

func (f *freezer) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-f.frozen:
			_, _ = io.Copy(io.Discard, from) // swallowed
			return
		default:
		}
		if n > 0 && err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}
