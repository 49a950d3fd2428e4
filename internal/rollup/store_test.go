package rollup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/facts"
)

// modelStore is a store as a model: raw rows, touches, stored facts and one
// list of aggregate rows, all in memory, with the rules of Store and Archive.
type modelStore struct {
	now func() time.Time
	// fault, when set, is asked before each operation, with the sessions that it
	// claimed; nil is none.
	fault func(operation string, claimed []int64) *fault

	mu         sync.Mutex // guards what follows
	sessions   map[int64]*modelSession
	properties map[string]facts.Property
	aggregates facts.Contributions
	calls      []call
	partitions []facts.Expired
	dropped    []string
	customers  int
	// customerLimits are those of all roll-ups of customers.
	customerLimits []int
	ledger         int64 // rows that may be forgotten
	old            int64 // sessions that may be
	violations     []string
}

// fault is what goes wrong with an operation.
type fault struct {
	err error
	// done says that it was done all the same: the answer was lost.
	done bool
	// takes is how long it takes, with or without an error.
	takes time.Duration
}

// call is one operation that claimed something, or tried to.
type call struct {
	at       time.Time
	what     string
	sessions []int64
	err      error
}

// modelSession is one session.
type modelSession struct {
	locked  bool
	rows    map[int64]modelBatch // by batch
	touches []int64              // batches, 0 for a property that changed
	lost    bool                 // raw rows were dropped

	state       []byte
	contributed facts.Contributions
	rolled      bool
	sealed      bool
	recomputes  int
	recomputeAt event.Micros
	due         event.Micros
	read        int // events read for it
}

// modelBatch is what one batch brought.
type modelBatch struct {
	receivedAt time.Time
	events     []facts.Event
	reports    []facts.Report
}

// classedError is an error of the model with its class.
type classedError struct {
	class Class
	text  string
}

func (e *classedError) Error() string { return e.text }

var (
	errBroken  = &classedError{ClassRetry, "connection broken"}
	errRefused = &classedError{ClassData, "value refused"}
	errSchema  = &classedError{ClassStop, "no such table"}
)

// classify is what a Roller under test gets as Deps.Classify.
func classify(err error) Class {
	if e, ok := errors.AsType[*classedError](err); ok {
		return e.class
	}
	return ClassRetry
}

func newModelStore(now func() time.Time) *modelStore {
	return &modelStore{now: now, sessions: map[int64]*modelSession{}, properties: map[string]facts.Property{}}
}

// load stores a batch as a worker would, and touches its session.
func (s *modelStore) load(session, batch int64, b modelBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.sessions[session]
	if m == nil {
		m = &modelSession{rows: map[int64]modelBatch{}}
		s.sessions[session] = m
	}
	m.rows[batch] = b
	m.touches = append(m.touches, batch)
}

// setProperty changes a property, and touches every session.
func (s *modelStore) setProperty(id string, p facts.Property) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.properties[id] = p
	for _, m := range s.sessions {
		m.touches = append(m.touches, 0)
	}
}

// RollSessions implements Store.
func (s *modelStore) RollSessions(ctx context.Context, after int64, limit int, fold facts.Fold) (facts.Rolled, error) {
	now := event.MicrosOf(s.now())
	return s.roll(ctx, "roll", limit, nil, fold, func(number int64, m *modelSession) bool {
		return number > after && len(m.touches) > 0 && m.due <= now
	})
}

// SealSessions implements Archive. In the model every session has rows in every
// partition. None claimed means that none is left: it waits for those that
// other roll-ups hold.
func (s *modelStore) SealSessions(ctx context.Context, expired facts.Expired, limit int, fold facts.Fold) (facts.Rolled, error) {
	for {
		rolled, err := s.roll(ctx, "seal", limit, &expired, fold, func(_ int64, m *modelSession) bool { return !m.sealed })
		if err != nil || rolled.Claimed > 0 || !s.unsealed() {
			return rolled, err
		}
		select {
		case <-ctx.Done():
			return rolled, ctx.Err()
		case <-time.After(time.Millisecond): // of the bubble's clock
		}
	}
}

// unsealed reports whether a session is left to seal.
func (s *modelStore) unsealed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sessions {
		if !m.sealed {
			return true
		}
	}
	return false
}

