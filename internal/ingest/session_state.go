package ingest

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// dropAfter is how long a session may be silent before it reads as dropped: the
// same half hour after which its facts are settled.
const dropAfter = event.Micros(30 * time.Minute / time.Microsecond)

// Bounds of a state's times that stand for "not known". Being the neutral
// elements of min and max, they need no case of their own in merge.
const (
	noStart event.Micros = math.MaxInt64
	noTime  event.Micros = math.MinInt64
)

// sessionState is what is remembered of a session for the client that asks
// about it: its times, and neither customer nor property, nor whose it is.
//
// States form a lattice: merge is commutative, associative and idempotent, and
// a state only ever moves forward. So replicas that merge in any order, twice,
// or with a write whose outcome nobody knows come to the same state.
type sessionState struct {
	// start is the earliest start that is known, noStart for none.
	start event.Micros
	// end is the latest declared end, noTime while the session goes on. A
	// session that has one stays completed.
	end event.Micros
	// seen is the latest receipt, noTime for a state that knows nothing.
	seen event.Micros
}

func unknownState() sessionState { return sessionState{start: noStart, end: noTime, seen: noTime} }

// merge returns what s and other know together.
func (s sessionState) merge(other sessionState) sessionState {
	return sessionState{
		start: min(s.start, other.start),
		end:   max(s.end, other.end),
		seen:  max(s.seen, other.seen),
	}
}

// covers reports whether writing news over s could be left out: it says nothing
// but that the session was seen again, and that is known closely enough.
func (s sessionState) covers(news sessionState) bool {
	merged := s.merge(news)
	return merged.start == s.start && merged.end == s.end && s.seen != noTime && merged.seen-s.seen < touchEvery
}

// ended reports whether the client said that the session is over.
func (s sessionState) ended() bool { return s.end != noTime }

// length is from start to end, when both are known. An end before the start
// makes a length of 0: it is stored as sent and proves nothing.
func (s sessionState) length() (d time.Duration, known bool) {
	if s.start == noStart || !s.ended() {
		return 0, false
	}
	return span(s.start, s.end), true
}

// status is how the session reads at now.
func (s sessionState) status(now event.Micros) string {
	switch {
	case s.seen == noTime:
		return "not_found"
	case s.ended():
		return "completed"
	case now-s.seen >= dropAfter:
		return "dropped"
	}
	return "active"
}

// span is from start to end, 0 when the end comes first. Two times can lie
// further apart than a Duration can say.
func span(start, end event.Micros) time.Duration {
	return time.Duration(min(max(end-start, 0), math.MaxInt64/1000)) * time.Microsecond
}

// storedState is a state as it lies in the bucket: times in microseconds since
// 1970, members without a value left out. A person can read it there.
type storedState struct {
	Start *event.Micros `json:"start,omitempty"`
	End   *event.Micros `json:"end,omitempty"`
	Seen  *event.Micros `json:"seen,omitempty"`
}

func (s sessionState) encode() []byte {
	var stored storedState
	if s.start != noStart {
		stored.Start = &s.start
	}
	if s.end != noTime {
		stored.End = &s.end
	}
	if s.seen != noTime {
		stored.Seen = &s.seen
	}
	value, err := json.Marshal(stored)
	if err != nil {
		panic("ingest: three numbers cannot be encoded: " + err.Error()) // cannot happen
	}
	return value
}

// decodeState reads a state; no value is the unknown state. Members that a
// later version added are passed over.
func decodeState(value []byte) (sessionState, error) {
	s := unknownState()
	if len(value) == 0 {
		return s, nil
	}
	var stored storedState
	if err := json.Unmarshal(value, &stored); err != nil {
		return s, fmt.Errorf("decode session state: %w", err)
	}
	for _, t := range []struct {
		from *event.Micros
		to   *event.Micros
	}{{stored.Start, &s.start}, {stored.End, &s.end}, {stored.Seen, &s.seen}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	return s, nil
}

// stateOfReport is what a session post says. A post without any time still says
// that the session is there, so it began at the latest now; one that knows its
// end alone says nothing of the start.
func stateOfReport(b *event.Batch) sessionState {
	s := sessionState{start: noStart, end: noTime, seen: b.ReceivedAt}
	switch {
	case b.Report.Start != nil:
		s.start = *b.Report.Start
	case b.Report.End == nil:
		s.start = b.ReceivedAt
	}
	if b.Report.End != nil {
		s.end = *b.Report.End
	}
	return s
}

// appendStates appends to states what b's accepted events say of each of its
// sessions, in the order of b.Sessions.
func appendStates(states []sessionState, b *event.Batch) []sessionState {
	for range b.Sessions {
		states = append(states, sessionState{start: noStart, end: noTime, seen: b.ReceivedAt})
	}
	for i := range b.Events {
		e := &b.Events[i]
		s := &states[e.Session]
		s.start = min(s.start, e.OccurredAt)
		if e.Type == event.SessionEnd {
			s.end = max(s.end, e.OccurredAt)
		}
	}
	return states
}
