package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// keyFaults are about who may post.
func keyFaults() []fault {
	return []fault{{name: "key revoked", weight: 2, draw: drawRevoked}}
}

// drawRevoked hands every second headset another key and revokes it while they
// post with it. Until they are told they go on; then they post with the first
// key again.
func drawRevoked(r *rand.Rand) blow {
	hold := between(r, 500*time.Millisecond, 3*time.Second)
	name := fmt.Sprintf("second-%06d", r.IntN(1_000_000))
	return blow{
		detail: lasting("a second key, revoked after "+hold.String()+" of use, looked at", time.Second), hold: time.Second,
		strike: func(ctx context.Context, f *field) error {
			if !f.storesRun() {
				return nil // by another fault: no key, nothing to revoke
			}
			key, id, err := f.newKey(ctx, name)
			if err != nil {
				return nil //nolint:nilerr // they went away just now
			}
			// Replicas know it within a second.
			if !pause(ctx, time.Second) {
				return ctx.Err()
			}
			f.traffic.lend(key)
			if !pause(ctx, hold) {
				return ctx.Err()
			}
			// Again until it is done: the command itself is not under test here.
			if err := poll(ctx, raisePatience, "a key to be revoked", func() (bool, error) {
				_, err := f.nexero(ctx, "keys", "revoke", id)
				return err == nil || !f.storesRun(), err
			}); err != nil {
				return err
			}
			f.owe(key, id)
			return nil
		},
	}
}

// lent is a second key of the headsets.
type lent struct{ key string }

// lend hands out a second key.
func (t *traffic) lend(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.second = &lent{key: key}
}

// key returns the key that a headset posts with.
func (h *headset) key() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.number%2 == 1 && h.second != nil && h.told != h.second {
		return h.second.key
	}
	return h.first
}

// refused takes note of a 401 to key and reports whether that can be: the second
// key is revoked, or so new that a replica which was away has not heard of it.
func (h *headset) refused(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key == h.first {
		return false
	}
	h.told = h.second
	return true
}

// debt is a key whose revocation every replica has to know at the end of a round.
type debt struct{ key, id string }

func (s *stand) owe(key, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, debt{key, id})
}

// storesRun reports whether a command of an operator could get through.
func (s *stand) storesRun() bool {
	return s.queueRuns() && s.database.running()
}
