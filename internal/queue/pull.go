package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// pullSubject is where the consumer takes requests for messages.
const pullSubject = "$JS.API.CONSUMER.MSG.NEXT." + StreamName + "." + ConsumerName

const (
	// answerGrace is how much later than a request's expiry the server's last
	// word may come before the server counts as silent.
	answerGrace = 2 * time.Second
	// settle is how long a request that has brought something may stay without
	// its last word. It is needed only when the consumer has reached
	// MaxAckPending, where the server keeps such a request open until expiry.
	settle = 100 * time.Millisecond
)

// end is how a request for messages ended.
type end int

const (
	stillOpen   end = iota
	endServed       // the server sent what it had, or all that was asked for
	endExpired      // nothing came in time
	endOversize     // the next message is larger than the bytes asked for
	endBusy         // other requests already wait for more than there is
	endMissing      // no consumer
	endMoved        // the consumer's leader changed or its server stops
	endLost         // the connection broke; nobody knows about the request now
	endSilent       // the server said nothing at all
	endRefused      // a request that the server does not take
)

// puller sends requests for messages and sorts the answers.
//
// A delivered message carries the subject it was published to, and not the
// reply subject of the request that it answers: only its subscription tells
// where it belongs. Therefore every request that is under way at the same time
// has a lane with a subscription of its own. Lanes are kept and used again.
type puller struct {
	conn *Conn

	mu    sync.Mutex
	lanes []*lane // all
	idle  []*lane
	// late holds messages that came after their request was given up. It is
	// bounded by what those requests asked for.
	late []*Message
}

// lane carries one request at a time. Its fields are guarded by the puller but
// for those that never change.
type lane struct {
	puller *puller
	inbox  string // with a dot at the end; never changes
	sub    *nats.Subscription
	closed chan struct{} // closed when sub has delivered its last message
	wake   chan struct{} // holds a token when anything changed

	number   uint64
	request  string // reply subject of the request under way, empty when idle
	messages []*Message
	ended    end
	detail   string
}

func newPuller(c *Conn) *puller { return &puller{conn: c} }

// start takes a lane for a request, whose answers are to go to l.request.
func (p *puller) start() (*lane, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		l, err := p.addLane()
		if err != nil {
			return nil, err
		}
		p.idle = append(p.idle, l)
	}
	last := len(p.idle) - 1
	l := p.idle[last]
	p.idle = p.idle[:last]
	l.number++
	l.request = l.inbox + strconv.FormatUint(l.number, 36)
	l.messages, l.ended, l.detail = nil, stillOpen, ""
	select {
	case <-l.wake: // left over from the last request
	default:
	}
	return l, nil
}

func (p *puller) addLane() (*lane, error) {
	l := &lane{
		puller: p,
		inbox:  p.conn.nc.NewInbox() + ".",
		closed: make(chan struct{}),
		wake:   make(chan struct{}, 1),
	}
	var err error
	if l.sub, err = p.conn.nc.Subscribe(l.inbox+"*", l.receive); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	l.sub.SetClosedHandler(func(string) { close(l.closed) })
	// The library's own limit would drop messages. What can wait here is
	// bounded by what the requests ask for.
	if err := l.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, errors.Join(err, l.sub.Unsubscribe())
	}
	p.lanes = append(p.lanes, l)
	return l, nil
}

// finish ends a request and returns what it brought, up to the limits. What
// comes on its lane from now on is late.
func (p *puller) finish(l *lane, maxMessages, maxBytes int) (messages []*Message, ended end, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// More than was asked for is there when an earlier request on this lane,
	// given up, was served after all.
	n := fits(l.messages, maxMessages, maxBytes)
	messages, p.late = l.messages[:n:n], append(p.late, l.messages[n:]...)
	l.request, l.messages = "", nil
	p.idle = append(p.idle, l)
	return messages, l.ended, l.detail
}

