package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Error codes of the server that the client library has no names for.
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeNoPeers          jetstream.ErrorCode = 10005
	codeNoLeader         jetstream.ErrorCode = 10008
	codeNotLeader        jetstream.ErrorCode = 10009
	codeServerResources  jetstream.ErrorCode = 10023
	codeMemoryResources  jetstream.ErrorCode = 10028
	codeStoreResources   jetstream.ErrorCode = 10047
	codeOtherStream      jetstream.ErrorCode = 10060
	codeStoreFailed      jetstream.ErrorCode = 10077
	codeSealed           jetstream.ErrorCode = 10109
	codeStreamOffline    jetstream.ErrorCode = 10118
	codeConsumerOffline  jetstream.ErrorCode = 10119
	codeTooManyRequests  jetstream.ErrorCode = 10167
)

// headerBytes is what headers add to a message, beside its id, when it is
// compared with the server's max_payload.
const headerBytes = len("NATS/1.0\r\n" + jetstream.MsgIDHeader + ": \r\n" +
	jetstream.ExpectedStreamHeader + ": " + StreamName + "\r\n\r\n")

// outcome is what became of one attempt to publish; a label of metrics.
type outcome string

const (
	outcomeStored      outcome = "stored"
	outcomeDuplicate   outcome = "duplicate"
	outcomeFull        outcome = "full"
	outcomeTooLarge    outcome = "too_large"
	outcomeUnavailable outcome = "unavailable"
	outcomeUnknown     outcome = "unknown"
)

// Publish makes one attempt to store message under id and returns nil once the
// stream has acknowledged it, now or under the same id before. It does not
// retry: whoever does must send the same bytes with the same id, because for
// two minutes the stream answers "stored" to a known id without looking at the
// bytes.
//
// Without a deadline in ctx, [Config.RequestTimeout] applies. The errors are
// [ErrFull], [ErrTooLarge] and [ErrUnavailable], with which this attempt stored
// nothing, and [ErrUnknownOutcome] for everything else. After an unknown
// outcome the definite errors of a retry speak for the retry alone.
func (c *Conn) Publish(ctx context.Context, id string, message []byte) error {
	if err := c.attempt(ctx, id, message); err != nil {
		return fmt.Errorf("publish %s: %w", id, err)
	}
	return nil
}

// attempt publishes once and keeps account of what became of it.
func (c *Conn) attempt(ctx context.Context, id string, message []byte) error {
	start := time.Now()
	what, err := c.publish(ctx, id, message)
	c.metrics.published(what, time.Since(start), len(message))
	c.remember(int64(len(message)+len(id)+headerBytes), what, err)
	return err
}

func (c *Conn) publish(ctx context.Context, id string, message []byte) (outcome, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
	}
	// What can be told here is told here. The library would say the same, but
	// keeps an entry for each such attempt until the next disconnect.
	if err := ctx.Err(); err != nil {
		return outcomeUnavailable, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if id == "" {
		return outcomeUnavailable, fmt.Errorf("%w: a message needs an id", ErrUnavailable)
	}
	if !c.nc.IsConnected() {
		return outcomeUnavailable, fmt.Errorf("%w: %s", ErrUnavailable, c.nc.Status())
	}
	if size, limit := int64(len(message)+len(id)+headerBytes), c.MaxPayload(); size > limit {
		return outcomeTooLarge, fmt.Errorf("%w: %d bytes, and max_payload is %d", ErrTooLarge, size, limit)
	}
	// Taken while connected: whatever breaks from here on ends the wait.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.line.Load().ctx, func() { cancel(nats.ErrDisconnected) })() //nolint:contextcheck // ends with the connection
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: Subject, Data: message},
		jetstream.WithMsgID(id), jetstream.WithExpectStream(StreamName), jetstream.WithRetryAttempts(0))
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return judge(context.Cause(ctx))
	case err != nil:
		return judge(err)
	case ack.Stream != StreamName:
		// Cannot happen while the server honours the expected stream.
		return outcomeUnknown, fmt.Errorf("%w: acknowledged by stream %s", ErrUnknownOutcome, ack.Stream)
	case ack.Duplicate:
		return outcomeDuplicate, nil
	default:
		return outcomeStored, nil
	}
}

// judge says what an error proves about the message. Only errors for which the
// server's and the library's code leave no way of having stored it are
// definite; every other, those of future versions included, is unknown.
func judge(err error) (outcome, error) {
	what, class := outcomeUnknown, ErrUnknownOutcome
	api, isAPI := errors.AsType[*jetstream.APIError](err)
	switch {
	case isAPI:
		what, class = judgeCode(api)

	// The server found nobody who listens to the subject, so it passed the
	// message on to nobody: no stream, or none with a leader.
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		what, class = outcomeUnavailable, ErrUnavailable

	// The library checks these before it writes a byte. ErrConnectionClosed is
	// not among them: it is also what a publisher hears that waits for its
	// answer while the connection is closed.
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining):
		what, class = outcomeUnavailable, ErrUnavailable
	case errors.Is(err, nats.ErrMaxPayload):
		what, class = outcomeTooLarge, ErrTooLarge
	}
	return what, fmt.Errorf("%w: %w", class, err)
}

// judgeCode judges an answer of the stream. All definite ones are given before
// a message is stored or, in a cluster, proposed to the other replicas.
func judgeCode(api *jetstream.APIError) (outcome, error) {
	switch api.ErrorCode {
	case codeStoreFailed:
		// This code carries the store's own error. A closed store, for one, is
		// met after the other replicas agreed to keep the message.
		switch {
		case strings.HasPrefix(api.Description, "maximum "):
			return outcomeFull, ErrFull
		case strings.Contains(api.Description, "too large"):
			return outcomeTooLarge, ErrTooLarge
		}
	case codeAccountResources, codeServerResources, codeMemoryResources, codeStoreResources:
		// Another limit than the stream's own, but to a client it is the same:
		// no room until messages have been loaded.
		return outcomeFull, ErrFull
	case jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return outcomeTooLarge, ErrTooLarge
	case codeTooManyRequests:
		// The message was dropped from the head of the stream's line, which
		// holds 128 MiB: a matter of milliseconds, not of room. The number of
		// envelopes in flight is bounded, so repeating it adds no load.
		return outcomeUnavailable, ErrUnavailable
	case codeOtherStream, codeSealed:
		return outcomeUnavailable, ErrUnavailable
	default: // among them 10158: an earlier copy is on its way and may yet fail
	}
	return outcomeUnknown, ErrUnknownOutcome
}
