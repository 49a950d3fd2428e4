package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
)

// SessionStates is a bucket of small values that all replicas share. It holds
// what clients may ask about their sessions and nothing that cannot be lost:
// an error of it is counted and never fails a post.
type SessionStates interface {
	// Get returns the value under key as of the last acknowledged Update of any
	// replica, or found false. An error says that nothing is known.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	// Update replaces the value under key by what change makes of it, unless
	// another replica replaced it meanwhile: then it begins anew, so change is
	// called once or more. It gets nil for a key that is not there and returns
	// nil to leave all as it is. Update returns soon after ctx ends.
	Update(ctx context.Context, key string, change func(value []byte) []byte) error
}

const (
	// touchEvery is how long a replica leaves the state of a session alone that
	// only goes on. It bounds the writes, each of which is an fsync.
	touchEvery = event.Micros(5 * time.Minute / time.Microsecond)
	// touchAgain is when a touch that failed is tried again.
	touchAgain = event.Micros(10 * time.Second / time.Microsecond)
	// touchPause is how long tracking posts leave a bucket alone that failed:
	// each would otherwise wait for it, and for nothing.
	touchPause = event.Micros(time.Second / time.Microsecond)
	// mostTouches bounds what one post of many sessions costs. Those left out
	// have their turn with the next post that names them.
	mostTouches = 16
)

// sightings are the sessions that this replica has seen of late: what it knows
// of them that the bucket may not, and when it is due to be written. It is safe
// for concurrent use and bounded; a session that was forgotten is written again.
type sightings struct {
	mu       sync.Mutex // guards the reading and writing of an entry, and until
	sessions *lru.Cache[event.UUID, sighting]
	// until is when tracking posts try again after a failure.
	until event.Micros
}

// sighting is one session's entry.
type sighting struct {
	// state is all that was seen here since the last write, and what that wrote.
	state sessionState
	// due is the time of receipt from which on a post writes again.
	due event.Micros
}

func newSightings(most int) (*sightings, error) {
	sessions, err := lru.New[event.UUID, sighting](most)
	return &sightings{sessions: sessions}, err
}

// note adds news to what is known of a session and reports what there is to
// write, if it is due: at first sight, then every touchEvery, and at once when
// the session ended.
func (l *sightings) note(key event.UUID, news sessionState) (state sessionState, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, seen := l.sessions.Get(key)
	if !seen {
		known = sighting{state: unknownState(), due: noTime}
	}
	due = news.seen >= known.due || news.end > known.state.end
	known.state = known.state.merge(news)
	l.sessions.Add(key, known)
	return known.state, due && news.seen >= l.until
}

// settle notes that the bucket holds state now. The next write is due by what
// it holds: another replica may have written it long before this one looked.
func (l *sightings) settle(key event.UUID, state sessionState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	settled := sighting{state: state, due: state.seen + touchEvery}
	if known, seen := l.sessions.Get(key); seen {
		settled.state = state.merge(known.state)
	}
	l.sessions.Add(key, settled)
}

// fail notes that nobody knows what the bucket holds.
func (l *sightings) fail(key event.UUID, at event.Micros) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = at + touchPause
	if known, seen := l.sessions.Get(key); seen {
		known.due = at + touchAgain
		l.sessions.Add(key, known)
	}
}

// recordReport writes what x's acknowledged session post says, before its
// answer: whoever hears it may ask any replica. It returns all that is known of
// the session; without the bucket that is what the post says.
func (s *Server) recordReport(x *exchange) sessionState {
	news := stateOfReport(&x.batch)
	key := x.batch.Sessions[x.batch.Report.Session].Key
	// A tracking post may have seen what no write was due for.
	known, _ := s.sightings.note(key, news)
	return s.record(x, key, known)
}

// recordTracking writes what x's acknowledged events say of their sessions, as
// far as that is due.
func (s *Server) recordTracking(x *exchange) {
	x.states = appendStates(x.states[:0], &x.batch)
	written := 0
	for i, news := range x.states {
		if news.start == noStart {
			continue // only of events that were rejected
		}
		key := x.batch.Sessions[i].Key
		state, due := s.sightings.note(key, news)
		if !due {
			continue
		}
		if written == mostTouches {
			s.metrics.sessionStates.skipped.Inc()
			continue
		}
		written++
		s.record(x, key, state)
	}
}

// record merges news into the session's state and returns the result.
func (s *Server) record(x *exchange, key event.UUID, news sessionState) sessionState {
	// The events are durable, whether their client is still there or not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.Request.Context()), s.options.SessionTimeout)
	defer cancel()
	var held sessionState // what the bucket holds in the end
	outcome := s.metrics.sessionStates.unchanged
	crashpoint.At(crashpoint.IngestBeforeState)
	err := s.deps.Sessions.Update(ctx, key.String(), func(value []byte) []byte {
		// A value that nobody can read holds nothing that could be lost.
		held, _ = decodeState(value)
		outcome = s.metrics.sessionStates.unchanged
		if held.covers(news) {
			return nil
		}
		outcome = s.metrics.sessionStates.written
		held = held.merge(news)
		return held.encode()
	})
	s.reachable(x, err)
	if err != nil {
		s.metrics.sessionStates.failed.Inc()
		s.sightings.fail(key, x.batch.ReceivedAt)
		return news
	}
	outcome.Inc()
	crashpoint.At(crashpoint.IngestStateWritten)
	s.sightings.settle(key, held)
	return held.merge(news)
}

// lookUp returns the state of the session that the request names by any
// spelling of its id. The unknown state stands for an id that is none and for
// one of another tenant alike: the tenant is part of the key. // rule 8
func (s *Server) lookUp(x *exchange) (sessionState, error) {
	id, ok := event.NormaliseSessionID(x.sessionID)
	if !ok {
		return unknownState(), nil
	}
	ctx, cancel := context.WithTimeout(x.Request.Context(), s.options.SessionTimeout)
	defer cancel()
	value, found, err := s.deps.Sessions.Get(ctx, event.SessionKey(x.Tenant, id).String())
	s.reachable(x, err)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			x.Vanished = true
		}
		s.metrics.sessionLookups.failed.Inc()
		return unknownState(), gate.Refused(codeSessionsUnavailable,
			"What is known of sessions cannot be read at the moment; posts are not affected. Ask again.").Because(err)
	}
	if !found {
		s.metrics.sessionLookups.unknown.Inc()
		return unknownState(), nil
	}
	state, err := decodeState(value)
	if err != nil {
		s.metrics.sessionLookups.failed.Inc()
		return unknownState(), gate.Refused(codeSessionsUnavailable,
			"What is known of this session cannot be read. Its next post mends that.").Because(err)
	}
	s.metrics.sessionLookups.found.Inc()
	return state, nil
}

// reachable logs when the bucket begins or ceases to fail. A client that leaves
// says nothing about it.
func (s *Server) reachable(x *exchange, err error) {
	if errors.Is(err, context.Canceled) || !s.checks.turned("session_state", err != nil) {
		return
	}
	ctx := x.Request.Context()
	if err == nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "session states can be reached again")
		return
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "session states cannot be reached",
		slog.String("correlation_id", x.CorrelationID), slog.Any("error", err))
}
