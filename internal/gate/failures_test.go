package gate

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// guarded makes an edge that allows three wrong keys a minute, and counts how
// often a key is looked at.
func guarded(t *testing.T) (e *door, now *caller.Clock, looks *atomic.Int64) {
	t.Helper()
	looks = new(atomic.Int64)
	e, now = timed(t, func(r *Rates) { r.AuthFailures = 3 }, func(d *Deps, _ *Options) {
		judge := d.Authenticate
		d.Authenticate = func(key string) (tenant, keyID string, err error) {
			looks.Add(1)
			if key == "expiring" {
				if looks.Load() > 1 {
					return "", "", apikey.ErrRevoked
				}
				return "acme", "expiring", nil
			}
			return judge(key)
		}
	})
	return e, now, looks
}

// A flood of wrong keys is refused before a key is looked at, which costs a
// hash, and only as long as it lasts. // rule 9
func TestFailures_FloodIsNotLookedAt(t *testing.T) {
	t.Parallel()
	e, now, looks := guarded(t)
	for i := range 3 {
		e.sends(t, caller.Here, fmt.Sprint("guess ", i), "").Want(t, 401, "unknown_key")
	}
	for i := range 1000 {
		got := e.sends(t, caller.Here, fmt.Sprint("another guess ", i), "").Want(t, 429, "failed_key_rate")
		if got.Header.Get("Retry-After") != "20" {
			t.Fatalf("Retry-After is %q", got.Header.Get("Retry-After"))
		}
	}
	if looks.Load() != 3 {
		t.Errorf("%d keys were looked at", looks.Load())
	}
	// From elsewhere nothing has changed.
	e.sends(t, caller.There, "a guess", "").Want(t, 401, "unknown_key")
	now.Pass(20 * time.Second)
	e.sends(t, caller.Here, "good", "a body").Want(t, 202, "")
	e.sends(t, caller.Here, "a late guess", "").Want(t, 401, "unknown_key")
	e.sends(t, caller.Here, "a later guess", "").Want(t, 429, "failed_key_rate")
}

// Headsets with a good key are not silenced by what else comes from their
// address: not those that were heard before, whatever comes, and not new ones
// beside one that sends its wrong key again and again. // rule 5
func TestFailures_GoodKeysPass(t *testing.T) {
	t.Parallel()
	e, _, looks := guarded(t)
	e.sends(t, caller.There, "good", "a body").Want(t, 202, "")
	for i := range 10 {
		want := 401
		if i > 3 { // the first one was new
			want = 429
		}
		if got := e.sends(t, caller.Here, "mistyped", ""); got.Status != want {
			t.Errorf("the same wrong key for the %d. time: %d, want %d", i+1, got.Status, want)
		}
	}
	if looks.Load() != 5 {
		t.Errorf("%d keys were looked at", looks.Load())
	}
	e.sends(t, caller.Here, "good and new", "a body").Want(t, 202, "")
	for i := range 5 {
		e.sends(t, caller.Here, fmt.Sprint("guess ", i), "")
	}
	for _, known := range []string{"good", "good and new"} {
		e.sends(t, caller.Here, known, "a body").Want(t, 202, "")
	}
	// One that nobody used yet looks like a guess among guesses.
	e.sends(t, caller.Here, "good and late", "a body").Want(t, 429, "failed_key_rate")
}

// A key that is made while a headset sends it already is found right.
func TestFailures_KeyThatBecomesRight(t *testing.T) {
	t.Parallel()
	var made atomic.Bool
	e, now := timed(t, func(r *Rates) { r.AuthFailures = 3 }, func(d *Deps, _ *Options) {
		d.Authenticate = func(string) (tenant, keyID string, err error) {
			if made.Load() {
				return "acme", "new", nil
			}
			return "", "", apikey.ErrUnknown
		}
	})
	for range 10 {
		e.sends(t, caller.Here, "early", "")
	}
	made.Store(true)
	e.sends(t, caller.Here, "early", "a body").Want(t, 429, "failed_key_rate")
	now.Pass(20 * time.Second)
	for range 5 {
		e.sends(t, caller.Here, "early", "a body").Want(t, 202, "")
	}
}

// A key that is no longer right is a wrong one from then on.
func TestFailures_RevokedKeyIsForgotten(t *testing.T) {
	t.Parallel()
	e, _, looks := guarded(t)
	e.sends(t, caller.Here, "expiring", "a body").Want(t, 202, "")
	for range 4 {
		e.sends(t, caller.Here, "expiring", "").Want(t, 401, "revoked_key")
	}
	e.sends(t, caller.Here, "expiring", "").Want(t, 429, "failed_key_rate")
	if looks.Load() != 5 {
		t.Errorf("the key was looked at %d times", looks.Load())
	}
}

// Only wrong keys count: not a missing one, not one that is good for something
// else, and not one that could not be checked.
func TestFailures_WhatCounts(t *testing.T) {
	t.Parallel()
	for key, counts := range map[string]bool{
		"malformed": true, "revoked": true, "unknown": true,
		"": false, "misplaced": false, "away": false, "odd": false, "good": false,
	} {
		t.Run("key "+key, func(t *testing.T) {
			t.Parallel()
			e, _, _ := guarded(t)
			for range 4 {
				e.sends(t, caller.Here, key, "a body")
			}
			if got := e.sends(t, caller.Here, key, "a body"); (got.Status == http.StatusTooManyRequests) != counts {
				t.Errorf("the fifth time it is answered %d", got.Status)
			}
		})
	}
}

// rule 8
func TestFailures_NothingIsWrittenDown(t *testing.T) {
	t.Parallel()
	e, _, _ := guarded(t)
	for range 5 {
		e.sends(t, caller.Here, "GUESSMARK", "")
	}
	for range 120 {
		e.sends(t, caller.Here, "good", "a body")
	}
	for _, secret := range []string{"203.0.113", "GUESSMARK"} {
		if logged := e.logged.String(); strings.Contains(logged, secret) {
			t.Errorf("the log holds %q:\n%s", secret, logged)
		}
	}
}
