package workerd

import (
	"context"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/rollup"
	"github.com/nexero-vr/nexero/internal/worker"
)

// source is the queue in the worker's words.
type source struct{ conn *queue.Conn }

// Fetch implements [worker.Source].
func (s source) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]worker.Message, error) {
	fetched, err := s.conn.Fetch(ctx, maxMessages, maxBytes, wait)
	messages := make([]worker.Message, len(fetched))
	for i, m := range fetched {
		messages[i] = worker.Message{
			Delivery: m, Data: m.Data(), Deliveries: m.Deliveries(),
			StoredAt: m.StoredAt(), Sequence: m.Sequence(),
		}
	}
	return messages, err
}

// store is the database in the worker's words.
type store struct{ *postgres.Store }

// Load implements [worker.Store].
func (s store) Load(ctx context.Context, batches []envelope.Batch) (worker.Result, error) {
	loaded, err := s.Store.Load(ctx, batches)
	return worker.Result{
		Batches: loaded.Batches, Repeats: loaded.Repeats, Redelivered: loaded.Redelivered,
		Reused: loaded.Reused, Rows: loaded.Rows, Refused: loaded.Refused,
	}, err
}

// classify is the database's opinion of an error in the worker's words.
func classify(err error) worker.Class {
	switch postgres.Classify(err) {
	case postgres.ClassStop:
		return worker.ClassStop
	case postgres.ClassData:
		return worker.ClassData
	case postgres.ClassRetry:
		return worker.ClassRetry
	default:
		return worker.ClassRetry
	}
}

// classifyRollup is the same in the words of roll-ups.
func classifyRollup(err error) rollup.Class {
	switch postgres.Classify(err) {
	case postgres.ClassStop:
		return rollup.ClassStop
	case postgres.ClassData:
		return rollup.ClassData
	case postgres.ClassRetry:
		return rollup.ClassRetry
	default:
		return rollup.ClassRetry
	}
}