// receive runs on the subscription's goroutine, for one message at a time.
func (l *lane) receive(m *nats.Msg) {
	p := l.puller
	if m.Reply == "" {
		ended, detail := readStatus(m.Header)
		p.mu.Lock()
		defer p.mu.Unlock()
		// Last words, unlike messages, come to the reply subject.
		if m.Subject == l.request {
			l.end(ended, detail)
		}
		return
	}
	message, err := p.conn.newMessage(m)
	if err != nil {
		p.conn.metrics.asyncErrors.Inc()
		p.conn.log.Error("message without metadata", "error", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.request != "" {
		l.messages = append(l.messages, message)
		l.notify()
		return
	}
	p.late = append(p.late, message)
	for _, other := range p.lanes {
		other.notify()
	}
}

// end is called with the puller's lock held.
func (l *lane) end(ended end, detail string) {
	if l.ended == stillOpen && ended != stillOpen {
		l.ended, l.detail = ended, detail
		l.notify()
	}
}

func (l *lane) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// lost tells every request under way that the server has forgotten it.
func (p *puller) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		l.end(endLost, "disconnected")
	}
}

// readStatus understands the server's last word on a request. The text counts
// as much as the number: 408 and 409 are used for many things.
func readStatus(h nats.Header) (ended end, detail string) {
	code, text := h.Get("Status"), strings.ToLower(h.Get("Description"))
	detail = code + " " + text
	switch code {
	case "100":
		return stillOpen, detail
	case "404":
		return endServed, detail
	case "408":
		if strings.Contains(text, "requests pending") {
			return endBusy, detail
		}
		return endExpired, detail
	case "503":
		return endMissing, detail
	case "409":
		switch {
		case strings.Contains(text, "exceeds maxbytes"):
			return endOversize, detail
		case strings.Contains(text, "batch completed"):
			return endServed, detail
		case strings.Contains(text, "consumer deleted"):
			return endMissing, detail
		case strings.Contains(text, "leadership"), strings.Contains(text, "server shutdown"):
			return endMoved, detail
		case strings.Contains(text, "maxwaiting"):
			return endBusy, detail
		}
	}
	return endRefused, detail
}

// takeLate hands out late messages within the limits, at least one if any.
func (p *puller) takeLate(maxMessages, maxBytes int) []*Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := fits(p.late, maxMessages, maxBytes)
	taken := p.late[:n:n]
	if p.late = p.late[n:]; len(p.late) == 0 {
		p.late = nil
	}
	return taken
}

// fits is how many of the messages may be handed out at once: one in any case.
func fits(messages []*Message, maxMessages, maxBytes int) int {
	size := 0
	for n, m := range messages {
		size += len(m.data)
		if n >= maxMessages || (n > 0 && maxBytes > 0 && size > maxBytes) {
			return n
		}
	}
	return len(messages)
}

// wait sleeps until the request has brought want messages, has ended, has
// brought some and fallen quiet, or late messages of another one are there.
func (p *puller) wait(ctx context.Context, l *lane, want int, expiry time.Duration) {
	timer := time.NewTimer(expiry + answerGrace)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		case <-timer.C:
			p.mu.Lock()
			if len(l.messages) == 0 {
				l.end(endSilent, "no answer")
			}
			p.mu.Unlock()
			return
		}
		p.mu.Lock()
		got, finished := len(l.messages), l.ended != stillOpen || len(p.late) > 0
		p.mu.Unlock()
		if finished || got >= want {
			return
		}
		if got > 0 {
			timer.Reset(settle)
		}
	}
}

// close ends the subscriptions and gives back what nobody took.
func (p *puller) close(ctx context.Context) error {
	p.mu.Lock()
	lanes := p.lanes
	p.lanes, p.idle = nil, nil
	p.mu.Unlock()
	if !p.conn.nc.IsConnected() {
		return nil // nobody to give them to; they come again after AckWait
	}
	var draining []*lane
	for _, l := range lanes {
		if err := l.sub.Drain(); err == nil {
			draining = append(draining, l)
		}
	}
	var err error
	for _, l := range draining {
		select {
		case <-l.closed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, message := range late {
		if nakErr := message.Nak(0); nakErr != nil {
			// They come again after AckWait.
			return errors.Join(err, nakErr)
		}
	}
	return err
}
