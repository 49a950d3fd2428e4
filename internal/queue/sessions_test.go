package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

const (
	sessionStream = "KV_" + queue.SessionBucket
	sessionKey    = "7aff2d5c-4fdb-8b8a-9a8f-daa1efa98ce8"
	sessionRoom   = 4 << 20
)

// provisioned is a bucket of session states on a connection of b's queue.
func (b *bundle) provisioned(t *testing.T) *queue.SessionStates {
	t.Helper()
	states := b.conn.SessionStates(sessionRoom)
	if err := states.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return states
}

// increment counts up in a value, which a lost write would show.
func increment(value []byte) []byte {
	n, _ := strconv.Atoi(string(value))
	return []byte(strconv.Itoa(n + 1))
}

// valueOf is what the test's session has, "none" for nothing.
func valueOf(t *testing.T, states *queue.SessionStates) string {
	t.Helper()
	value, found, err := states.Get(t.Context(), sessionKey)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "none"
	}
	return string(value)
}

func TestSessionStates(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	states := b.provisioned(t)
	if got := valueOf(t, states); got != "none" {
		t.Errorf("an empty bucket holds %q", got)
	}
	for _, change := range []func([]byte) []byte{increment, func([]byte) []byte { return nil }, increment} {
		if err := states.Update(t.Context(), sessionKey, change); err != nil {
			t.Fatal(err)
		}
	}
	if got := valueOf(t, states); got != "2" {
		t.Errorf("the value is %q, want 2", got)
	}
	// Somebody removes a key by hand; its next write begins anew.
	kv, err := b.js.KeyValue(t.Context(), queue.SessionBucket)
	if err == nil {
		err = kv.Delete(t.Context(), sessionKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := valueOf(t, states); got != "none" {
		t.Errorf("a removed key holds %q", got)
	}
	if err := states.Update(t.Context(), sessionKey, increment); err != nil {
		t.Error(err)
	}
	if got := valueOf(t, states); got != "1" {
		t.Errorf("the value is %q, want 1", got)
	}
	config := configOf(t, b.js, sessionStream)
	if config.AllowDirect || config.MaxAge != 7*24*time.Hour || config.MaxBytes != sessionRoom || config.MaxMsgsPerSubject != 1 || config.Discard != jetstream.DiscardOld {
		t.Errorf("stream of session states: %+v", config)
	}
}

// Writers at the same time lose nothing of each other.
func TestSessionStates_CompareAndSet(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	first := b.provisioned(t)
	second := connect(t, b.cfg, nil, queue.Consumer).SessionStates(sessionRoom)
	var wg sync.WaitGroup
	for _, states := range []*queue.SessionStates{first, second} {
		wg.Go(func() {
			for range 50 {
				if err := states.Update(t.Context(), sessionKey, increment); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := valueOf(t, second); got != "100" {
		t.Errorf("100 increments came to %s", got)
	}
}

// The settings stay what they must be, whoever touched them, and another run of
// a service does not take the age limit away.
func TestSessionStates_SettingsComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	b.provisioned(t)
	spoiled := configOf(t, b.js, sessionStream)
	spoiled.AllowDirect, spoiled.MaxAge = true, 0
	if _, err := b.js.UpdateStream(t.Context(), spoiled); err != nil {
		t.Fatal(err)
	}
	b.provisioned(t)
	if config := configOf(t, b.js, sessionStream); config.AllowDirect || config.MaxAge != 7*24*time.Hour {
		t.Errorf("stream of session states: %+v", config)
	}
}

// A bucket that is lost is made again by whoever needs it first: it holds
// nothing that somebody has to look for.
func TestSessionStates_Lost(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	states := b.provisioned(t)
	never := b.conn.SessionStates(sessionRoom) // as after a start at which it could not be made
	for round := range 3 {
		if err := b.js.DeleteStream(t.Context(), sessionStream); err != nil {
			t.Fatal(err)
		}
		use := []*queue.SessionStates{states, never, states}[round]
		// For a second after an attempt to make it nobody tries again.
		eventually(t, func() string {
			if err := use.Update(t.Context(), sessionKey, increment); err != nil {
				return err.Error()
			}
			return ""
		})
		if got := valueOf(t, use); got != "1" {
			t.Errorf("round %d: the value is %q, want 1", round, got)
		}
		if config := configOf(t, b.js, sessionStream); config.AllowDirect || config.MaxAge == 0 {
			t.Errorf("round %d: made as %+v", round, config)
		}
	}
}

// A full bucket forgets the oldest; a new session always finds room. // rule 9
func TestSessionStates_Full(t *testing.T) {
	t.Parallel()
	b := setup(t, queue.Publisher)
	states := b.conn.SessionStates(1 << 20)
	if err := states.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	large := func([]byte) []byte { return make([]byte, 900) }
	const sessions = 1500 // of about a kilobyte
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < sessions; i += 8 {
				if err := states.Update(t.Context(), fmt.Sprintf("session-%d", i), large); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, found, err := states.Get(t.Context(), "session-0"); err != nil || found {
		t.Errorf("the oldest: found %v, %v", found, err)
	}
	if _, found, err := states.Get(t.Context(), fmt.Sprintf("session-%d", sessions-1)); err != nil || !found {
		t.Errorf("the latest: found %v, %v", found, err)
	}
	// It took nothing from the queue.
	if err := b.conn.Publish(t.Context(), "m", []byte("m")); err != nil {
		t.Error(err)
	}
}

// Refusals and absences end soon and say what they are.
func TestSessionStates_Away(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, s.nats.URL(), queue.Publisher)
	states := b.provisioned(t)
	refuses := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := states.Update(ctx, sessionKey, increment); !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			t.Errorf("%s: update: %v", what, err)
		}
	}
	config := configOf(t, b.js, sessionStream)
	config.MaxMsgSize = 1
	if _, err := b.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	refuses("a bucket that takes nothing")
	b.provisioned(t)
	if err := states.Update(t.Context(), sessionKey, increment); err != nil {
		t.Errorf("after its settings are right: %v", err)
	}

	s.stop(t)
	refuses("no server")
	if _, _, err := states.Get(t.Context(), sessionKey); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("no server: get: %v", err)
	}
	s.start(t)
	eventually(t, func() string {
		if value, found, err := states.Get(t.Context(), sessionKey); err != nil || !found || string(value) != "1" {
			return fmt.Sprintf("%q, found %v, %v", value, found, err)
		}
		return ""
	})
}

// A room that the store does not have costs the bucket, not the queue.
func TestSessionStates_NoRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, devstack.NATSConfig{MaxStore: 128 << 20})
	b := setupAt(t, s.nats.URL(), queue.Publisher) // 64 MiB, and the keys
	states := b.conn.SessionStates(64 << 20)
	if err := states.Provision(t.Context()); err == nil {
		t.Error("a bucket was made that the store has no room for")
	}
	if err := states.Update(t.Context(), sessionKey, increment); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("update: %v", err)
	}
	if err := b.conn.Publish(t.Context(), "m", []byte("m")); err != nil {
		t.Error(err)
	}
}
