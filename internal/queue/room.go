package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/envelope"
)

// doubt is why the queue may take no message although it answers everything
// else: the last attempt was refused for a limit that is not the stream's own,
// or had no answer.
type doubt struct {
	// cause has one of the errors of this package in it.
	cause error
	// account is the size in bytes of a message that the account's limit left no
	// room for, else 0.
	account int64
	// probe is the id under which an empty message is offered. It is one for the
	// whole doubt, so that one that was stored without an answer is a known id at
	// the next look and not another message.
	probe string
}

// remember keeps what the outcome of a publish says about the next one. All of
// it is about the queue; what is wrong with the message or with the connection,
// or a caller that stopped waiting, is no reason for a doubt.
func (c *Conn) remember(size int64, what outcome, err error) {
	api, isAPI := errors.AsType[*jetstream.APIError](err)
	switch {
	case what == outcomeStored:
		// Unless the account was too full for a larger one, a message that is
		// stored settles it. A known id says nothing: it needs no room.
		if d := c.doubt.Load(); d != nil && d.account <= size {
			c.doubt.CompareAndSwap(d, nil)
		}
	case what == outcomeFull && api.ErrorCode == codeStoreFailed:
		c.refused.Store(size)
	case what == outcomeFull && api.ErrorCode == codeAccountResources:
		// What is offered to settle a doubt may be refused in turn, and is small.
		if d := c.doubt.Load(); d == nil || d.account < size {
			c.doubt.Store(&doubt{cause: err, account: size, probe: rand.Text()})
		}
	case what == outcomeFull,
		// A server whose disk failed says nothing to a publisher, and anything
		// else to anybody.
		what == outcomeUnknown && (isAPI || errors.Is(err, context.DeadlineExceeded)):
		c.doubt.CompareAndSwap(nil, &doubt{cause: err, probe: rand.Text()})
	}
}

// checkRoom looks whether a message that found no room would find some now. A
// smaller one that still fits says nothing about it, and with no posts coming
// any more nobody else would notice that workers have made room.
func (c *Conn) checkRoom(info *jetstream.StreamInfo) error {
	refused := c.refused.Load()
	limit, held := info.Config.MaxBytes, int64(info.State.Bytes)
	if refused == 0 || limit <= 0 {
		return nil
	}
	if held+refused > limit {
		return fmt.Errorf("%w: %d of %d bytes are taken, and the last message has %d", ErrFull, held, limit, refused)
	}
	c.refused.CompareAndSwap(refused, 0)
	return nil
}

// checkDoubt settles a doubt by what alone proves that the stream takes
// messages: it takes one. The message is an envelope of nothing, which workers
// of every version load by doing nothing. It is offered only while there is a
// doubt, and at most one is stored for each.
//
// The server's limit cannot be asked for by a client of an account, and a stream
// whose disk failed looks well from outside, so asking alone would not do.
func (c *Conn) checkDoubt(ctx context.Context, replicas int) error {
	d := c.doubt.Load()
	if d == nil {
		return nil
	}
	if d.account > 0 {
		if err := c.checkAccount(ctx, d.account, replicas); err != nil {
			return err
		}
	}
	if err := c.attempt(ctx, d.probe, new(envelope.Builder).Seal()); err != nil {
		return fmt.Errorf("%w; before it: %w", err, d.cause)
	}
	c.doubt.CompareAndSwap(d, nil) // a newer one stays
	return nil
}

// checkAccount looks whether the account's limit leaves room for size bytes: the
// empty message may fit where the refused one does not.
func (c *Conn) checkAccount(ctx context.Context, size int64, replicas int) error {
	account, err := c.js.AccountInfo(ctx)
	if err != nil {
		return streamError("look at the account", err)
	}
	limit, used := accountLimit(account, replicas)
	if need := size * int64(max(replicas, 1)); limit >= 0 && used+need > limit {
		return fmt.Errorf("%w: %d of the account's %d bytes are taken, and the last message has %d", ErrFull, used, limit, size)
	}
	return nil
}

// accountLimit returns what all streams of an account may store and what they
// do, in bytes of all their copies together; the limit is negative for none. An
// account may have a limit for each number of replicas, which the server then
// states for one copy.
func accountLimit(account *jetstream.AccountInfo, replicas int) (limit, used int64) {
	replicas = max(replicas, 1)
	if len(account.Tiers) == 0 {
		return account.Limits.MaxStore, int64(account.Store)
	}
	tier, ok := account.Tiers[fmt.Sprintf("R%d", replicas)]
	if !ok {
		return -1, 0 // a message for it is refused for another reason
	}
	return tier.Limits.MaxStore * int64(replicas), int64(tier.Store)
}
