package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// copyFaults restore what is out of date.
func copyFaults() []fault {
	return []fault{{name: "older copy of the stream", weight: 1, draw: drawOlderCopy}}
}

// drainPatience is how long workers may take to empty the queue.
const drainPatience = 20 * time.Second

// drawOlderCopy copies the queue's files while it is stopped and full, has
// workers load it all and more, and puts the copy back: everything in it comes a
// second time, under sequences that other messages had meanwhile. Nothing that
// is not in the copy may be in the queue then, so ingests end first.
func drawOlderCopy(r *rand.Rand) blow {
	gather, further := between(r, 300*time.Millisecond, time.Second), between(r, 0, 2*time.Second)
	return blow{
		detail: "of messages gathered for " + gather.String() + ", put back after " + further.String() + " of further ones and a drain",
		strike: func(ctx context.Context, f *field) error {
			if !f.storesRun() {
				return nil
			}
			older := filepath.Join(f.dir, "older")
			if err := f.copyQueue(ctx, older, gather); err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(older) }()
			if !pause(ctx, further) {
				return ctx.Err()
			}
			var errs []error
			for _, ingest := range f.of(kindIngest) {
				errs = append(errs, ingest.kill(ctx))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if !f.drained(ctx) {
				return ctx.Err() // workers are away by other faults: nothing is put back
			}
			f.reached("older copy put back")
			return f.putBack(ctx, older)
		},
		heal: func(_ context.Context, f *field) error {
			var errs []error
			for _, ingest := range f.of(kindIngest) {
				errs = append(errs, ingest.start())
			}
			return errors.Join(errs...)
		},
	}
}

// copyQueue freezes the workers for a while, so that messages gather, and copies
// the queue's files while the server is dead.
func (s *stand) copyQueue(ctx context.Context, to string, gather time.Duration) (err error) {
	for _, worker := range s.of(kindWorker) {
		if err := worker.freeze(); err != nil {
			return err
		}
	}
	defer func() {
		for _, worker := range s.of(kindWorker) {
			err = errors.Join(err, worker.thaw())
		}
	}()
	if !pause(ctx, gather) {
		return ctx.Err()
	}
	if err := s.queue.kill(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return errors.Join(os.CopyFS(to, os.DirFS(s.queueFiles())), s.queue.start())
}

// queueFiles is where the NATS server keeps its streams, below its store.
func (s *stand) queueFiles() string { return filepath.Join(s.dir, "jetstream", "jetstream") }

// drained waits until the queue is empty and reports whether it is.
func (s *stand) drained(ctx context.Context) bool {
	err := poll(ctx, drainPatience, "an empty queue", func() (bool, error) {
		left := uint64(1)
		err := s.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, queue.StreamName)
			if err == nil {
				left = stream.CachedInfo().State.Msgs
			}
			return err
		})
		return err == nil && left == 0, err
	})
	return err == nil
}

func (s *stand) putBack(ctx context.Context, from string) error {
	if err := s.queue.kill(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(s.queueFiles()); err != nil {
		return err
	}
	return errors.Join(os.CopyFS(s.queueFiles(), os.DirFS(from)), s.queue.start())
}
