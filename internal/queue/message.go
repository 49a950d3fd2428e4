package queue

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Answers to a delivered message.
const (
	replyAck        = "+ACK"
	replyNak        = "-NAK"
	replyInProgress = "+WPI"
)

// Message is one delivery of a message. The same message may be delivered
// again, here or in another process, when it is not answered within AckWait.
// Its methods may be called at the same time.
type Message struct {
	conn       *Conn
	data       []byte
	reply      string
	deliveries int
	storedAt   time.Time
	sequence   uint64
}

func (c *Conn) newMessage(m *nats.Msg) (*Message, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("delivered message on %s: %w", m.Subject, err)
	}
	return &Message{
		conn:       c,
		data:       m.Data,
		reply:      m.Reply,
		deliveries: int(min(meta.NumDelivered, 1<<31-1)),
		storedAt:   meta.Timestamp,
		sequence:   meta.Sequence.Stream,
	}, nil
}

// Data is what was published. It belongs to the message and is not reused.
func (m *Message) Data() []byte { return m.data }

// Deliveries is how often the server has delivered this message, this delivery
// included.
func (m *Message) Deliveries() int { return m.deliveries }

// StoredAt is when the stream stored the message, by the server's clock.
func (m *Message) StoredAt() time.Time { return m.storedAt }

// Sequence is the message's number in the stream. Numbers can start again when
// a stream is restored, so nothing may be concluded from their order.
func (m *Message) Sequence() uint64 { return m.sequence }

// Ack removes the message from the queue. It does not wait: when the answer is
// lost, the message comes again. Call it after the message's content is
// committed elsewhere, never before.
func (m *Message) Ack() error {
	return m.answer("ack", replyAck)
}

// Nak gives the message back, to be delivered again after delay; 0 is at once.
func (m *Message) Nak(delay time.Duration) error {
	if delay <= 0 {
		return m.answer("nak", replyNak)
	}
	return m.answer("nak", replyNak+` {"delay": `+strconv.FormatInt(delay.Nanoseconds(), 10)+`}`)
}

// InProgress asks for another AckWait before the message is delivered again.
func (m *Message) InProgress() error {
	return m.answer("in_progress", replyInProgress)
}

func (m *Message) answer(kind, body string) error {
	if err := m.conn.nc.Publish(m.reply, []byte(body)); err != nil {
		return fmt.Errorf("%s message %d: %w", kind, m.sequence, err)
	}
	m.conn.metrics.answers.WithLabelValues(kind).Inc()
	return nil
}
