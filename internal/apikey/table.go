package apikey

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"
)

// staleAfter is how long a table may go without being found equal to the
// bucket before nothing is judged by it any more.
const staleAfter = 5 * time.Second

// table is what one replica knows of the keys. It knows no clock and no
// network: whoever feeds it says what time it is. Its zero value is one that
// has not been filled yet.
type table struct {
	mu      sync.RWMutex
	records map[string]Record
	// damaged are the keys whose records cannot be read. They may be valid, so
	// nobody may be told that they are none.
	damaged map[string]bool
	// ended remembers what was ever seen revoked or given an end: records without
	// anything else. A bucket restored from an older copy has forgotten it.
	ended map[string]Record
	// revision is the bucket's at the last change that is in the table.
	revision uint64
	loaded   bool
	// equalAt is when the table was last known to equal the bucket.
	equalAt time.Time
}

// replace makes the table hold exactly records, which are the bucket's at
// revision. One without a hash could not be read. The table owns the map from
// then on.
func (t *table) replace(records map[string]Record, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.damaged = make(map[string]bool)
	for id, record := range records {
		if len(record.Hash) == 0 {
			t.damaged[id] = true
			delete(records, id)
			continue
		}
		records[id] = t.remember(record)
	}
	t.records, t.revision, t.loaded = records, revision, true
}

// put takes over one changed record.
func (t *table) put(record Record, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records[record.ID], t.revision = t.remember(record), revision
	delete(t.damaged, record.ID)
}

// damage takes over that a record cannot be read any more.
func (t *table) damage(id string, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.records, id)
	t.damaged[id], t.revision = true, revision
}

// remove takes over that a record is gone.
func (t *table) remove(id string, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.records, id)
	delete(t.damaged, id)
	t.revision = revision
}

// remember keeps a revoked key revoked, and one that ends at its end, whatever
// comes from the bucket.
func (t *table) remember(record Record) Record {
	record = record.merged(t.ended[record.ID])
	if record.RevokedAt != nil || record.ExpiresAt != nil {
		if t.ended == nil {
			t.ended = make(map[string]Record)
		}
		t.ended[record.ID] = Record{RevokedAt: record.RevokedAt, ExpiresAt: record.ExpiresAt}
	}
	return record
}

// compare says whether the table has come to revision, which is what the bucket
// answered when it was asked at the time asked. It may be further: a change can
// arrive while the answer is under way. Whoever asks has made sure that both
// are of one history.
func (t *table) compare(revision uint64, asked time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.loaded || t.revision < revision {
		return false
	}
	t.equalAt = asked
	return true
}

// ready says why the table must not be used, or nil.
func (t *table) ready(now time.Time) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case !t.loaded:
		return fmt.Errorf("%w: not loaded yet", ErrUnavailable)
	case t.equalAt.IsZero():
		return fmt.Errorf("%w: not compared with the bucket yet", ErrUnavailable)
	case now.Sub(t.equalAt) > staleAfter:
		return fmt.Errorf("%w: not compared with the bucket for %s", ErrUnavailable, now.Sub(t.equalAt).Round(time.Second))
	}
	return nil
}

// authenticate judges a key's text.
func (t *table) authenticate(text string, scope Scope, now time.Time) (Record, error) {
	id, err := Parse(text)
	if err != nil {
		return Record{}, err
	}
	if err := t.ready(now); err != nil {
		return Record{}, err
	}
	t.mu.RLock()
	record, known, damaged := t.records[id], len(t.records), t.damaged[id]
	t.mu.RUnlock()

	// Unknown ids and wrong secrets cost the same: an unknown one is compared
	// with a hash that nothing has.
	var none [sha256.Size]byte
	want := record.Hash
	if len(want) != len(none) {
		want = none[:]
	}
	got := hashOf(text)
	match := subtle.ConstantTimeCompare(got[:], want) == 1
	switch {
	case known == 0:
		// A bucket without any key is one that was lost, or a first start.
		// Neither is the client's mistake.
		return Record{}, fmt.Errorf("%w: there are none", ErrUnavailable)
	case damaged:
		return Record{}, fmt.Errorf("%w: the record of key %s cannot be read", ErrUnavailable, id)
	case !match:
		return Record{}, fmt.Errorf("key %s: %w", id, ErrUnknown)
	case record.RevokedAt != nil:
		return Record{}, fmt.Errorf("key %s: %w", id, ErrRevoked)
	case record.Expired(now):
		return Record{}, fmt.Errorf("key %s: %w", id, ErrExpired)
	case !record.Allows(scope):
		return Record{}, fmt.Errorf("key %s: %w %s", id, ErrScope, scope)
	}
	return record, nil
}

// counts are the keys known, those of them that are revoked, and when the table
// was last known to be right.
func (t *table) counts() (known, revoked int, equalAt time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, record := range t.records {
		if record.RevokedAt != nil {
			revoked++
		}
	}
	return len(t.records), revoked, t.equalAt
}
