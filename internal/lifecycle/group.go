package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// DefaultDeadline bounds the stop of a service that names no deadline.
const DefaultDeadline = 10 * time.Second

// lastGrace is what a service gets between the end of its context and being
// left behind, once its deadline has passed.
const lastGrace = time.Second

// ErrOverdue is a service that did not stop within its deadline.
var ErrOverdue = errors.New("did not stop within its deadline")

// Service is one part of a process.
type Service struct {
	// Name says what it is in logs and errors, in lower case.
	Name string
	// Run does the work until its context ends or Stop makes it end. A return
	// for any other reason, with an error or without, stops the whole group.
	// After the end of its context it returns nil, or the context's bare error,
	// unless something was left undone.
	// Nil for a part that only has to be closed at the end.
	Run func(ctx context.Context) error
	// Stop drains and closes the service; when it returns, Run's context is
	// ended. Its context carries the deadline. It is called once, also when Run
	// has already returned or never ran. Nil when the end of Run's context is
	// all that is needed.
	Stop func(ctx context.Context) error
	// Deadline bounds Stop and Run's return together, [DefaultDeadline] if 0.
	Deadline time.Duration
}

// Group runs services. Add them, then call Run once, or Close when the setup
// failed half-way. It is used by one goroutine.
type Group struct {
	log      *slog.Logger
	services []Service
	done     bool
}

// NewGroup returns an empty group that logs its steps to log.
func NewGroup(log *slog.Logger) *Group { return &Group{log: log} }

// Add appends a service: it starts after those already added and stops before
// them.
func (g *Group) Add(s Service) { g.services = append(g.services, s) }

// Close stops what was added without running it, for a setup that fails
// half-way. After Run or Close it does nothing.
func (g *Group) Close() error {
	if g.done {
		return nil
	}
	g.done = true
	return g.stopAll(context.Background(), g.prepare(context.Background()))
}

// Run starts every service in the order of addition, waits until ctx ends or
// one of them returns, and stops them in reverse order. It returns the errors
// of all of them joined, nil when every one ended cleanly. A group runs once.
func (g *Group) Run(ctx context.Context) error {
	if g.done {
		return errors.New("lifecycle: a group runs once")
	}
	g.done = true
	all := g.prepare(ctx)
	// Room for every service, so that none waits to report its end.
	ended := make(chan *running, len(all))
	if ctx.Err() == nil {
		for _, r := range all {
			r.start(ended)
			g.log.LogAttrs(ctx, slog.LevelDebug, "service started", slog.String("name", r.Name))
		}
	}
	select {
	case <-ctx.Done():
		g.log.LogAttrs(ctx, slog.LevelInfo, "stopping", slog.String("reason", context.Cause(ctx).Error()))
	case first := <-ended:
		g.log.LogAttrs(ctx, slog.LevelInfo, "stopping", slog.String("reason", "a service returned"), slog.String("name", first.Name))
	}
	return g.stopAll(ctx, all)
}

// prepare gives each service its own context, which the end of the group's
// does not touch.
func (g *Group) prepare(ctx context.Context) []*running {
	all := make([]*running, len(g.services))
	for i, s := range g.services {
		s.Deadline = cmp.Or(s.Deadline, DefaultDeadline)
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		all[i] = &running{Service: s, ctx: own, cancel: cancel}
	}
	return all
}

// stopAll stops in reverse order and goes on whatever fails: a service that
// hangs must not keep the others from draining.
func (g *Group) stopAll(ctx context.Context, all []*running) error {
	var errs []error
	var left []string
	for _, r := range slices.Backward(all) {
		began := time.Now()
		err := r.stop(context.WithoutCancel(ctx))
		level := slog.LevelInfo
		if err != nil {
			// The error itself is returned and logged once, by main.
			level = slog.LevelWarn
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, err))
		}
		if r.overdue {
			left = append(left, r.Name)
		}
		g.log.LogAttrs(ctx, level, "service stopped", slog.String("name", r.Name),
			slog.Duration("took", time.Since(began)), slog.Bool("clean", err == nil))
	}
	if len(left) > 0 {
		errs = append(errs, fmt.Errorf("lifecycle: left behind: %s", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}
