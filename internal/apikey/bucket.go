package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// changeAttempts bounds how often a change of a record meets somebody else's.
const changeAttempts = 10

// Bucket is where records are kept, by id.
type Bucket struct {
	kv     jetstream.KeyValue
	stream jetstream.Stream
}

// NewBucket uses kv and the stream beneath it, whose direct reads must be off.
func NewBucket(kv jetstream.KeyValue, stream jetstream.Stream) *Bucket {
	return &Bucket{kv: kv, stream: stream}
}

// Put adds a record. An id that is there already, for the same key or another,
// revoked or not, is [ErrExists] and stays as it is.
func (b *Bucket) Put(ctx context.Context, record Record) error {
	value, err := record.encode()
	if err != nil {
		return err
	}
	_, err = b.kv.Create(ctx, record.ID, value)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists):
		return fmt.Errorf("put %s: %w", record.ID, ErrExists)
	default:
		return unavailable("put", record.ID, err)
	}
}

// Get returns a record, or [ErrUnknown].
func (b *Bucket) Get(ctx context.Context, id string) (Record, error) {
	record, _, err := b.get(ctx, id)
	return record, err
}

func (b *Bucket) get(ctx context.Context, id string) (record Record, revision uint64, err error) {
	entry, err := b.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Record{}, 0, fmt.Errorf("get %q: %w", id, ErrUnknown)
	}
	if err != nil {
		return Record{}, 0, unavailable("get", id, err)
	}
	record, err = decodeRecord(id, entry.Value())
	return record, entry.Revision(), err
}

// List returns all records, oldest first. Records that cannot be read are left
// out and named in the error.
func (b *Bucket) List(ctx context.Context) ([]Record, error) {
	var records []Record
	var damaged []error
	complete := errors.New("complete")
	err := b.follow(ctx, func(u update) error {
		switch {
		case u.complete:
			return complete
		case u.deleted:
		default:
			record, err := decodeRecord(u.id, u.value)
			if err != nil {
				damaged = append(damaged, err)
				break
			}
			records = append(records, record)
		}
		return nil
	})
	if !errors.Is(err, complete) {
		return nil, unavailable("list", "*", err)
	}
	slices.SortFunc(records, func(a, b Record) int {
		if order := a.CreatedAt.Compare(b.CreatedAt); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return records, errors.Join(damaged...)
}

// Revoke revokes a key for good and returns its record. Revoking it again
// changes nothing. It never undoes another change made at the same time.
func (b *Bucket) Revoke(ctx context.Context, id string, at time.Time) (Record, error) {
	return b.change(ctx, "revoke", id, func(known Record) (Record, error) {
		if known.RevokedAt != nil {
			return known, nil
		}
		return known.revoked(at), nil
	})
}

// Expire gives a key an end and returns its record. An end never moves to a
// later time: a key that ends before at keeps its own.
func (b *Bucket) Expire(ctx context.Context, id string, at time.Time) (Record, error) {
	return b.change(ctx, "expire", id, func(known Record) (Record, error) { return known.ending(at), nil })
}

// change replaces a record by what to makes of it, which it may have to do
// several times. It writes nothing when that is the same.
func (b *Bucket) change(ctx context.Context, operation, id string, to func(known Record) (Record, error)) (Record, error) {
	for range changeAttempts {
		known, revision, err := b.get(ctx, id)
		if err != nil {
			return Record{}, err
		}
		record, err := to(known)
		if err != nil || record.SameEnd(known) {
			return record, err
		}
		value, err := record.encode()
		if err != nil {
			return Record{}, err
		}
		_, err = b.kv.Update(ctx, id, value, revision)
		if err == nil {
			return record, nil
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return Record{}, unavailable(operation, id, err)
		}
	}
	return Record{}, fmt.Errorf("%s %s: %w: changed by others all the time", operation, id, ErrUnavailable)
}

// Restore brings a record back from a copy kept elsewhere, and returns what both
// come to. A key that is revoked, here or there, is revoked afterwards, and one
// that ends in either ends at the earlier time; an id that belongs to another
// key is [ErrExists].
func (b *Bucket) Restore(ctx context.Context, record Record) (Record, error) {
	err := b.Put(ctx, record)
	if !errors.Is(err, ErrExists) {
		return record, err
	}
	return b.change(ctx, "restore", record.ID, func(known Record) (Record, error) {
		if !known.sameKey(record) {
			return Record{}, err
		}
		return known.merged(record), nil
	})
}

func unavailable(operation, id string, err error) error {
	return fmt.Errorf("%s API key %s: %w: %w", operation, id, ErrUnavailable, err)
}

// update is one thing that happened in the bucket.
type update struct {
	id       string
	value    []byte
	deleted  bool
	at       position
	complete bool // everything that was there at the start has been seen
}

// position is where in the bucket's history something lies. The time tells two
// histories apart that have the same numbers, as after a loss of the bucket.
type position struct {
	revision uint64
	at       time.Time
}

func (p position) equal(other position) bool {
	return p.revision == other.revision && p.at.Equal(other.at)
}

// follow calls see for every key's latest record, then for complete, then for
// every change, until ctx ends, see returns an error, or the watch breaks.
func (b *Bucket) follow(ctx context.Context, see func(update) error) error {
	// The library keeps a goroutine until the context that it was given ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := b.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer func() {
		// Its goroutine may be stuck with an update in hand until the channel,
		// which closes when it is done, has been emptied.
		_ = watch.Stop()
		for range watch.Updates() {
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, ok := <-watch.Updates():
			if !ok {
				return errors.New("watch ended")
			}
			if err := see(updateOf(entry)); err != nil {
				return err
			}
		}
	}
}

func updateOf(entry jetstream.KeyValueEntry) update {
	if entry == nil {
		return update{complete: true}
	}
	return update{
		id:      entry.Key(),
		value:   entry.Value(),
		deleted: entry.Operation() != jetstream.KeyValuePut,
		at:      position{entry.Revision(), entry.Created()},
	}
}

// last is the position of the latest change; zero for an empty bucket. It is
// asked of the stream's leader, so nothing that is acknowledged is missing.
func (b *Bucket) last(ctx context.Context) (position, error) {
	m, err := b.stream.GetLastMsgForSubject(ctx, "$KV."+b.kv.Bucket()+".>")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return position{}, nil
	}
	if err != nil {
		return position{}, fmt.Errorf("look for the last change of keys: %w", err)
	}
	return position{m.Sequence, m.Time}, nil
}
