package main

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/sim"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// fate is what a headset knows of a batch after its attempts to post it. A
// later fate of the list wins over an earlier one.
type fate int

const (
	// fateUnsent: no server can have read it whole.
	fateUnsent fate = iota
	// fateRefused: each server that read it said no.
	fateRefused
	// fateOpen: it may be stored or not.
	fateOpen
	// fateAcknowledged: it is stored, once.
	fateAcknowledged
)

// entry is a batch that headsets sent, once or again.
type entry struct {
	id   event.UUID
	post sim.Post // the first in the stream
	fate fate
	// order is its place among all batches, so that the truth is told of the
	// posts of a stream in the stream's order.
	order int
	// poses are what of it is kept for weeks only, by session and kind, if it was
	// posted on a day that is over and stored as of that day; givenUp says that the harness has seen them go.
	poses   tallies
	givenUp bool
}

// counts are what came of posts, attempts at them and answers.
type counts struct {
	Posts        int `json:"posts"`
	Attempts     int `json:"attempts"`
	Acknowledged int `json:"acknowledged"`
	Refused      int `json:"refused"`
	Open         int `json:"open"`
	Unsent       int `json:"unsent"`
	Vanished     int `json:"vanished"`
}

// ledger is what headsets did and heard. It may be used by many at once.
type ledger struct {
	decoder *unreal.Decoder

	mu       sync.Mutex
	entries  map[event.UUID]*entry
	counts   counts
	wrong    []string // answers that no truth explains
	wrongAll int

	mixed atomic.Bool // see mixClocks
}

func newLedger() *ledger {
	return &ledger{entries: map[event.UUID]*entry{}, decoder: unreal.NewDecoder(event.DefaultLimits(), nil)}
}

// read reads a post as an ingest does. The batch's id is the same whoever
// receives it and whenever.
func (l *ledger) read(post *sim.Post, batch *event.Batch) error {
	target, err := url.Parse(post.Path)
	if err != nil {
		return err
	}
	request := unreal.Request{
		Tenant: tenant, Query: unreal.CanonicalQuery(target.Query()), Body: post.Body,
		// The name must not depend on when it is received.
		ReceivedAt: event.MicrosOf(time.Now()), IdempotencyKey: header(post, "Idempotency-Key"),
	}
	if strings.HasSuffix(target.Path, "/session") {
		request.Endpoint = unreal.EndpointSession
		_, err = l.decoder.Session(&request, batch)
	} else {
		request.Endpoint = unreal.EndpointBatch
		err = l.decoder.Batch(&request, batch)
	}
	if err != nil {
		return fmt.Errorf("read a post: %w", err)
	}
	return nil
}

func header(post *sim.Post, name string) string {
	for key, value := range post.Headers {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// plan notes a post before its first attempt, so that nothing can arrive that
// the ledger does not know. expired says that it arrives on a day that is over.
func (l *ledger) plan(post sim.Post, expired bool) (event.UUID, error) {
	var batch event.Batch
	if err := l.read(&post, &batch); err != nil {
		return event.UUID{}, err
	}
	id := batch.ID
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Posts++
	if l.entries[id] == nil {
		e := &entry{id: id, post: post, order: len(l.entries)}
		if expired {
			e.poses = posesIn(&batch)
		}
		l.entries[id] = e
	}
	return id, nil
}

// attempted notes an attempt and what it came to.
func (l *ledger) attempted(id event.UUID, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Attempts++
	e := l.entries[id]
	e.fate = max(e.fate, f)
}

// ended counts what a post came to after all its attempts.
func (l *ledger) ended(f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f {
	case fateAcknowledged:
		l.counts.Acknowledged++
	case fateRefused:
		l.counts.Refused++
	case fateOpen:
		l.counts.Open++
	default:
		l.counts.Unsent++
	}
}

// vanished counts a client that went away in the middle of a body.
func (l *ledger) vanished() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Vanished++
}

// surprise notes an answer that breaks a promise by itself.
func (l *ledger) surprise(format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 20
	if l.wrongAll++; len(l.wrong) < most {
		l.wrong = append(l.wrong, fmt.Sprintf(format, arguments...))
	}
}

// takeSurprises returns what was noted since the last call.
func (l *ledger) takeSurprises() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := l.wrong
	if more := l.wrongAll - len(wrong); more > 0 {
		wrong = append(wrong, fmt.Sprintf("and %d more answers like these", more))
	}
	l.wrong, l.wrongAll = nil, 0
	return wrong
}

// acknowledged is how many posts were acknowledged so far.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts.Acknowledged
}

func (l *ledger) sum() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (c *counts) add(other counts) {
	c.Posts += other.Posts
	c.Attempts += other.Attempts
	c.Acknowledged += other.Acknowledged
	c.Refused += other.Refused
	c.Open += other.Open
	c.Unsent += other.Unsent
	c.Vanished += other.Vanished
}
