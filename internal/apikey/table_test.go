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
