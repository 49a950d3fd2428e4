package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

const (
	// swapAttempts bounds how often Update meets somebody else's change.
	swapAttempts = 20
	// remakeAgain is how long a bucket that could not be opened or made is left
	// alone: every call in between fails at once.
	remakeAgain = time.Second
	// provisionPatience bounds Provision: a service does not wait for what
	// nothing depends on.
	provisionPatience = 10 * time.Second
)

// errResting: the bucket was missing a moment ago.
var errResting = errors.New("the bucket could not be opened a moment ago")

// SessionStates is the bucket session_state: small values that every replica of
// ingest reads and writes, kept for seven days after their last change. It is a
// convenience for clients and nothing depends on it, so unlike the stream and
// the keys it is made again when it is missing, and forgets its oldest values
// when it is full. Its methods may be called at the same time.
type SessionStates struct {
	conn *Conn
	want jetstream.StreamConfig
	kv   atomic.Pointer[jetstream.KeyValue]

	mu      sync.Mutex // held while the bucket is opened or made
	triedAt time.Time
}

// SessionStates returns the bucket, which may hold maxBytes. It asks the server
// nothing; see [SessionStates.Provision].
func (c *Conn) SessionStates(maxBytes int64) *SessionStates {
	return &SessionStates{conn: c, want: sessionBucketStream(c.cfg, maxBytes)}
}

// Provision makes the bucket or brings its settings in line, as
// [Conn.Provision] does for the rest, within seconds. A caller can go on when it
// fails.
func (s *SessionStates) Provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, provisionPatience)
	defer cancel()
	if err := s.conn.provisionStream(ctx, s.want); err != nil {
		return err
	}
	return s.open(ctx)
}

// Get returns the value under key as of the last acknowledged Update through
// any connection: the stream's leader is asked, never another copy. The error
// is [ErrUnavailable].
func (s *SessionStates) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = s.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			value, found = nil, false
			return nil
		}
		if err != nil {
			return err
		}
		value, found = entry.Value(), true
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("get session state: %w", err)
	}
	return value, found, nil
}

// Update replaces the value under key by what change makes of it, if nobody
// else replaced it in between; otherwise it begins anew. change gets nil for a
// key that is not there and returns nil to leave all as it is. After the error,
// [ErrUnavailable], the value may be replaced or not.
func (s *SessionStates) Update(ctx context.Context, key string, change func(value []byte) []byte) error {
	err := s.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		for range swapAttempts {
			err := swap(ctx, kv, key, change)
			if !errors.Is(err, errRaced) {
				return err
			}
		}
		return fmt.Errorf("%w, %d times in a row", errRaced, swapAttempts)
	})
	if err != nil {
		return fmt.Errorf("update session state: %w", err)
	}
	return nil
}

// swap is one attempt of Update; errRaced when somebody else was quicker.
func swap(ctx context.Context, kv jetstream.KeyValue, key string, change func([]byte) []byte) error {
	var value []byte
	var revision uint64
	entry, err := kv.Get(ctx, key)
	switch {
	case err == nil:
		value, revision = entry.Value(), entry.Revision()
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return err
	}
	crashpoint.At(crashpoint.QueueStateRead)
	next := change(value)
	switch {
	case next == nil:
		return nil
	case entry == nil:
		// Unlike Update with revision 0 it gets past the mark that somebody left
		// who removed the key by hand.
		_, err = kv.Create(ctx, key, next)
	default:
		_, err = kv.Update(ctx, key, next, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return errRaced
	}
	return err
}

// do runs work on the bucket, once more if it turned out to be missing and
// could be made. It ends when the connection breaks: the library would wait for
// ctx although no answer can come.
func (s *SessionStates) do(ctx context.Context, work func(context.Context, jetstream.KeyValue) error) error {
	if !s.conn.nc.IsConnected() {
		return fmt.Errorf("%w: %s", ErrUnavailable, s.conn.nc.Status())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.conn.line.Load().ctx, func() { cancel(nats.ErrDisconnected) })() //nolint:contextcheck // ends with the connection
	err := s.attempt(ctx, work)
	if isMissing(err) {
		s.kv.Store(nil)
		err = s.attempt(ctx, work)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (s *SessionStates) attempt(ctx context.Context, work func(context.Context, jetstream.KeyValue) error) error {
	if s.kv.Load() == nil {
		if err := s.remake(ctx); err != nil {
			return err
		}
	}
	kv := s.kv.Load()
	if kv == nil {
		return errResting // lost again already
	}
	return work(ctx, *kv)
}

// remake opens the bucket, which it makes if it is missing. Nobody waits for
// somebody else's attempt, and attempts keep a distance.
func (s *SessionStates) remake(ctx context.Context) error {
	if !s.mu.TryLock() {
		return errResting
	}
	defer s.mu.Unlock()
	if time.Since(s.triedAt) < remakeAgain {
		return errResting
	}
	s.triedAt = time.Now()
	if err := s.conn.provisionStreamOnce(ctx, s.want); err != nil && !errors.Is(err, errRaced) {
		return err
	}
	return s.open(ctx)
}

// open finds the bucket. It is never made or updated through the library's own
// functions, which switch stale reads on.
func (s *SessionStates) open(ctx context.Context) error {
	kv, err := s.conn.js.KeyValue(ctx, SessionBucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", SessionBucket, err)
	}
	s.kv.Store(&kv)
	return nil
}

// isMissing says whether an error can mean that there is no such bucket.
func isMissing(err error) bool {
	return errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}
