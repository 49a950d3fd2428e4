package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// phase is where a Roller is in its life.
type phase int

const (
	phaseNew phase = iota
	phaseRunning
	phaseStopping
	phaseStopped
)

// state is what Ready tells. It logs a store that does not work when the first
// loop notices and when the last one is past it, not at each attempt between.
type state struct {
	log     *slog.Logger
	metrics *metrics

	mu sync.Mutex // guards what follows
	// phase only grows.
	phase phase
	// troubled are the loops whose last roll-up failed, since the first of them
	// did; err is the latest reason.
	troubled map[int]struct{}
	since    time.Time
	err      error
}

func (s *state) enterPhase(p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = p
}

func (s *state) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case phaseNew:
		return errors.New("not started")
	case phaseStopping, phaseStopped:
		return errors.New("stopping")
	case phaseRunning:
	}
	if len(s.troubled) > 0 {
		return fmt.Errorf("roll-ups fail since %s: %w", s.since.UTC().Format(time.RFC3339), s.err)
	}
	return nil
}

// enter says that a loop's roll-up failed because of err.
func (s *state) enter(ctx context.Context, loop int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if _, ok := s.troubled[loop]; ok {
		return
	}
	if s.troubled == nil {
		s.troubled = make(map[int]struct{})
	}
	s.troubled[loop] = struct{}{}
	s.metrics.troubled.Set(float64(len(s.troubled)))
	if len(s.troubled) == 1 {
		s.since = time.Now()
		s.log.LogAttrs(ctx, slog.LevelError, "roll-up failed, trying again", slog.Any("error", err))
	}
}

// leave says that a loop's roll-up worked.
func (s *state) leave(ctx context.Context, loop int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.troubled[loop]; !ok {
		return
	}
	delete(s.troubled, loop)
	s.metrics.troubled.Set(float64(len(s.troubled)))
	if len(s.troubled) == 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "roll-ups work again", slog.Duration("lasted", time.Since(s.since)))
		s.err = nil
	}
}
