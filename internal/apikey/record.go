package apikey

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Scope is something a key may be used for.
type Scope string

// The scopes. None includes another.
const (
	// ScopePost is sending events and session posts.
	ScopePost Scope = "post"
	// ScopeRead is reading results.
	ScopeRead Scope = "read"
	// ScopeAdmin is operating, such as replaying rejected events.
	ScopeAdmin Scope = "admin"
)

func (s Scope) valid() bool { return s == ScopePost || s == ScopeRead || s == ScopeAdmin }

const (
	// maxTenant and maxName bound names, in bytes.
	maxTenant = 63
	maxName   = 100

	tenantCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
)

// Spec is what a key is to be.
type Spec struct {
	// Tenant is whose key it is: 1 to 63 small letters, digits, dashes and
	// underscores, of which a letter or digit comes first.
	Tenant string
	// Environment is development, staging or production.
	Environment string
	// Name is what an operator calls it; at most 100 bytes.
	Name string
	// Scopes is what it may be used for. At least one.
	Scopes []Scope
	// Publishable is a key that is no secret, since it is part of an application
	// that is handed out. It may post and nothing else.
	Publishable bool
}

// check returns the spec with its scopes sorted and named once each.
func (s Spec) check() (Spec, error) {
	var faults []string
	if !tenantName(s.Tenant) {
		faults = append(faults, tenantRule)
	}
	if !printable(s.Name) {
		faults = append(faults, "name must be at most 100 bytes of plain text")
	}
	if _, ok := short(s.Environment); !ok {
		faults = append(faults, "environment must be development, staging or production")
	}
	s.Scopes = slices.Compact(slices.Sorted(slices.Values(s.Scopes)))
	if len(s.Scopes) == 0 || slices.ContainsFunc(s.Scopes, func(scope Scope) bool { return !scope.valid() }) {
		faults = append(faults, "scopes must be some of post, read and admin")
	}
	if s.Publishable && !slices.Equal(s.Scopes, []Scope{ScopePost}) {
		faults = append(faults, "a publishable key is for post alone")
	}
	if len(faults) > 0 {
		return Spec{}, fmt.Errorf("%w: %s", ErrSpec, strings.Join(faults, "; "))
	}
	return s, nil
}

const tenantRule = "tenant must be 1 to 63 small letters, digits, dashes and underscores, and begin with a letter or digit"

func tenantName(name string) bool {
	return name != "" && len(name) <= maxTenant && strings.Trim(name, tenantCharacters) == "" && !strings.ContainsAny(name[:1], "-_")
}

// CheckTenant returns an [ErrSpec] that says what is wrong when no key can be of
// a tenant of this name.
func CheckTenant(name string) error {
	if !tenantName(name) {
		return fmt.Errorf("%w: %s", ErrSpec, tenantRule)
	}
	return nil
}

