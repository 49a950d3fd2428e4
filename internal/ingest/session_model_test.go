package ingest

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errStatesAway is what a bucket says that is not there.
var errStatesAway = errors.New("no such bucket at nats://10.1.2.3:4222")

// modelStates is a bucket in memory that counts its writes, and fails as it is
// told.
type modelStates struct {
	mu     sync.Mutex
	values map[string][]byte
	writes int
	calls  int
	err    error
	hangs  bool // until the caller's time is up
	// interfere is called in the middle of every Update, as another replica
	// would write then.
	interfere func(key string)
}

func newModelStates() *modelStates { return &modelStates{values: map[string][]byte{}} }

func (m *modelStates) enter(ctx context.Context) error {
	m.mu.Lock()
	m.calls++
	hangs, err := m.hangs, m.err
	m.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (m *modelStates) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	if err := m.enter(ctx); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, found = m.values[key]
	return slices.Clone(value), found, nil
}

func (m *modelStates) Update(ctx context.Context, key string, change func([]byte) []byte) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	for {
		m.mu.Lock()
		before := m.values[key]
		interfere := m.interfere
		m.mu.Unlock()
		next := change(slices.Clone(before))
		if interfere != nil {
			interfere(key)
		}
		m.mu.Lock()
		if !slices.Equal(m.values[key], before) {
			m.mu.Unlock()
			continue
		}
		if next != nil {
			m.values[key] = next
			m.writes++
		}
		m.mu.Unlock()
		return nil
	}
}

// put replaces a value as another replica would.
func (m *modelStates) put(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
}

func (m *modelStates) counted() (calls, writes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls, m.writes
}

// fail makes the bucket answer with err, nil for as it should.
func (m *modelStates) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}
