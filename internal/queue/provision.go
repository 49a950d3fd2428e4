package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// sayEvery is how many attempts to set something up lie between two lines of the
// log: some seconds at least.
const sayEvery = 20

// errRaced: another process was quicker; look again.
var errRaced = errors.New("changed by another process")

// Provision makes the stream, the consumer and the key bucket, or brings their
// settings in line. It may run in many processes at once and any number of
// times. It never removes anything and never lowers replicas, nor a byte limit
// below what is stored.
//
// On a connection of purpose [Operator] it makes what is missing and leaves all
// settings of what exists alone: a command that somebody runs with the defaults
// knows less than the services.
//
// Settings that would lose data and cannot be changed in place, or must not be
// behind an operator's back, end in [ErrIncompatible]. For a queue that cannot be
// set up now it waits until ctx ends, or for [Config.SetupPatience].
func (c *Conn) Provision(ctx context.Context) error {
	// The key bucket goes first: its bytes are reserved, and a stream that
	// would leave no room for them is then refused by the server.
	if err := c.ProvisionKeys(ctx); err != nil {
		return err
	}
	if err := c.provisionStream(ctx, eventStream(c.cfg)); err != nil {
		return err
	}
	crashpoint.At(crashpoint.QueueStreamMade)
	if err := c.repeat(ctx, c.provisionConsumer); err != nil {
		return fmt.Errorf("provision consumer %s: %w", ConsumerName, err)
	}
	return nil
}

// ProvisionKeys is [Conn.Provision] for the key bucket alone: keys can be made
// before the first service has said how large the stream of events may become.
func (c *Conn) ProvisionKeys(ctx context.Context) error {
	return c.provisionStream(ctx, keyBucketStream(c.cfg))
}

func (c *Conn) provisionStream(ctx context.Context, want jetstream.StreamConfig) error {
	err := c.repeat(ctx, func(ctx context.Context) error { return roomHint(c.provisionStreamOnce(ctx, want)) })
	if err != nil {
		return fmt.Errorf("provision stream %s: %w", want.Name, err)
	}
	return nil
}

// repeat runs once until it succeeds or fails for good. Other processes may make
// or change the same thing in between, and a cluster that has lost its leader,
// or two of three servers, may have another one in seconds or only when somebody
// has come: a service waits for that as it waits for its connection. A limit of
// attempts would end services one after the other during an election, which is
// when each of them is started again.
func (c *Conn) repeat(ctx context.Context, once func(context.Context) error) error {
	began := time.Now()
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		err := once(attempt)
		cancel()
		if err == nil || !passing(err) {
			return err
		}
		if n%sayEvery == 0 {
			c.log.WarnContext(ctx, "queue is not ready to be set up, trying again", "error", err, "attempt", n+1)
		}
		if limit := c.cfg.SetupPatience; limit > 0 && time.Since(began) >= limit || !pause(ctx, reconnectWait) {
			return err
		}
	}
}

// passing says whether an error of the server's interface may be gone at a later
// attempt.
func passing(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return slices.Contains([]jetstream.ErrorCode{
			codeNoLeader, codeNotLeader, codeNoPeers, codeStreamOffline, codeConsumerOffline,
		}, api.ErrorCode)
	}
	// The last one is what a publisher hears while its connection is away: it
	// keeps nothing for later.
	return errors.Is(err, errRaced) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded)
}

func (c *Conn) provisionStreamOnce(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = c.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return errRaced
		}
		if err == nil {
			c.log.InfoContext(ctx, "stream created", "stream", want.Name, "max_bytes", want.MaxBytes, "replicas", want.Replicas)
		}
		return err
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if err := refuse(streamFaults(info.Config, want), `empty it, remove it with "nats stream rm `+want.Name+`" and start again`); err != nil {
		return err
	}
	if c.purpose == Operator {
		return nil
	}
	target, changes := reconcile(info, want)
	if len(changes) == 0 {
		return nil
	}
	if _, err := c.js.UpdateStream(ctx, target); err != nil {
		return err
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "stream settings changed", append(changes, slog.String("stream", want.Name))...)
	return nil
}

// fault is a setting with which Nexero must not run.
type fault struct{ setting, have, want string }

func refuse(faults []fault, remedy string) error {
	if len(faults) == 0 {
		return nil
	}
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.setting + " is " + f.have + ", but must be " + f.want
	}
	return fmt.Errorf("%w: %s: it cannot be changed in place, so %s", ErrIncompatible, strings.Join(texts, "; "), remedy)
}

// streamFaults lists what separates a stream from one that keeps data. Two of
// these could be updated in place, discard and subjects, but somebody chose
// them and the data already there may depend on them.
func streamFaults(have, want jetstream.StreamConfig) []fault {
	var faults []fault
	check := func(setting string, have, want any) {
		if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
			faults = append(faults, fault{setting, h, w})
		}
	}
	check("retention", have.Retention, want.Retention)
	check("storage", have.Storage, want.Storage)
	check("discard policy", have.Discard, want.Discard)
	check("subjects", have.Subjects, want.Subjects)
	check("persist mode", have.PersistMode, want.PersistMode)
	check("no_ack", have.NoAck, want.NoAck)
	check("sealed", have.Sealed, want.Sealed)
	check("mirror", have.Mirror != nil, false)
	check("sources", len(have.Sources), 0)
	return faults
}

