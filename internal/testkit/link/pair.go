package link

import (
	"errors"
	"io"
	"net"
	"time"
)

const (
	// pieceBytes is how much is taken from one side before it is passed on.
	pieceBytes = 32 << 10
	// slowTicks is in how many pieces a slow link passes a second's bytes.
	slowTicks = 50
)

// pair is one connection: the two that it is made of.
type pair struct {
	// ends are whom bytes of a direction go to.
	ends [2]*net.TCPConn
	gone chan struct{} // closed when it was cut

	// The link's mu guards these.
	shut    [2]bool // half-closed by command
	matched map[*trigger]*progress
}

func (p *pair) to(d Direction) *net.TCPConn   { return p.ends[d] }
func (p *pair) from(d Direction) *net.TCPConn { return p.ends[1-d] }

// reset closes both ends with an RST in place of a FIN.
func (p *pair) reset() {
	reset(p.ends[ToServer])
	reset(p.ends[ToClient])
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails only for one that is closed
	_ = conn.Close()
}

// pump passes one direction on until it ends. A piece is in hand while it waits,
// and nothing more is taken: the sender's window fills as on a real line.
func (l *Link) pump(p *pair, d Direction) {
	piece := make([]byte, pieceBytes)
	for {
		n, err := p.from(d).Read(piece)
		if n > 0 && !l.pass(p, d, piece[:n]) {
			return
		}
		switch {
		case err == nil:
			continue
		case !l.ready(p, d, time.Now()): // an end is as late as a byte
		case errors.Is(err, io.EOF):
			_ = p.to(d).CloseWrite()
		default: // reset by one side: so it is for the other
			p.reset()
		}
		return
	}
}

// pass passes a piece on when it may go, and reports whether the line goes on.
func (l *Link) pass(p *pair, d Direction, piece []byte) bool {
	since := time.Now()
	for len(piece) > 0 {
		if !l.ready(p, d, since) {
			return false
		}
		n, fired := l.look(p, d, piece)
		if !l.send(p, d, since, piece[:n]) {
			return false
		}
		piece = piece[n:]
		if fired != nil {
			l.fire(p, fired) // after the write: what came before has arrived
			// What was held because of it has been heard and is not heard again.
			return l.send(p, d, since, piece)
		}
	}
	return true
}

// send writes bytes at the pace of the link.
func (l *Link) send(p *pair, d Direction, since time.Time, b []byte) bool {
	for len(b) > 0 {
		n, pause := l.portion(b)
		if !l.ready(p, d, since) || !l.write(p, d, b[:n]) || pause > 0 && !l.rest(p, pause) {
			return false
		}
		b = b[n:]
	}
	return true
}

// write sends bytes, unless this direction was closed by command.
func (l *Link) write(p *pair, d Direction, b []byte) bool {
	l.mu.Lock()
	shut := p.shut[d]
	l.mu.Unlock()
	if shut {
		return true
	}
	n, err := p.to(d).Write(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Bytes[d] += int64(n)
	l.tell()
	if err != nil && !p.shut[d] {
		p.reset() // whoever is spoken to is gone
		return false
	}
	return true
}

// ready waits until what was taken at since may be passed on, whatever is
// commanded meanwhile. It returns false when the connection was cut.
func (l *Link) ready(p *pair, d Direction, since time.Time) bool {
	for {
		l.mu.Lock()
		held, left, changed := l.held[d], time.Until(since.Add(l.delay)), l.changed
		l.mu.Unlock()
		if held {
			left = time.Hour // until a command says otherwise
		}
		if left <= 0 {
			select {
			case <-p.gone:
				return false
			default:
				return true
			}
		}
		timer := time.NewTimer(left)
		select {
		case <-p.gone:
			timer.Stop()
			return false
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// portion is how much of b goes at once, and how long it takes on a slow line.
func (l *Link) portion(b []byte) (n int, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return len(b), 0
	}
	n = min(len(b), max(l.rate/slowTicks, 1))
	return n, time.Duration(n) * time.Second / time.Duration(l.rate)
}

// rest waits; it returns false when the connection was cut.
func (l *Link) rest(p *pair, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.gone:
		return false
	case <-timer.C:
		return true
	}
}
