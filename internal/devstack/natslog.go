package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// natsLogger hands the server's messages to slog. What the server calls a notice
// is its routine, two dozen lines at each start, hence the level below.
type natsLogger struct {
	log       *slog.Logger
	fatalText atomic.Pointer[string]
}

// Noticef logs routine.
func (l *natsLogger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Warnf logs what the server worries about. One worry is about how this package
// starts it, and nobody who reads a log can do anything about it.
func (l *natsLogger) Warnf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		level = slog.LevelDebug // the password is random and only in this process's memory
	}
	l.write(level, format, v)
}

// Errorf logs a failure that the server survives.
func (l *natsLogger) Errorf(format string, v ...any) { l.write(slog.LevelError, format, v) }

// Debugf logs detail; the server asks for it only in its debug mode, which is off.
func (l *natsLogger) Debugf(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Tracef logs protocol lines; the server's trace mode is off.
func (l *natsLogger) Tracef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Fatalf keeps the message. The server expects it to end the process and returns
// from its start without saying that it failed; see natsReady.
func (l *natsLogger) Fatalf(format string, v ...any) {
	l.fatalText.CompareAndSwap(nil, new(fmt.Sprintf(format, v...)))
	l.write(slog.LevelError, format, v)
}

func (l *natsLogger) fatal() string {
	if text := l.fatalText.Load(); text != nil {
		return *text
	}
	return ""
}

func (l *natsLogger) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.LogAttrs(ctx, level, "nats server", slog.String("text", fmt.Sprintf(format, v...)))
	}
}
