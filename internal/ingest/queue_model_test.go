package ingest

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// fate is what the queue does with one attempt: how long it takes, whether the
// message is stored, and what the publisher hears.
type fate struct {
	after    time.Duration
	persist  bool
	answer   error
	silent   bool // hears nothing until its context ends
	panicked bool
}

// modelQueue is a queue that stores each id once, as the real one does, and
// has a fate for every attempt. It keeps its own account of what is wrong.
type modelQueue struct {
	// next gives the fate of an attempt; nil is immediate success.
	next func(attempt int) fate

	mu       sync.Mutex
	attempts int
	flying   int
	mostFly  int
	ids      []string // in the order of storing
	stored   map[string][]byte
	seen     map[string][]byte // every id that was ever offered
	wrong    []string
}

func newModelQueue(next func(int) fate) *modelQueue {
	return &modelQueue{next: next, stored: map[string][]byte{}, seen: map[string][]byte{}}
}

// script answers attempts in order and succeeds when it has run out.
func script(fates ...fate) func(int) fate {
	return func(attempt int) fate {
		if attempt < len(fates) {
			return fates[attempt]
		}
		return fate{persist: true}
	}
}

func (q *modelQueue) Publish(ctx context.Context, id string, message []byte) error {
	f := q.offered(id, message)
	defer func() {
		q.mu.Lock()
		q.flying--
		q.mu.Unlock()
	}()
	if f.silent {
		if f.persist {
			q.store(id, message)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	if f.after > 0 {
		select {
		case <-time.After(f.after):
		case <-ctx.Done():
			// The message may still arrive, after the publisher gave up.
			if f.persist {
				q.store(id, message)
			}
			return ctx.Err()
		}
	}
	if f.persist {
		q.store(id, message)
	}
	if f.panicked {
		panic("the publisher broke")
	}
	return f.answer
}

func (q *modelQueue) offered(id string, message []byte) fate {
	q.mu.Lock()
	defer q.mu.Unlock()
	if before, ok := q.seen[id]; ok && !bytes.Equal(before, message) {
		q.wrong = append(q.wrong, "id "+id+" came with other bytes")
	}
	q.seen[id] = bytes.Clone(message)
	q.flying++
	q.mostFly = max(q.mostFly, q.flying)
	var f fate
	if q.next == nil {
		f = fate{persist: true}
	} else {
		f = q.next(q.attempts)
	}
	q.attempts++
	return f
}

func (q *modelQueue) store(id string, message []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.stored[id]; !ok {
		q.stored[id] = bytes.Clone(message)
		q.ids = append(q.ids, id)
	}
}

// batches returns the correlation ids of all stored batches, by envelope, and
// complains when one is stored twice.
func (q *modelQueue) batches() (byEnvelope [][]string, wrong []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wrong = slices.Clone(q.wrong)
	times := map[string]int{}
	for _, id := range q.ids {
		opened, err := envelope.Open(q.stored[id])
		if err != nil {
			wrong = append(wrong, "stored: "+err.Error())
		}
		var names []string
		for _, b := range opened {
			names = append(names, b.CorrelationID)
			if times[b.CorrelationID]++; times[b.CorrelationID] > 1 {
				wrong = append(wrong, b.CorrelationID+" is stored twice")
			}
		}
		byEnvelope = append(byEnvelope, names)
	}
	return byEnvelope, wrong
}

func (q *modelQueue) holds(name string) bool {
	byEnvelope, _ := q.batches()
	return slices.ContainsFunc(byEnvelope, func(names []string) bool { return slices.Contains(names, name) })
}

// encodedBatch is a batch called name of about size bytes.
func encodedBatch(t testing.TB, name string, size int) []byte {
	t.Helper()
	encoded, err := envelope.AppendBatch(nil, &event.Batch{
		Tenant: "acme", CorrelationID: name,
		Rejected: []event.Rejection{{Code: event.InvalidText, Raw: string(make([]byte, size))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func testCommitter(t testing.TB, publisher Publisher, adjust func(*Options)) *committer {
	t.Helper()
	options := DefaultOptions().withDefaults()
	if adjust != nil {
		adjust(&options)
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return newCommitter(publisher, options, m, slog.New(slog.DiscardHandler))
}
