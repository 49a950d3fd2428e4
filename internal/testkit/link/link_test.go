package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// open opens a link that is stopped when the test ends.
func open(t *testing.T, target string) *Link {
	t.Helper()
	l, err := Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// server takes connections, which the test then speaks for.
func server(t *testing.T) (*Link, <-chan *net.TCPConn) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan *net.TCPConn, 16)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			taken <- conn
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
		for len(taken) > 0 {
			_ = (<-taken).Close()
		}
	})
	return open(t, listener.Addr().String()), taken
}

// connect returns both ends of a connection through l.
func connect(t *testing.T, l *Link, taken <-chan *net.TCPConn) (client, server *net.TCPConn) {
	t.Helper()
	client = dial(t, l)
	select {
	case server = <-taken:
	case <-time.After(patience):
		t.Fatal("the server was not called")
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := server.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The server may take a connection before the link has noted that it has one.
	until(t, l, func(c Counts) bool { return c.Open >= 1 })
	return client, server
}

func dial(t *testing.T, l *Link) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func say(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v; want %q", got[:n], err, want)
	}
}

// wantReset reads what is left, which is want, and the reset.
func wantReset(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != want || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("heard %q, %v; want %q and a reset", got, err, want)
	}
}

// wantRefused calls a link that resets whoever calls, at once or a little later.
func wantRefused(t *testing.T, l *Link) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("dial: %v, want a reset", err)
		}
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	wantReset(t, conn, "")
}

func until(t *testing.T, l *Link, enough func(Counts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.Until(ctx, enough); err != nil {
		t.Fatal(err)
	}
}

func wantFired(t *testing.T, fired <-chan struct{}) {
	t.Helper()
	select {
	case <-fired:
	case <-time.After(patience):
		t.Fatal("the trigger did not fire")
	}
}

func TestLink_PassesEverythingBothWays(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	sent := make([]byte, 3<<20+17)
	_, _ = rand.Read(sent)
	go func() { // an echo
		_, _ = io.Copy(server, server)
		_ = server.CloseWrite()
	}()
	go func() {
		_, _ = client.Write(sent)
		_ = client.CloseWrite()
	}()
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes came back of %d, %v", len(got), len(sent), err)
	}
	until(t, l, func(c Counts) bool { return c.Open == 0 })
	n := int64(len(sent))
	if got, want := l.Counts(), (Counts{Accepted: 1, Bytes: [2]int64{n, n}}); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
}

func TestLink_CutResetsBothSides(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	say(t, client, "before")
	hear(t, server, "before")
	l.Cut()
	wantReset(t, client, "")
	wantReset(t, server, "")
	until(t, l, func(c Counts) bool { return c.Cut == 1 && c.Open == 0 })

	client, server = connect(t, l, taken)
	say(t, server, "again")
	hear(t, client, "again")
}

// Whoever resets one side resets the other: a process that is killed with
// unread bytes must not look like one that said goodbye.
func TestLink_PassesAResetOn(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	reset(client)
	wantReset(t, server, "")
}

func TestLink_Refuse(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	l.Refuse()
	wantRefused(t, l)
	until(t, l, func(c Counts) bool { return c.Refused == 1 })
	say(t, client, "the open one goes on")
	hear(t, server, "the open one goes on")
	l.Pass()
	connect(t, l, taken)
}

func TestLink_TargetAway(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, l)
}

// Only that it is not earlier: how late a machine is, is its own affair.
func TestLink_DelayAndSlow(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)

	l.Delay(30 * time.Millisecond)
	began := time.Now()
	say(t, client, "late")
	hear(t, server, "late")
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("a delay of 30 ms took %s", took)
	}

	l.Pass()
	l.Slow(10_000) // 200 bytes each 20 ms
	text := strings.Repeat("slow", 500)
	began = time.Now()
	say(t, client, text)
	hear(t, server, text)
	if took := time.Since(began); took < 180*time.Millisecond {
		t.Errorf("2000 bytes at 10,000 a second took %s", took)
	}

	// What waits is not bound to what held when it came.
	l.Pass()
	l.Delay(time.Hour)
	say(t, client, "at once")
	l.Pass()
	hear(t, server, "at once")
}

func TestLink_Blackhole(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)

	l.Blackhole(ToClient)
	say(t, client, "question")
	hear(t, server, "question")
	say(t, server, "answer")
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	say(t, client, "still there?")
	hear(t, server, "still there?")
	if got := l.Counts().Bytes[ToClient]; got != 0 {
		t.Errorf("%d bytes passed a black hole", got)
	}
	// The other way now; what was held arrives, the end included.
	l.Blackhole(ToServer)
	say(t, client, "lost?")
	hear(t, client, "answer")
	if n, err := client.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as io.Reader gives it
		t.Errorf("read %d, %v, want the end", n, err)
	}
	l.Blackhole()
	other := dial(t, l)
	say(t, other, "anybody?")
	until(t, l, func(c Counts) bool { return c.Open == 2 })
	if got, want := l.Counts().Bytes[ToServer], int64(len("question"+"still there?")); got != want {
		t.Errorf("%d bytes went to the server, want %d", got, want)
	}
	l.Pass()
	hear(t, server, "lost?")
	hear(t, <-taken, "anybody?")
}

// A process that dies behind a black hole is not noticed on the other side.
func TestLink_BlackholeHidesAReset(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	l.Blackhole(ToServer)
	reset(client)
	say(t, server, "hello?") // the answer to which is the reset
	if got := l.Counts().Open; got != 1 {
		t.Errorf("%d connections are open, want 1", got)
	}
	l.Pass()
	wantReset(t, server, "")
}

func TestLink_HalfClose(t *testing.T) {
	t.Parallel()
	l, taken := server(t)
	client, server := connect(t, l, taken)
	l.HalfClose(ToClient)
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("heard %q, %v, want the end", got, err)
	}
	say(t, server, "to nobody")
	say(t, client, "one way")
	hear(t, server, "one way")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(server); len(got) > 0 || err != nil {
		t.Errorf("heard %q, %v, want the end", got, err)
	}
	if got := l.Counts().Bytes[ToClient]; got != 0 {
		t.Errorf("%d bytes went the way that is closed", got)
	}
}

// Whatever a link is in the middle of, Stop ends it.
func TestLink_StopLeavesNothing(t *testing.T) { //nolint:paralleltest // it counts the goroutines of this process
	before := goleak.IgnoreCurrent()
	for _, begin := range []func(*Link){
		func(*Link) {},
		func(l *Link) { l.Blackhole() },
		func(l *Link) { l.Delay(time.Hour) },
		func(l *Link) { l.Slow(1) },
		func(l *Link) { l.HalfClose(ToServer) },
		func(l *Link) { l.HoldOn(Said{Direction: ToServer, Pattern: "word"}) },
		func(l *Link) { l.CutOn(Said{Direction: ToServer, Pattern: "word"}) },
		func(l *Link) { l.Cut() },
		func(l *Link) { l.Refuse() },
	} {
		target, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), target.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client := dial(t, l)
		until(t, l, func(c Counts) bool { return c.Open == 1 })
		begin(l)
		_, _ = client.Write([]byte("a word")) // it may be cut by now
		if other, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr()); err == nil {
			defer other.Close() // open, refused a moment later, or in the middle of being accepted
		}
		l.Stop()
		l.Stop()
		if got := l.Counts(); got.Open != 0 {
			t.Errorf("after Stop: %+v", got)
		}
		if _, err := io.ReadAll(client); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection is still open")
		}
		_ = target.Close()
	}
	goleak.VerifyNone(t, before)
}