// printable keeps out what PostgreSQL or a terminal would choke on.
func printable(text string) bool {
	return len(text) <= maxName && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// record has its time in whole microseconds, as PostgreSQL keeps it, so that a
// mirrored record equals its original.
func (s Spec) record(id, text string, now time.Time) Record {
	hash := hashOf(text)
	return Record{
		ID: id, Tenant: s.Tenant, Environment: s.Environment, Name: s.Name, Scopes: s.Scopes,
		Hash: hash[:], CreatedAt: now.UTC().Truncate(time.Microsecond), Publishable: s.Publishable,
	}
}

// Record is what is kept of a key. It is treated as immutable: records are
// shared between goroutines.
type Record struct {
	// ID names the key, here and in logs.
	ID string `json:"id"`
	// Tenant is whose key it is.
	Tenant string `json:"tenant"`
	// Environment is development, staging or production.
	Environment string `json:"environment"`
	// Name is what an operator calls it.
	Name string `json:"name,omitempty"`
	// Scopes is what it may be used for.
	Scopes []Scope `json:"scopes"`
	// Hash is the SHA-256 of the key's text.
	Hash []byte `json:"hash"`
	// CreatedAt is when it was made.
	CreatedAt time.Time `json:"created_at"`
	// RevokedAt is when it was revoked; nil if it never was.
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	// ExpiresAt is when it ends by itself, by the clock of whoever judges it; nil
	// when it does not.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// Publishable is a key that is no secret and may post only.
	Publishable bool `json:"publishable,omitempty"`
}

// Allows says whether the key is for scope. A publishable key may post and
// nothing else, whatever its scopes say. It does not look at RevokedAt and
// ExpiresAt.
func (r Record) Allows(scope Scope) bool {
	return slices.Contains(r.Scopes, scope) && (!r.Publishable || scope == ScopePost)
}

// Expired says whether the key has ended by itself at now.
func (r Record) Expired(now time.Time) bool { return r.ExpiresAt != nil && !now.Before(*r.ExpiresAt) }

// Spec is what another key has to be to take r's place.
func (r Record) Spec() Spec {
	return Spec{Tenant: r.Tenant, Environment: r.Environment, Name: r.Name, Scopes: slices.Clone(r.Scopes), Publishable: r.Publishable}
}

// String is the record for people: without the hash.
func (r Record) String() string {
	state := "valid"
	switch {
	case r.RevokedAt != nil:
		state = "revoked at " + r.RevokedAt.UTC().Format(time.RFC3339)
	case r.ExpiresAt != nil:
		state = "valid until " + r.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("key %s of %s for %s, scopes %v, %s", r.ID, r.Tenant, r.Environment, r.Scopes, state)
}

// GoString is String, so that %#v shows no more.
func (r Record) GoString() string { return r.String() }

// LogValue implements [slog.LogValuer]: id, tenant and state.
func (r Record) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.ID), slog.String("tenant", r.Tenant), slog.Bool("revoked", r.RevokedAt != nil))
}

// sameKey says whether two records are of one key, revoked or not.
func (r Record) sameKey(other Record) bool {
	return r.ID == other.ID && r.Tenant == other.Tenant && bytes.Equal(r.Hash, other.Hash)
}

// revoked is the record with the earlier of its own revocation and at.
func (r Record) revoked(at time.Time) Record {
	r.RevokedAt = earlier(r.RevokedAt, &at)
	return r
}

// ending is the record with the earlier of its own end and at.
func (r Record) ending(at time.Time) Record {
	r.ExpiresAt = earlier(r.ExpiresAt, &at)
	return r
}

// merged is the record with what other, of the same key, knows of its end: what
// is revoked in either is revoked, and what ends in either ends.
func (r Record) merged(other Record) Record {
	r.RevokedAt, r.ExpiresAt = earlier(r.RevokedAt, other.RevokedAt), earlier(r.ExpiresAt, other.ExpiresAt)
	return r
}

// SameEnd says whether two records of one key agree on when it was revoked and
// when it ends.
func (r Record) SameEnd(other Record) bool {
	return sameTime(r.RevokedAt, other.RevokedAt) && sameTime(r.ExpiresAt, other.ExpiresAt)
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// earlier returns the earlier of two times in whole microseconds of UTC; nil is
// never.
func earlier(a, b *time.Time) *time.Time {
	switch {
	case b == nil || a != nil && !b.Truncate(time.Microsecond).Before(*a):
		return a
	default:
		at := b.UTC().Truncate(time.Microsecond)
		return &at
	}
}

func (r Record) encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// decodeRecord reads the record that lies under id.
func decodeRecord(id string, value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return Record{}, fmt.Errorf("record of API key %s: %w", id, err)
	}
	if r.ID != id {
		return Record{}, fmt.Errorf("%w: record of API key %s is of another", ErrSpec, id)
	}
	return r, r.check()
}

// check keeps a record without a proper hash, which some text could match, out
// of the bucket and out of the table.
func (r Record) check() error {
	if !isDigits(r.ID, idLength) || len(r.Hash) != sha256.Size || r.Tenant == "" {
		return fmt.Errorf("%w: incomplete record of API key %q", ErrSpec, r.ID)
	}
	return nil
}
