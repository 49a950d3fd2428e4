package worker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// modelStore is a store as a model: a ledger of batch ids and what was kept as
// damaged.
type modelStore struct {
	// fault, when set, is asked before each operation; nil is none.
	fault func(operation string) *fault

	mu     sync.Mutex // guards what follows
	ledger map[event.UUID]int
	kept   []keptMessage
	// refused batches are data errors, doubted ones are until then, and locked
	// ones cannot be written until then.
	refused map[event.UUID]bool
	doubted map[event.UUID]time.Time
	locked  map[event.UUID]time.Time
	// verdicts are when a batch was refused by itself.
	verdicts map[event.UUID][]time.Time
	loads    []loadCall
	days     []time.Time // arguments of EnsurePartitions
}

type keptMessage struct {
	data   []byte
	reason string
}

// loadCall is one call of Load.
type loadCall struct {
	at      time.Time
	batches int
	ok      bool
}

// classedError is an error of the model with its class.
type classedError struct {
	class Class
	text  string
}

func (e *classedError) Error() string { return e.text }

// classify is what a worker under test gets as Deps.Classify.
func classify(err error) Class {
	if e, ok := errors.AsType[*classedError](err); ok {
		return e.class
	}
	return ClassRetry
}

func newModelStore() *modelStore {
	return &modelStore{
		ledger: map[event.UUID]int{}, refused: map[event.UUID]bool{}, doubted: map[event.UUID]time.Time{},
		locked: map[event.UUID]time.Time{}, verdicts: map[event.UUID][]time.Time{},
	}
}

func (s *modelStore) faultOf(ctx context.Context, operation string) fault {
	f := &fault{done: true}
	if s.fault != nil {
		f = s.fault(operation)
	}
	if f == nil {
		return fault{done: true}
	}
	if f.takes > 0 && !wait(ctx, f.takes) {
		return fault{err: cmp.Or(f.err, ctx.Err())}
	}
	return *f
}

// Load implements Store.
func (s *modelStore) Load(ctx context.Context, batches []envelope.Batch) (Result, error) {
	f := s.faultOf(ctx, "load")
	s.mu.Lock()
	defer s.mu.Unlock()
	call := loadCall{at: time.Now(), batches: len(batches)}
	defer func() { s.loads = append(s.loads, call) }()
	if !f.done {
		return Result{}, f.err
	}
	for i := range batches {
		if id := batches[i].ID; s.refused[id] || time.Now().Before(s.doubted[id]) {
			if len(batches) == 1 {
				s.verdicts[id] = append(s.verdicts[id], time.Now())
			}
			return Result{}, &classedError{ClassData, "value refused"}
		}
		if time.Now().Before(s.locked[batches[i].ID]) {
			return Result{}, &classedError{ClassRetry, "lock not available"}
		}
	}
	var result Result
	for i := range batches {
		if s.ledger[batches[i].ID]++; s.ledger[batches[i].ID] == 1 {
			result.Batches++
			result.Rows += batches[i].RowCount()
		} else {
			result.Redelivered++
		}
	}
	call.ok = f.err == nil
	return result, f.err
}

// KeepDamaged implements Store.
func (s *modelStore) KeepDamaged(ctx context.Context, message []byte, reason string) error {
	f := s.faultOf(ctx, "keep")
	if f.done {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.ContainsFunc(s.kept, func(k keptMessage) bool { return bytes.Equal(k.data, message) }) {
			s.kept = append(s.kept, keptMessage{message, reason})
		}
	}
	return f.err
}

// EnsurePartitions implements Store.
func (s *modelStore) EnsurePartitions(ctx context.Context, oldest time.Time) error {
	f := s.faultOf(ctx, "partitions")
	if f.done {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.days = append(s.days, oldest)
	}
	return f.err
}

// condemned tells whether a batch was refused by itself twice, with a pause
// between. It is called with the lock held.
func (s *modelStore) condemned(id event.UUID) bool {
	times := s.verdicts[id]
	return len(times) > 1 && times[len(times)-1].Sub(times[0]) >= refusalPause
}

// missing returns how many of a message's batches are not where they belong: in
// the ledger, or for those that are condemned in what is kept as damaged.
func (s *modelStore) missing(m *modelMessage) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.ContainsFunc(s.kept, func(k keptMessage) bool { return bytes.Equal(k.data, m.data) })
	if len(m.ids) == 0 && !kept {
		return 1 // unreadable: only keeping it whole will do
	}
	n := 0
	for _, id := range m.ids {
		if s.ledger[id] == 0 && (!kept || !s.condemned(id)) {
			n++
		}
	}
	return n
}

// read calls f while nothing changes.
func (s *modelStore) read(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// successful returns the sizes in batches of the loads that succeeded.
func (s *modelStore) successful() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sizes []int
	for _, call := range s.loads {
		if call.ok {
			sizes = append(sizes, call.batches)
		}
	}
	return sizes
}
