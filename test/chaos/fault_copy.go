package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return s.whileQueueDead(ctx, func(number int, files string) error {
		return os.CopyFS(filepath.Join(to, strconv.Itoa(number)), os.DirFS(files))
	})
}

// whileQueueDead does something with the files of each server while all are dead,
// and starts them: those of one of a cluster alone are not the queue's.
func (s *stand) whileQueueDead(ctx context.Context, do func(number int, files string) error) error {
	var errs []error
	for _, node := range s.queueNodes() {
		errs = append(errs, node.kill(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for number, server := range s.natsServers() {
		errs = append(errs, do(number, filepath.Join(server.store, "jetstream")))
	}
	for _, node := range s.queueNodes() {
		errs = append(errs, node.start())
	}
	return errors.Join(errs...)
}

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
	return s.whileQueueDead(ctx, func(number int, files string) error {
		if err := os.RemoveAll(files); err != nil {
			return err
		}
		return os.CopyFS(files, os.DirFS(filepath.Join(from, strconv.Itoa(number))))
	})
}
