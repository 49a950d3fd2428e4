package obs

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// Format is how log lines look.
type Format string

// The formats.
const (
	// FormatAuto is tint on a terminal and json elsewhere.
	FormatAuto Format = "auto"
	// FormatTint is short coloured lines for people.
	FormatTint Format = "tint"
	// FormatJSON is one object a line for machines.
	FormatJSON Format = "json"
)

// Logging says what a logger writes.
type Logging struct {
	// Format is the form of a line; empty is FormatAuto.
	Format Format
	// Level is the lowest level written. A *slog.LevelVar can change while the
	// process runs; nil is slog.LevelInfo.
	Level slog.Leveler
	// Terminal says whether a person reads the lines; see [IsTerminal].
	Terminal bool
	// Service, Version and Environment are in every JSON line. A person who
	// watches a terminal knows the last two.
	Service, Version, Environment string
}

// NewLogger returns a logger that writes lines to w, each in one Write, safe
// for concurrent use. A line of what is traced has the trace's id. It fails on a
// format that is not in the list.
func NewLogger(w io.Writer, l Logging) (*slog.Logger, error) {
	log, err := untraced(w, l)
	if err != nil {
		return nil, err
	}
	return slog.New(traceHandler{log.Handler()}), nil
}

// untraced is NewLogger without the ids of traces.
func untraced(w io.Writer, l Logging) (*slog.Logger, error) {
	if l.Level == nil {
		l.Level = slog.LevelInfo
	}
	if l.Format == FormatAuto || l.Format == "" {
		l.Format = FormatJSON
		if l.Terminal {
			l.Format = FormatTint
		}
	}
	switch l.Format {
	case FormatTint:
		handler := tint.NewTextHandler(w, &tint.Options{Level: l.Level, TimeFormat: "15:04:05.000", NoColor: !l.Terminal})
		return slog.New(handler).With(present(slog.String("service", l.Service))...), nil
	case FormatJSON:
		handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l.Level, ReplaceAttr: forMachines})
		return slog.New(handler).With(present(
			slog.String("service", l.Service),
			slog.String("version", l.Version),
			slog.String("environment", l.Environment),
		)...), nil
	default:
		return nil, fmt.Errorf("obs: log format %q is none of auto, tint, json", l.Format)
	}
}

// IsTerminal reports whether w is a terminal that a person may read.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd()))
}

// forMachines writes a line's time in UTC, since lines of several machines are
// merged, and durations in seconds.
func forMachines(groups []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// present keeps the attributes that say something.
func present(attrs ...slog.Attr) []any {
	var kept []any
	for _, a := range attrs {
		if a.Value.String() != "" {
			kept = append(kept, a)
		}
	}
	return kept
}
