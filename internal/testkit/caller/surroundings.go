package caller

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/apikey"
)

// Key is a good key of tenant acme. It must never appear in a log.
const Key = "nxr_test_SECRETSECRET"

// Two callers of two buildings.
const (
	Here  = "203.0.113.7:4711"
	There = "203.0.113.8:4711"
)

// Authenticate knows [Key], and whatever begins with "good", as keys of tenant
// acme. Other keys are named by what is wrong with them.
func Authenticate(key string) (tenant, keyID string, err error) {
	switch {
	case key == Key:
		return "acme", "key1", nil
	case strings.HasPrefix(key, "good"):
		return "acme", key, nil
	case key == "malformed":
		return "", "", fmt.Errorf("parse: %w", apikey.ErrMalformed)
	case key == "revoked":
		return "", "", apikey.ErrRevoked
	case key == "expired":
		return "", "", apikey.ErrExpired
	case key == "misplaced":
		return "", "", apikey.ErrScope
	case key == "away":
		return "", "", apikey.ErrUnavailable
	case key == "odd":
		return "", "", errors.New("something else")
	}
	return "", "", apikey.ErrUnknown
}

// Now is the fixed time at which clocks of tests begin.
func Now() time.Time { return time.Date(2025, 12, 2, 14, 30, 20, 123_456_000, time.UTC) }

// Clock is a time that a test sets forward. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands still at a time.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now is what the service asks.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass sets the clock forward.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Log keeps what a service logs. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Logger writes lines of all levels to the log, as JSON.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(line)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// Eventually waits for something that happens on another goroutine.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience) // and not the test's context: cleanups wait, too
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never happened: %s", what)
		}
	}
}