func (s *modelStore) roll(ctx context.Context, what string, limit int, sealing *facts.Expired, fold facts.Fold, due func(int64, *modelSession) bool) (facts.Rolled, error) {
	// Locks, as FOR UPDATE SKIP LOCKED takes them.
	s.mu.Lock()
	var numbers []int64
	last := int64(0)
	for _, number := range slices.Sorted(maps.Keys(s.sessions)) {
		if m := s.sessions[number]; due(number, m) && !m.locked {
			m.locked = true
			if numbers = append(numbers, number); len(numbers) == limit {
				last = number
				break
			}
		}
	}
	s.mu.Unlock()
	rolled, err := s.rollLocked(ctx, what, numbers, sealing, fold)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, number := range numbers {
		s.sessions[number].locked = false
	}
	s.calls = append(s.calls, call{s.now(), what, numbers, err})
	if err == nil {
		rolled.Last = last
	}
	return rolled, err
}

func (s *modelStore) rollLocked(ctx context.Context, what string, numbers []int64, sealing *facts.Expired, fold facts.Fold) (facts.Rolled, error) {
	if len(numbers) == 0 {
		if f := s.faultOf(ctx, what, nil); f.err != nil {
			return facts.Rolled{}, f.err
		}
		return facts.Rolled{}, nil
	}
	rolled := facts.Rolled{Claimed: len(numbers), Sessions: numbers}
	claims, taken := make([]*facts.Claim, len(numbers)), make([][]int64, len(numbers))
	s.mu.Lock()
	for i, number := range numbers {
		claims[i], taken[i] = s.claim(number, sealing)
	}
	s.mu.Unlock()
	for _, c := range claims {
		rolled.Events += len(c.Events)
	}
	if f := s.faultOf(ctx, what+": read", numbers); f.err != nil {
		return facts.Rolled{Sessions: numbers}, f.err
	}
	err := fold(claims, func(whole []*facts.Claim) error {
		s.readWhole(claims, taken, whole)
		for _, c := range whole {
			rolled.Events += len(c.Events)
		}
		return nil
	})
	f := s.faultOf(ctx, what, numbers)
	if err = cmp.Or(err, f.err); err != nil && !f.done {
		return facts.Rolled{Sessions: numbers}, err // rolled back: the touches are still there
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range claims {
		if c.Result.Postponed {
			rolled.Postponed++
		}
		s.store(c, taken[i], &rolled)
	}
	if err != nil {
		return facts.Rolled{Sessions: numbers}, err
	}
	return rolled, nil
}

// claim reads what is stored of a session and what its touches brought.
func (s *modelStore) claim(number int64, sealing *facts.Expired) (*facts.Claim, []int64) {
	m := s.sessions[number]
	c := &facts.Claim{
		SessionNo: number, Now: event.MicrosOf(s.now()), New: !m.rolled, Sealed: m.sealed,
		Contributed: m.contributed, Recomputes: m.recomputes, RecomputeAt: m.recomputeAt,
		Seal: sealing != nil, ForgetPath: sealing != nil && sealing.Poses, Properties: maps.Clone(s.properties),
	}
	if m.state != nil {
		state, err := facts.Decode(m.state)
		if err != nil {
			s.violations = append(s.violations, fmt.Sprintf("session %d: state: %v", number, err))
		}
		c.State = state
	}
	taken := slices.Clone(m.touches)
	seen := map[int64]bool{0: true}
	for _, batch := range taken {
		if !seen[batch] {
			seen[batch] = true
			c.Events = append(c.Events, m.rows[batch].events...)
		}
	}
	m.read += len(c.Events)
	// Reports are few: all are read each time, but those whose touch is still there.
	c.Reports = s.reportsOf(m, taken)
	return c, taken
}

func (s *modelStore) reportsOf(m *modelSession, taken []int64) []facts.Report {
	var reports []facts.Report
	for _, batch := range slices.Sorted(maps.Keys(m.rows)) {
		if slices.Contains(taken, batch) || !slices.Contains(m.touches, batch) {
			reports = append(reports, m.rows[batch].reports...)
		}
	}
	return reports
}

// readWhole reads all rows of sessions but those that come with a touch which
// is still there.
func (s *modelStore) readWhole(claims []*facts.Claim, taken [][]int64, whole []*facts.Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range whole {
		m := s.sessions[c.SessionNo]
		if c.Sealed || m.lost {
			s.violations = append(s.violations, fmt.Sprintf("session %d is read from its first event, sealed %v, lost %v", c.SessionNo, c.Sealed, m.lost))
		}
		mine := taken[slices.Index(claims, c)]
		c.Events, c.Whole = nil, true
		for batch, b := range m.rows {
			if slices.Contains(mine, batch) || !slices.Contains(m.touches, batch) {
				c.Events = append(c.Events, b.events...)
			}
		}
		m.read += len(c.Events)
		c.Reports = s.reportsOf(m, mine)
	}
}

// store is the end of the transaction.
func (s *modelStore) store(c *facts.Claim, taken []int64, rolled *facts.Rolled) {
	m := s.sessions[c.SessionNo]
	m.due = c.Result.Due
	if c.Result.Postponed {
		if c.Result.Due <= c.Now {
			s.violations = append(s.violations, fmt.Sprintf("session %d is postponed and due", c.SessionNo))
		}
		return
	}
	m.touches = m.touches[len(taken):] // later ones were appended
	for _, batch := range taken {
		if batch != 0 {
			rolled.Ages = append(rolled.Ages, s.now().Sub(m.rows[batch].receivedAt))
		}
	}
	s.aggregates = facts.Add(s.aggregates, facts.Difference(c.Result.Contributed, m.contributed))
	m.state, m.contributed, m.rolled = c.Result.State.Append(nil), c.Result.Contributed, true
	m.recomputes, m.recomputeAt = c.Result.Recomputes, c.Result.RecomputeAt
	m.sealed = m.sealed || c.Seal
}

// RollCustomers implements Store.
func (s *modelStore) RollCustomers(ctx context.Context, limit int) (int, error) {
	f := s.faultOf(ctx, "customers", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{s.now(), "customers", nil, f.err})
	s.customerLimits = append(s.customerLimits, limit)
	n := min(limit, s.customers)
	if f.err != nil {
		return n, f.err
	}
	s.customers -= n
	return n, nil
}

// Backlog implements Store.
func (s *modelStore) Backlog(ctx context.Context) (facts.Backlog, error) {
	if f := s.faultOf(ctx, "backlog", nil); f.err != nil {
		return facts.Backlog{}, f.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	backlog := facts.Backlog{}
	for _, m := range s.sessions {
		for _, batch := range m.touches {
			if b, ok := m.rows[batch]; ok {
				backlog.Batches++
				backlog.Age = max(backlog.Age, s.now().Sub(b.receivedAt))
			}
		}
	}
	return backlog, nil
}

// Expired implements Archive.
func (s *modelStore) Expired(ctx context.Context) ([]facts.Expired, error) {
	f := s.faultOf(ctx, "expired", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{s.now(), "expired", nil, f.err})
	return slices.Clone(s.partitions), f.err
}

// forgetSessions is Deps.ForgetSessions, seven sessions at a time.
func (s *modelStore) forgetSessions(ctx context.Context) (int64, bool, error) {
	f := s.faultOf(ctx, "forget sessions", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{s.now(), "forget sessions", nil, f.err})
	if f.err != nil && !f.done {
		return 0, s.old > 0, f.err
	}
	sessions := min(s.old, 7)
	s.old -= sessions
	return sessions, s.old > 0, f.err
}

// forget is Deps.Forget, seven rows at a time.
func (s *modelStore) forget(ctx context.Context) (int64, error) {
	f := s.faultOf(ctx, "forget", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{s.now(), "forget", nil, f.err})
	rows := min(s.ledger, 7)
	if f.err != nil {
		return 0, f.err
	}
	s.ledger -= rows
	return rows, nil
}

// Drop implements Archive.
func (s *modelStore) Drop(ctx context.Context, expired facts.Expired) error {
	f := s.faultOf(ctx, "drop "+expired.Partition, nil)
	if f.err != nil {
		return f.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, m := range s.sessions {
		if !m.sealed {
			s.violations = append(s.violations, fmt.Sprintf("%s dropped with session %d not sealed", expired.Partition, number))
		}
		m.lost = true
	}
	s.partitions = slices.DeleteFunc(s.partitions, func(e facts.Expired) bool { return e == expired })
	s.dropped = append(s.dropped, expired.Partition)
	return nil
}

func (s *modelStore) faultOf(ctx context.Context, operation string, claimed []int64) fault {
	if s.fault == nil {
		return fault{}
	}
	f := s.fault(operation, claimed)
	if f == nil {
		return fault{}
	}
	if f.takes > 0 && !wait(ctx, f.takes) {
		return fault{err: ctx.Err()}
	}
	return *f
}

// touched returns how many touches are left.
func (s *modelStore) touched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.sessions {
		n += len(m.touches)
	}
	return n
}

// made returns the calls of one kind that claimed something or failed.
func (s *modelStore) made(what string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.calls), func(c call) bool { return c.what != what })
}
