package apikey

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"
)

func TestTable_Authenticate(t *testing.T) {
	t.Parallel()
	text, record, err := New(spec(), noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// Another key under the same id: the id is known, the secret is wrong.
	impostor := text[:len(text)-secretLength-checksumLength]
	secret, err := randomDigits(rand.Reader, secretLength)
	if err != nil {
		t.Fatal(err)
	}
	impostor += secret
	impostor += checksum(impostor)
	stranger, _, err := New(spec(), noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	revoked := record
	revoked.RevokedAt = &noon
	rotated := record
	rotated.ExpiresAt = new(noon.Add(time.Second))
	both := rotated
	both.RevokedAt = &noon
	// What its scopes say beyond post does not count.
	publishable := record
	publishable.Publishable, publishable.Scopes = true, []Scope{ScopeAdmin, ScopePost, ScopeRead}
	for _, test := range []struct {
		name  string
		kept  Record
		text  string
		scope Scope
		age   time.Duration
		want  error
	}{
		{name: "good", kept: record, text: text, scope: ScopePost},
		{name: "good to the last moment", kept: record, text: text, scope: ScopePost, age: staleAfter},
		{name: "other scope", kept: record, text: text, scope: ScopeRead, want: ErrScope},
		{name: "wrong secret", kept: record, text: impostor, scope: ScopePost, want: ErrUnknown},
		{name: "unknown id", kept: record, text: stranger, scope: ScopePost, want: ErrUnknown},
		{name: "revoked", kept: revoked, text: text, scope: ScopePost, want: ErrRevoked},
		{name: "revoked, wrong secret", kept: revoked, text: impostor, scope: ScopePost, want: ErrUnknown},
		{name: "rotated, before its end", kept: rotated, text: text, scope: ScopePost, age: time.Second - 1},
		{name: "rotated, at its end", kept: rotated, text: text, scope: ScopePost, age: time.Second, want: ErrExpired},
		{name: "rotated, at its end, for whoever knows revoked keys only", kept: rotated, text: text, scope: ScopePost, age: time.Second, want: ErrRevoked},
		{name: "rotated, wrong secret", kept: rotated, text: impostor, scope: ScopePost, age: time.Second, want: ErrUnknown},
		{name: "rotated and revoked", kept: both, text: text, scope: ScopePost, want: ErrRevoked},
		{name: "publishable", kept: publishable, text: text, scope: ScopePost},
		{name: "publishable, to read", kept: publishable, text: text, scope: ScopeRead, want: ErrScope},
		{name: "publishable, to operate", kept: publishable, text: text, scope: ScopeAdmin, want: ErrScope},
		{name: "mistyped", kept: record, text: text[1:], scope: ScopePost, want: ErrMalformed},
		{name: "not compared for too long", kept: record, text: text, scope: ScopePost, age: staleAfter + 1, want: ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var table table
			if _, err := table.authenticate(test.text, test.scope, noon); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrMalformed) {
				t.Errorf("before the bucket was read: %v", err)
			}
			table.replace(map[string]Record{test.kept.ID: test.kept}, 7)
			if table.compare(8, noon) || !table.compare(7, noon) {
				t.Error("compare does not tell one revision from another")
			}
			if !table.compare(6, noon) {
				t.Error("a table beyond the bucket's answer lags")
			}
			got, err := table.authenticate(test.text, test.scope, noon.Add(test.age))
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if test.want == nil && got.Tenant != "acme" {
				t.Errorf("record %+v", got)
			}
		})
	}
}

// rule 8: an older copy of the bucket brings no key back, revoked or ended, and
// moves no end.
func TestTable_RemembersEnds(t *testing.T) {
	t.Parallel()
	text, record, err := New(spec(), noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var known table
	known.replace(map[string]Record{record.ID: record.ending(noon)}, 1)
	for revision, copied := range []Record{record, record.ending(noon.Add(time.Hour))} {
		known.put(copied, uint64(revision+2))
		known.compare(uint64(revision+2), noon)
		if _, err := known.authenticate(text, ScopePost, noon); !errors.Is(err, ErrExpired) {
			t.Errorf("copy %d: %v, want it ended", revision, err)
		}
	}
	known.replace(map[string]Record{record.ID: record}, 9)
	known.compare(9, noon)
	if _, err := known.authenticate(text, ScopePost, noon); !errors.Is(err, ErrExpired) {
		t.Errorf("another history: %v, want it ended", err)
	}
}

// What two copies of a record come to does not depend on which is asked first,
// and never lasts longer than either.
func TestRecord_Merged(t *testing.T) {
	t.Parallel()
	times := []*time.Time{nil, new(noon), new(noon.Add(time.Hour)), new(noon.Add(time.Hour).Add(300))}
	for _, a := range times {
		for _, b := range times {
			one, other := Record{RevokedAt: a, ExpiresAt: b}, Record{RevokedAt: b, ExpiresAt: a}
			merged := one.merged(other)
			if !merged.SameEnd(other.merged(one)) && a != times[3] && b != times[3] {
				t.Errorf("%v and %v differ by order", a, b)
			}
			for _, end := range []*time.Time{a, b} {
				if end != nil && (merged.RevokedAt == nil || merged.RevokedAt.After(*end) || merged.ExpiresAt.After(*end)) {
					t.Errorf("%v and %v come to %v", a, b, merged)
				}
			}
		}
	}
}
