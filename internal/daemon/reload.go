package daemon

import (
	"context"
	"log/slog"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/lifecycle"
)

// Reloader lets a running program take changed settings. It belongs to the one
// goroutine that calls Reload, or that runs [Reloader.Service].
type Reloader[T any] struct {
	// Load reads the configuration anew, as it was read at start.
	Load func() (*T, error)
	// Running is the configuration that the program runs with. It is replaced,
	// never changed in place.
	Running *T
	// Level is the program's lowest level that is logged, and LevelOf what a
	// configuration says of it.
	Level   *slog.LevelVar
	LevelOf func(cfg *T) slog.Level
	// Apply hands settings to the services; nil when they have none that can
	// change. After an error they must run on as before.
	Apply func(ctx context.Context, cfg *T) error
	Log   *slog.Logger
}

// Service reloads at each SIGHUP.
func (r *Reloader[T]) Service(hangups *lifecycle.Hangups) lifecycle.Service {
	return lifecycle.Service{Name: "reload", Run: func(ctx context.Context) error { return hangups.Each(ctx, r.Reload) }}
}

// Reload reads the configuration anew and takes over what can change while the
// program runs: all of it, or, when anything in it is wrong, nothing. It logs
// what came of it, with names of settings and no value.
func (r *Reloader[T]) Reload(ctx context.Context) {
	changes, err := r.reload(ctx)
	if err != nil {
		r.Log.LogAttrs(ctx, slog.LevelError, "configuration not reloaded, all stays as it was", slog.Any("error", err))
		return
	}
	if len(changes.Restart) > 0 {
		r.Log.LogAttrs(ctx, slog.LevelWarn, "changed settings need a restart", slog.Any("settings", changes.Restart))
	}
}

func (r *Reloader[T]) reload(ctx context.Context) (config.Changes, error) {
	fresh, err := r.Load()
	if err != nil {
		return config.Changes{}, err
	}
	adopted, changes, err := config.Adopt(r.Running, fresh)
	if err != nil {
		return changes, err
	}
	// The services first: they may refuse, a level cannot.
	if r.Apply != nil {
		if err := r.Apply(ctx, adopted); err != nil {
			return changes, err
		}
	}
	level := r.LevelOf(adopted)
	// Whoever raises the level should still read that it was raised.
	r.Level.Set(min(level, r.Level.Level()))
	r.Log.LogAttrs(ctx, slog.LevelInfo, "configuration reloaded", slog.Any("changed", orNone(changes.Adopted)))
	r.Level.Set(level)
	r.Running = adopted
	return changes, nil
}

// orNone makes an empty list visible in a log line.
func orNone(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}
