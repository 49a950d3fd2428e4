package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

const (
	// longestPull bounds one request, and thereby how long it goes unnoticed that
	// a consumer's leader vanished, or changed, without a word about it.
	longestPull = 2 * time.Second
	// retryPause lies between requests that ended in a way that could repeat
	// itself at once.
	retryPause = 50 * time.Millisecond
)

// pullRequest is the request for messages as the server reads it.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Expires  time.Duration `json:"expires,omitempty"`
	// NoWait together with Expires: wait for the first message, then send what
	// else is there and stop.
	NoWait bool `json:"no_wait,omitempty"`
}

// Fetch returns up to maxMessages messages of together up to maxBytes bytes (0
// for any number; headers and subjects count). It waits up to wait for the
// first one, takes what else is there at that moment, and does not linger. No
// message and no error means that there was none. A server that says nothing at
// all costs two seconds more.
//
// A single message larger than maxBytes is handed out alone: it could block the
// queue otherwise. The consumer is made again when it is missing, which brings
// back everything that is not acknowledged; what is stored although it was
// acknowledged, by a server whose disk was full then, is delivered again. The errors are [ErrNoStream] and
// [ErrUnavailable], or ctx's; after each, Fetch may be called again. Messages
// that ctx's end leaves behind come out of the next call.
func (c *Conn) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]*Message, error) {
	deadline := time.Now().Add(max(wait, 0))
	messages, err := c.fetch(ctx, max(maxMessages, 1), max(maxBytes, 0), deadline)
	if err != nil {
		c.metrics.fetchErrors.Inc()
		return nil, fmt.Errorf("fetch: %w", err)
	}
	for _, m := range messages {
		c.metrics.fetched(m)
	}
	c.deliverLeftovers(ctx)
	return messages, nil
}

func (c *Conn) fetch(ctx context.Context, maxMessages, maxBytes int, deadline time.Time) ([]*Message, error) {
	request := pullRequest{Batch: maxMessages, MaxBytes: maxBytes, NoWait: true}
	again := true
	var trouble error // the last one that may pass
	for {
		if late := c.puller.takeLate(maxMessages, maxBytes); len(late) > 0 {
			return late, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		left := time.Until(deadline)
		if left <= 0 && !again {
			return nil, trouble
		}
		if !c.nc.IsConnected() && !c.waitConnected(ctx, deadline) {
			return nil, fmt.Errorf("%w: %s", ErrUnavailable, c.nc.Status())
		}
		request.Expires = min(max(left, 0), longestPull)
		messages, ended, err := c.pull(ctx, request, maxMessages, maxBytes)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
		again = ended == endOversize // whatever the time: there is a message
		request, trouble = c.afterPull(ctx, request, ended, maxMessages, maxBytes)
		if errors.Is(trouble, ErrNoStream) {
			return nil, trouble
		}
	}
}

// pull makes one request. Messages are returned even when it ended badly.
func (c *Conn) pull(ctx context.Context, request pullRequest, maxMessages, maxBytes int) ([]*Message, end, error) {
	lane, err := c.puller.start()
	if err != nil {
		return nil, endLost, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	body, err := json.Marshal(request)
	if err == nil {
		err = c.nc.PublishRequest(pullSubject, lane.request, body)
	}
	if err == nil {
		c.puller.wait(ctx, lane, request.Batch, request.Expires)
	}
	messages, ended, detail := c.puller.finish(lane, maxMessages, maxBytes)
	switch {
	case len(messages) > 0:
		crashpoint.At(crashpoint.QueuePulled)
		return messages, ended, nil
	case err != nil:
		return nil, endLost, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case ended == endRefused:
		return nil, ended, fmt.Errorf("%w: pull: %s", ErrUnavailable, detail)
	default:
		return nil, ended, nil
	}
}

// afterPull decides what to ask next after a request that brought nothing.
func (c *Conn) afterPull(ctx context.Context, last pullRequest, ended end, maxMessages, maxBytes int) (pullRequest, error) {
	next := pullRequest{Batch: maxMessages, MaxBytes: maxBytes, NoWait: true}
	switch ended {
	case endOversize:
		next = pullRequest{Batch: 1, NoWait: true}
	case endBusy:
		// A no_wait request is turned away when others wait for all there is.
		// A plain one queues up behind them; asking again would spin.
		if !last.NoWait {
			pause(ctx, retryPause)
		}
		next = pullRequest{Batch: 1, MaxBytes: last.MaxBytes}
	case endMissing:
		return next, c.ensureConsumer(ctx)
	case endMoved:
		pause(ctx, retryPause)
	case endSilent:
		return next, fmt.Errorf("%w: no answer to a pull", ErrUnavailable)
	case stillOpen, endServed, endExpired, endLost, endRefused:
	}
	return next, nil
}

// ensureConsumer makes the consumer again if it is really missing. A server
// without a leader for it answers like one that has none.
func (c *Conn) ensureConsumer(ctx context.Context) error {
	c.consumerMu.Lock()
	defer c.consumerMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	_, err := c.js.Consumer(ctx, StreamName, ConsumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if _, err = c.js.CreateOrUpdateConsumer(ctx, StreamName, loader(c.cfg)); err == nil {
			c.metrics.recreations.Inc()
			c.log.WarnContext(ctx, "consumer was missing and is made again; unacknowledged messages come once more", "consumer", ConsumerName)
			return nil
		}
	}
	pause(ctx, retryPause)
	if err == nil {
		return nil
	}
	return streamError("look for consumer", err)
}

// streamError says whether the stream is gone or only out of reach.
func streamError(operation string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %s: %w", ErrNoStream, operation, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, operation, err)
}
