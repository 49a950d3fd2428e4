package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/postgres"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	now := received.Local()
	one := postgres.KeyRow{
		ID: "k1", Tenant: "acme", Environment: "production", Name: "headsets", Scopes: []string{"post"},
		Hash: []byte{1, 2}, CreatedAt: now,
	}
	two := postgres.KeyRow{ID: "k2", Tenant: "bolt", Environment: "staging", Scopes: []string{}, Hash: []byte{3}, CreatedAt: now}
	put := func(key postgres.KeyRow) error { return f.store.PutKey(t.Context(), key) }
	wantKeys := func(want ...postgres.KeyRow) {
		t.Helper()
		got, err := f.store.ListKeys(t.Context())
		equalTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if diff := cmp.Diff(want, got, equalTime); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	for _, key := range []postgres.KeyRow{two, one, one} {
		if err := put(key); err != nil {
			t.Fatal(err)
		}
	}
	wantKeys(one, two)

	// Name and scopes may change, what the key is may not.
	one.Name, one.Scopes = "all headsets", []string{"post", "read"}
	if err := put(one); err != nil {
		t.Error(err)
	}
	for _, other := range []func(*postgres.KeyRow){
		func(k *postgres.KeyRow) { k.Hash = []byte{9} },
		func(k *postgres.KeyRow) { k.Tenant = "bolt" },
		func(k *postgres.KeyRow) { k.Environment = "staging" },
	} {
		changed := one
		other(&changed)
		if err := put(changed); !errors.Is(err, postgres.ErrKeyTaken) {
			t.Errorf("put %+v: %v, want %v", changed, err, postgres.ErrKeyTaken)
		}
	}
	wantKeys(one, two)

	// rule 8: a revoked key is never revived.
	for _, at := range []time.Time{now.Add(time.Hour), now.Add(2 * time.Hour)} {
		revoked := one
		revoked.RevokedAt = &at
		if err := put(revoked); err != nil {
			t.Error(err)
		}
	}
	if err := put(one); err != nil {
		t.Error(err)
	}
	one.RevokedAt = new(now.Add(time.Hour))
	wantKeys(one, two)
}

func TestKeepDamaged_IsIdempotent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, message := range []string{"abc", "abc", "abd", ""} {
		if err := f.store.KeepDamaged(t.Context(), []byte(message), "no reason \x00\xff"); err != nil {
			t.Fatal(err)
		}
	}
	f.want("SELECT convert_from(message, 'UTF8') FROM nexero.damaged_messages ORDER BY 1", "", "abc", "abd")
}
