package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// modelQueue is an at-least-once queue as a model: a message that is neither
// acknowledged nor kept in progress for ackWait is delivered again, and answers
// can be lost. It checks the one thing that no worker may do, to acknowledge
// what is not kept, at the moment of the acknowledgement.
type modelQueue struct {
	store   *modelStore
	ackWait time.Duration
	// fault, when set, is asked before each operation; nil is none.
	fault func(operation string) *fault

	mu       sync.Mutex // guards what follows
	messages []*modelMessage
	arrived  chan struct{} // closed and replaced when something may be there
	fetches  []fetchCall
	faulty   []string // what a worker did that it may not
}

// fetchCall is one call of Fetch.
type fetchCall struct {
	at       time.Time
	messages int // the most that it asked for
}

// modelMessage is a message in the queue.
type modelMessage struct {
	data       []byte
	ids        []event.UUID
	storedAt   time.Time
	visibleAt  time.Time
	deliveries int
	acked      bool
	progress   []time.Time
	naks       []time.Duration
}

// fault is what goes wrong with one operation.
type fault struct {
	// err is returned, nil for an operation that claims to have worked.
	err error
	// done is whether the operation took effect nevertheless.
	done bool
	// takes is how long it lasts.
	takes time.Duration
}

var errBroken = errors.New("connection broken")

func newModelQueue(store *modelStore) *modelQueue {
	return &modelQueue{store: store, ackWait: 30 * time.Second, arrived: make(chan struct{})}
}

// publish puts a message at the end of the queue.
func (q *modelQueue) publish(data []byte, ids ...event.UUID) *modelMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := &modelMessage{data: data, ids: ids, storedAt: time.Now()}
	q.messages = append(q.messages, m)
	q.wake()
	return m
}

func (q *modelQueue) wake() {
	close(q.arrived)
	q.arrived = make(chan struct{})
}

func (q *modelQueue) faultOf(operation string) fault {
	if q.fault == nil {
		return fault{done: true}
	}
	if f := q.fault(operation); f != nil {
		return *f
	}
	return fault{done: true}
}

// Fetch implements Source.
func (q *modelQueue) Fetch(ctx context.Context, maxMessages, maxBytes int, patience time.Duration) ([]Message, error) {
	f := q.faultOf("fetch")
	q.mu.Lock()
	q.fetches = append(q.fetches, fetchCall{time.Now(), maxMessages})
	q.mu.Unlock()
	if !f.done {
		return nil, f.err
	}
	deadline := time.Now().Add(patience)
	for {
		taken, next, arrived := q.take(maxMessages, maxBytes)
		if len(taken) > 0 {
			return taken, f.err // with an error, messages count as delivered
		}
		if !time.Now().Before(deadline) {
			return nil, f.err
		}
		timer := time.NewTimer(min(next, time.Until(deadline)))
		select {
		case <-timer.C:
		case <-arrived:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// take delivers what is visible, or tells how long until something will be.
func (q *modelQueue) take(maxMessages, maxBytes int) (taken []Message, next time.Duration, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next = time.Hour
	for i, m := range q.messages {
		if m.acked {
			continue
		}
		if left := time.Until(m.visibleAt); left > 0 {
			next = min(next, left)
			continue
		}
		if len(taken) >= maxMessages || len(taken) > 0 && len(m.data) > maxBytes {
			break
		}
		m.deliveries++
		m.visibleAt = time.Now().Add(q.ackWait)
		maxBytes -= len(m.data)
		taken = append(taken, Message{
			Delivery: delivery{q, m}, Data: m.data, Deliveries: m.deliveries,
			StoredAt: m.storedAt, Sequence: uint64(i + 1),
		})
	}
	return taken, next, q.arrived
}

// left returns the messages that are not acknowledged.
func (q *modelQueue) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, m := range q.messages {
		if !m.acked {
			n++
		}
	}
	return n
}

// violations returns what a worker did that it may not.
func (q *modelQueue) violations() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.faulty
}

// fetchCount returns how often a worker has fetched since t.
func (q *modelQueue) fetchCount(t time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, call := range q.fetches {
		if !call.at.Before(t) {
			n++
		}
	}
	return n
}

// delivery implements Delivery.
type delivery struct {
	q *modelQueue
	m *modelMessage
}

func (d delivery) answer(operation string, apply func()) error {
	f := d.q.faultOf(operation)
	if f.done {
		d.q.mu.Lock()
		defer d.q.mu.Unlock()
		if !d.m.acked {
			apply()
		}
	}
	return f.err
}

func (d delivery) Ack() error {
	// Checked even when the answer is lost: the worker meant it.
	if missing := d.q.store.missing(d.m); missing > 0 {
		d.q.mu.Lock()
		d.q.faulty = append(d.q.faulty, fmt.Sprintf("acknowledged with %d batches not kept", missing))
		d.q.mu.Unlock()
	}
	return d.answer("ack", func() { d.m.acked = true })
}

func (d delivery) Nak(delay time.Duration) error {
	return d.answer("nak", func() {
		d.m.naks = append(d.m.naks, delay)
		d.m.visibleAt = time.Now().Add(delay)
		d.q.wake()
	})
}

func (d delivery) InProgress() error {
	return d.answer("in progress", func() {
		d.m.progress = append(d.m.progress, time.Now())
		if d.m.visibleAt.After(time.Now()) { // too late: it is anyone's
			d.m.visibleAt = time.Now().Add(d.q.ackWait)
		}
	})
}

// randomFaults makes operations fail in pairs, with and without effect, each
// with the probability given for it and lasting up to what is given, until end.
func randomFaults(random *rand.Rand, probability map[string]float64, takes map[string]time.Duration, end time.Time) func(string) *fault {
	var mu sync.Mutex // random is not for concurrent use
	return func(operation string) *fault {
		mu.Lock()
		defer mu.Unlock()
		f := &fault{done: true}
		if !time.Now().Before(end) {
			return f
		}
		if longest := takes[operation]; longest > 0 {
			f.takes = time.Duration(random.Int64N(int64(longest)))
		}
		if random.Float64() >= probability[operation] {
			return f
		}
		f.done = random.IntN(2) == 0
		if operation != "ack" && operation != "nak" && operation != "in progress" || random.IntN(2) == 0 {
			f.err = errBroken // an answer may also be lost without a word
		}
		return f
	}
}
