package config

import (
	"strings"
	"testing"
	"time"
)

// A tenant that no key could name must not own rows.
func TestLoad_AnonymousTenant(t *testing.T) {
	t.Parallel()
	for tenant, ok := range map[string]bool{
		"": true, "demo": true, "a": true, "0-a_b": true, strings.Repeat("x", 63): true,
		strings.Repeat("x", 64): false, "Demo": false, "-a": false, "_a": false, "a b": false, "a/b": false, "ä": false, "a.b": false, "a\n": false,
	} {
		_, err := load[Ingest](t, nil, []string{natsEnv, "NEXERO_ANONYMOUS_TENANT=" + tenant})
		if (err == nil) != ok {
			t.Errorf("%q: %v", tenant, err)
		}
	}
}

func TestLoad_BodyTimeout(t *testing.T) {
	t.Parallel()
	got, err := load[Ingest](t, []string{"--body-timeout=7s"}, []string{natsEnv})
	if err != nil || got.HTTP.BodyTimeout != 7*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
}
