package local

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// Who is told that everything serves may use it until the stop, which does not
// wait for it.
//
// rule 10
func TestUp_ReadyEndsWithTheStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Up(ctx, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES=nats"), testkit.Logger(t), Options{
		Ready: func(ctx context.Context, _ RunFile) {
			cancel()
			<-ctx.Done()
		},
	})
	if err != nil {
		t.Errorf("stop: %v", err)
	}
}

// callOff is a person who reads the log and thinks better of it.
type callOff struct {
	slog.Handler
	at     string
	cancel context.CancelFunc
}

func (c callOff) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == c.at {
		c.cancel()
	}
	return c.Handler.Handle(ctx, r)
}

func TestUp_CalledOffWhileStarting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slog.New(callOff{testkit.Logger(t).Handler(), "nats started", cancel})
	err := Up(ctx, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES=nats,ingest"), log, Options{
		Ready: func(context.Context, RunFile) { t.Error("it is ready") },
	})
	if err != nil || ctx.Err() == nil {
		t.Errorf("error %v, called off: %v", err, ctx.Err())
	}
}