// reconcile returns the stream's own settings with those changed that may be:
// whatever an operator added, such as placement or tags, stays.
func reconcile(info *jetstream.StreamInfo, want jetstream.StreamConfig) (jetstream.StreamConfig, []slog.Attr) {
	target := info.Config
	var changes []slog.Attr

	// Fewer replicas would throw copies away, and one process with the default
	// of 1 would do that to all others.
	if want.Replicas > target.Replicas {
		target.Replicas = want.Replicas
		changes = append(changes, slog.Int("replicas", want.Replicas))
	}
	// A limit below what is stored would stop intake at once.
	if want.MaxBytes != target.MaxBytes && info.State.Bytes <= uint64(max(want.MaxBytes, 0)) {
		target.MaxBytes = want.MaxBytes
		changes = append(changes, slog.Int64("max_bytes", want.MaxBytes))
	}
	// Whatever lets messages disappear or refuses good ones is loosened.
	if target.MaxAge != want.MaxAge {
		target.MaxAge = want.MaxAge
		changes = append(changes, slog.Duration("max_age", want.MaxAge)) // 0: none
	}
	if target.MaxMsgs > 0 {
		target.MaxMsgs = -1
		changes = append(changes, slog.String("max_messages", "none"))
	}
	if have := target.MaxMsgSize; have > 0 && (want.MaxMsgSize < 0 || have < want.MaxMsgSize) {
		target.MaxMsgSize = want.MaxMsgSize
		changes = append(changes, slog.Int("max_message_size", int(want.MaxMsgSize)))
	}
	if have := target.MaxMsgsPerSubject; have > 0 && (want.MaxMsgsPerSubject <= 0 || have < want.MaxMsgsPerSubject) {
		target.MaxMsgsPerSubject = max(want.MaxMsgsPerSubject, -1)
		changes = append(changes, slog.Int64("max_messages_per_subject", want.MaxMsgsPerSubject))
	}
	if target.Duplicates < want.Duplicates {
		target.Duplicates = want.Duplicates
		changes = append(changes, slog.Duration("duplicate_window", want.Duplicates))
	}
	// A client that opens the bucket with the library's own Create or Update
	// switches stale reads on again.
	if target.AllowDirect && !want.AllowDirect {
		target.AllowDirect = false
		changes = append(changes, slog.Bool("allow_direct", false))
	}
	if want.AllowRollup && !target.AllowRollup {
		target.AllowRollup = true
		changes = append(changes, slog.Bool("allow_rollup", true))
	}
	return target, changes
}

func (c *Conn) provisionConsumer(ctx context.Context) error {
	want := loader(c.cfg)
	existing, err := c.js.Consumer(ctx, StreamName, ConsumerName)
	switch {
	case err == nil:
		if err := refuse(consumerFaults(existing.CachedInfo().Config, want),
			`remove it with "nats consumer rm `+StreamName+` `+ConsumerName+`", which loses no message, and start again`); err != nil {
			return err
		}
		// What is as it should be is not written again, and that is not only
		// thrift: a server that deletes and makes a consumer of one name at the
		// same time can be left with one that works and has no files, and refuses
		// every update of it until its next start.
		if c.purpose == Operator || consumerFits(existing.CachedInfo().Config, want) {
			return nil
		}
	case errors.Is(err, jetstream.ErrConsumerNotFound) && c.purpose == Operator:
		return c.createConsumer(ctx, want)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		c.log.InfoContext(ctx, "consumer created", "consumer", ConsumerName)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	default:
		return err
	}
	// A second consumer on a work queue is refused by the server: it would take
	// messages away from the workers.
	if _, err = c.js.CreateOrUpdateConsumer(ctx, StreamName, want); errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	return err
}

// createConsumer makes the consumer and changes none that a service has made in
// the meantime.
func (c *Conn) createConsumer(ctx context.Context, want jetstream.ConsumerConfig) error {
	_, err := c.js.CreateConsumer(ctx, StreamName, want)
	switch {
	case errors.Is(err, jetstream.ErrConsumerExists):
		return errRaced
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: %w", ErrNoStream, err)
	case err == nil:
		c.log.InfoContext(ctx, "consumer created", "consumer", ConsumerName)
	}
	return err
}

func consumerFaults(have, want jetstream.ConsumerConfig) []fault {
	var faults []fault
	if have.AckPolicy != want.AckPolicy {
		faults = append(faults, fault{"ack policy", have.AckPolicy.String(), want.AckPolicy.String()})
	}
	if have.DeliverPolicy != want.DeliverPolicy {
		faults = append(faults, fault{"deliver policy", have.DeliverPolicy.String(), want.DeliverPolicy.String()})
	}
	if have.FilterSubject != "" || len(have.FilterSubjects) > 0 {
		faults = append(faults, fault{"filter", fmt.Sprint(have.FilterSubject, have.FilterSubjects), "none"})
	}
	return faults
}

// consumerFits reports whether nothing of what may change is to be changed.
func consumerFits(have, want jetstream.ConsumerConfig) bool {
	return have.Description == want.Description && have.AckWait == want.AckWait &&
		have.MaxDeliver == want.MaxDeliver && have.MaxAckPending == want.MaxAckPending
}

// roomHint explains the server's refusal to reserve more than its store holds.
func roomHint(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeStoreResources {
		return fmt.Errorf("%w (the server's JetStream store must hold the queue's byte limit and %d bytes of keys: lower the limit or raise max_file_store)", err, keyBytes)
	}
	return err
}
