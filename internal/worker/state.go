package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// phase is where a worker is in its life.
type phase int

const (
	phaseNew phase = iota
	phasePreparing
	phaseRunning
	phaseStopping
	phaseStopped
)

// trouble is a reason for which a running worker is not ready.
type trouble int

// The troubles, each with its label and what an operator reads.
const (
	// troubleStore is a store that takes no writes now.
	troubleStore trouble = iota
	// troubleSource is a queue that answers no fetch.
	troubleSource
	// troubleNewer is a message that only a newer build can read.
	troubleNewer
	// troublePartitions is an upkeep of partitions that fails.
	troublePartitions

	troubles // keep last
)

// String returns the trouble's metric label.
func (t trouble) String() string {
	return [...]string{"store", "source", "newer_layout", "partitions"}[t]
}

// state is what Ready tells. It logs a trouble when the first loop gets into
// it and when the last one is out of it, not at each attempt in between.
type state struct {
	log     *slog.Logger
	metrics *metrics

	mu sync.Mutex // guards what follows
	// phase only grows.
	phase   phase
	reports [troubles]report
}

// report is one trouble with the loops that are in it.
type report struct {
	in    map[int]struct{}
	since time.Time
	err   error // the latest
}

func (s *state) init(log *slog.Logger, m *metrics) { s.log, s.metrics = log, m }

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
	case phasePreparing, phaseRunning:
	}
	for t := range s.reports {
		if r := &s.reports[t]; len(r.in) > 0 {
			return fmt.Errorf("%s since %s: %w", trouble(t), r.since.UTC().Format(time.RFC3339), r.err)
		}
	}
	if s.phase == phasePreparing {
		return errors.New("making partitions")
	}
	return nil
}

// enter says that a loop is in trouble because of err.
func (s *state) enter(ctx context.Context, t trouble, loop int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.reports[t]
	r.err = err
	if _, ok := r.in[loop]; ok {
		return
	}
	if r.in == nil {
		r.in = map[int]struct{}{}
	}
	r.in[loop] = struct{}{}
	s.metrics.troubled.WithLabelValues(t.String()).Set(float64(len(r.in)))
	if len(r.in) > 1 {
		return
	}
	r.since = time.Now()
	attrs := []slog.Attr{slog.String("trouble", t.String()), slog.Any("error", err)}
	if t == troublePartitions {
		s.log.LogAttrs(ctx, slog.LevelError, "partitions cannot be made, trying again", attrs...)
		return
	}
	s.log.LogAttrs(ctx, slog.LevelError, "fetching stopped, trying again", attrs...)
}

// leave says that a loop is out of trouble.
func (s *state) leave(ctx context.Context, t trouble, loop int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.reports[t]
	if _, ok := r.in[loop]; !ok {
		return
	}
	delete(r.in, loop)
	s.metrics.troubled.WithLabelValues(t.String()).Set(float64(len(r.in)))
	if len(r.in) > 0 {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "trouble is over",
		slog.String("trouble", t.String()), slog.Duration("lasted", time.Since(r.since)))
	r.err = nil
}
