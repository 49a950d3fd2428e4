package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
)

// fillPatience is how long headsets may take to fill the stream.
const fillPatience = 10 * time.Minute

// streamFull lets headsets post until the stream has no room.
//
// rule 5, rule 6
func streamFull() scenario {
	return scenario{
		name: "stream-full", minutes: time.Minute,
		about:    "workers are stopped, and headsets post until the stream is at its limit of 16 MiB",
		settings: []string{"NEXERO_QUEUE_MAX_BYTES=16MiB"},
		play:     playStreamFull,
	}
}

func playStreamFull(ctx context.Context, a *act) error {
	l, err := startLoad(ctx, a, 2*headsets, 20*time.Millisecond)
	if err != nil {
		return err
	}
	if !pause(ctx, warmUp/2) {
		return ctx.Err()
	}
	for _, worker := range a.of(kindWorker) {
		if _, err := worker.terminate(ctx, stopPatience); err != nil {
			return err
		}
	}
	stopped := time.Now()
	var oldest storedMessage
	if err := poll(ctx, raisePatience, "a message to stay in the queue", func() (bool, error) {
		oldest, err = a.oldestMessage(ctx)
		return err == nil, err
	}); err != nil {
		return err
	}
	const refusals = 30
	if err := poll(ctx, fillPatience, "the stream to be full", func() (bool, error) {
		return len(l.meter.between(stopped, time.Now()).refused) >= refusals, nil
	}); err != nil {
		return err
	}
	full := time.Now()
	a.show("filled in", "%s", full.Sub(stopped).Round(time.Second))
	if err := a.fullReadiness(ctx); err != nil {
		return err
	}
	if !pause(ctx, a.lasts) {
		return ctx.Err()
	}
	if err := a.whileFull(ctx, l, full, oldest); err != nil {
		return err
	}
	for _, worker := range a.of(kindWorker) {
		if err := worker.start(); err != nil {
			return err
		}
	}
	if err := a.roomAgain(ctx, l); err != nil {
		return err
	}
	return l.finish()
}

// fullReadiness waits until each ingest says that it cannot take posts.
func (a *act) fullReadiness(ctx context.Context) error {
	from := time.Now()
	for _, ingest := range a.of(kindIngest) {
		if err := a.timed(ctx, "/readyz of "+ingest.name+" says 503", from, resumeWithin, resumePatience, func() (bool, error) {
			return ingest.ready(ctx) != nil, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// whileFull notes what clients and operators see of a full stream.
func (a *act) whileFull(ctx context.Context, l *load, full time.Time, oldest storedMessage) error {
	during := l.meter.between(full, time.Now())
	// A small post may fit where larger ones did not.
	a.promise(during.others(http.StatusServiceUnavailable) == len(during.accepted) && during.mute == 0 && len(during.refused) > 0,
		"attempts while it is full", "503 with Retry-After, or 202 for a small one that fits", "%s, %d without Retry-After", during, during.mute)
	a.promise(quantile(during.refused, 1) <= requestTimeout+refusalSlack, "time to these refusals",
		"within the request's deadline of "+requestTimeout.String(), "%s", quantiles(during.refused))
	now, err := a.oldestMessage(ctx)
	if err != nil {
		return err
	}
	a.promise(now == oldest, "oldest message", "the same sequence and bytes as before", "sequence %d, SHA-256 %.8x… before; %d, %.8x… after",
		oldest.sequence, oldest.digest, now.sequence, now.digest)
	held, err := a.ingestCounter(ctx, "nexero_queue_bytes", "", "")
	if err != nil {
		return err
	}
	limit, err := a.ingestCounter(ctx, "nexero_queue_max_bytes", "", "")
	if err != nil {
		return err
	}
	refused, err := a.ingestCounter(ctx, "nexero_queue_publishes_total", "outcome", "full")
	if err != nil {
		return err
	}
	ready, err := a.ingestCounter(ctx, "nexero_ready", "check", "queue")
	if err != nil {
		return err
	}
	a.promise(limit > 0 && held/limit > 0.9 && refused > 0 && ready == 0, "metrics", "say so",
		"nexero_queue_bytes ÷ nexero_queue_max_bytes = %.3f, nexero_queue_publishes_total{outcome=\"full\"} = %.0f, nexero_ready{check=\"queue\"} = %.0f",
		held/max(limit, 1), refused, ready)
	return nil
}

// roomAgain waits until posts are taken, after the start of workers.
func (a *act) roomAgain(ctx context.Context, l *load) error {
	if err := poll(ctx, raisePatience, "workers to be ready", func() (bool, error) {
		for _, worker := range a.of(kindWorker) {
			if err := worker.ready(ctx); err != nil {
				return false, err
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	ready := time.Now()
	if err := a.accepting(ctx, l, "from workers being ready to the next 202 of each ingest", ready); err != nil {
		return err
	}
	for _, ingest := range a.of(kindIngest) {
		if err := a.timed(ctx, "/readyz of "+ingest.name+" says 200", ready, resumeWithin, resumePatience, func() (bool, error) {
			err := ingest.ready(ctx)
			return err == nil, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// storedMessage is a message of the stream, by its bytes.
type storedMessage struct {
	sequence uint64
	digest   [sha256.Size]byte
}

var errEmptyStream = errors.New("the stream is empty")

// oldestMessage reads the message that has waited longest.
func (a *act) oldestMessage(ctx context.Context) (oldest storedMessage, err error) {
	err = a.withJetStream(ctx, func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, queue.StreamName)
		if err != nil {
			return err
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return errEmptyStream
		}
		message, err := stream.GetMsg(ctx, stream.CachedInfo().State.FirstSeq)
		if err != nil {
			return fmt.Errorf("read the oldest message: %w", err)
		}
		oldest = storedMessage{message.Sequence, sha256.Sum256(message.Data)}
		return nil
	})
	return oldest, err
}
