package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// createKey makes a key of tenant acme and returns its id.
func (s *shell) createKey(args ...string) (id string) {
	s.t.Helper()
	text := s.ok(append([]string{"keys", "create", "--tenant", "acme"}, args...)...)
	return strings.Split(text, "_")[2]
}

// line returns the line of a listing that names what.
func (s *shell) line(what string, args ...string) string {
	s.t.Helper()
	listing := s.ok(args...)
	for line := range strings.Lines(listing) {
		if strings.Contains(line, what) {
			return line
		}
	}
	s.t.Fatalf("nexero %v has no line with %q:\n%s", args, what, listing)
	return ""
}

// record returns what the bucket has of a key.
func (s *shell) record(id string) (record apikey.Record, err error) {
	s.t.Helper()
	conn, err := queue.Connect(s.t.Context(), queue.Config{URL: s.nats}, testkit.Logger(s.t), nil, queue.Operator)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}()
	kv, stream, err := conn.Keys(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return apikey.NewBucket(kv, stream).Get(s.t.Context(), id)
}

// loseQueue is what a lost volume of the queue looks like.
func (s *shell) loseQueue() {
	s.t.Helper()
	nc, err := nats.Connect(s.nats)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := js.DeleteKeyValue(s.t.Context(), "api_keys"); err != nil {
		s.t.Fatal(err)
	}
}

func TestKeys_Rotate(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	old := sh.createKey("--name", "app", "--publishable", "--for", "staging")
	before := time.Now()
	stdout, stderr, code := sh.run("keys", "rotate", old, "--overlap", "36h")
	if code != 0 || !strings.HasPrefix(stdout, "nxr_stg_") || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, old+" is valid until ") {
		t.Fatalf("rotate exits %d: %q, %q", code, stdout, stderr)
	}
	fresh, err := sh.record(strings.Split(stdout, "_")[2])
	if err != nil || !fresh.Publishable || fresh.Name != "app" || fresh.Tenant != "acme" || fresh.ExpiresAt != nil || !fresh.Allows(apikey.ScopePost) {
		t.Errorf("the new key: %v, %v", fresh, err)
	}
	ended, err := sh.record(old)
	if err != nil || ended.ExpiresAt == nil || ended.ExpiresAt.Sub(before) < 36*time.Hour-time.Second || ended.ExpiresAt.Sub(before) > 37*time.Hour || ended.RevokedAt != nil {
		t.Errorf("the old key: %v, %v", ended, err)
	}
	for id, want := range map[string]string{old: " valid until ", fresh.ID: " valid "} {
		if line := sh.line(id, "keys", "list", "--tenant", "acme"); !strings.Contains(line, want) || !strings.Contains(line, "post (publishable)") {
			t.Errorf("list says %q", line)
		}
	}
	if list := sh.ok("keys", "list", "--tenant", "zenith"); strings.Contains(list, old) {
		t.Errorf("another tenant's list: %q", list)
	}
	// What ends already was replaced already; without an overlap it is over now.
	if _, stderr, code := sh.run("keys", "rotate", old); code == 0 || !strings.Contains(stderr, "cannot be rotated") {
		t.Errorf("rotated again: exit %d, %q", code, stderr)
	}
	sh.ok("keys", "rotate", fresh.ID, "--overlap", "0s")
	if revoked, err := sh.record(fresh.ID); err != nil || revoked.RevokedAt == nil {
		t.Errorf("without an overlap: %v, %v", revoked, err)
	}
	if kept := mirror(t, database); strings.Count(kept, `"expires_at":null`) != 2 || strings.Count(kept, `"revoked_at":null`) != 2 {
		t.Errorf("mirror %s, want one of three ended and one revoked", kept)
	}
	if _, stderr, code := sh.run("keys", "create", "--tenant", "acme", "--publishable", "--scopes", "post,read"); code == 0 || !strings.Contains(stderr, "publishable") {
		t.Errorf("a publishable key that reads: exit %d, %q", code, stderr)
	}
}

// rule 8: a lost queue gets its keys back, and none that was revoked or ended.
func TestKeys_Sync(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	valid := sh.createKey("--scopes", "read,post", "--name", "desk")
	revoked := sh.createKey()
	rotated := sh.createKey()
	sh.ok("keys", "revoke", revoked)
	sh.ok("keys", "rotate", rotated)
	want, err := sh.record(rotated)
	if err != nil {
		t.Fatal(err)
	}
	if said := sh.ok("keys", "sync"); said != "0 keys restored in the queue, 0 ended there, 0 written to the mirror, 4 were the same\n" {
		t.Errorf("sync of equals says %q", said)
	}
	sh.loseQueue()
	if said := sh.ok("keys", "sync"); !strings.HasPrefix(said, "4 keys restored") {
		t.Errorf("sync says %q", said)
	}
	if got, err := sh.record(valid); err != nil || got.RevokedAt != nil || got.Name != "desk" || !got.Allows(apikey.ScopeRead) {
		t.Errorf("the valid one: %v, %v", got, err)
	}
	if got, err := sh.record(revoked); err != nil || got.RevokedAt == nil {
		t.Errorf("the revoked one: %v, %v", got, err)
	}
	if got, err := sh.record(rotated); err != nil || !got.SameEnd(want) {
		t.Errorf("the rotated one: %v, %v, want %v", got, err, want)
	}

	// Each side knows something that the other does not.
	db := connectDatabase(t, database)
	for _, change := range []string{
		"UPDATE nexero.api_keys SET revoked_at = now() WHERE key_id = '" + valid + "'",
		"UPDATE nexero.api_keys SET revoked_at = NULL WHERE key_id = '" + revoked + "'",
		"DELETE FROM nexero.api_keys WHERE key_id = '" + rotated + "'",
	} {
		if _, err := db.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	if said := sh.ok("keys", "sync"); said != "0 keys restored in the queue, 1 ended there, 2 written to the mirror, 1 were the same\n" {
		t.Errorf("sync says %q", said)
	}
	for _, id := range []string{valid, revoked} {
		if got, err := sh.record(id); err != nil || got.RevokedAt == nil {
			t.Errorf("%v, %v, want it revoked", got, err)
		}
	}
	if _, err := db.Exec(t.Context(), "UPDATE nexero.api_keys SET hash = sha256('other') WHERE key_id = $1", valid); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := sh.run("keys", "sync"); code == 0 || !strings.Contains(stderr, valid) {
		t.Errorf("another key under a taken id: exit %d, %q", code, stderr)
	}
}

func TestTenantsAndProperties(t *testing.T) {
	t.Parallel()
	sh := newShell(t, testkit.Database(t))
	for _, wrong := range [][]string{
		{"tenants", "create", "Acme"},
		{"tenants", "create"},
		{"properties", "set", "villa"},
		{"properties", "set", "villa", "--tenant", "nobody"},
	} {
		if _, stderr, code := sh.run(wrong...); code == 0 || stderr == "" {
			t.Errorf("nexero %v exits %d and says %q", wrong, code, stderr)
		}
	}
	if first, again := sh.ok("tenants", "create", "acme"), sh.ok("tenants", "create", "acme"); first != "made tenant acme\n" || !strings.Contains(again, "already") {
		t.Errorf("create says %q, then %q", first, again)
	}
	sh.createKey()
	revoked := sh.createKey()
	sh.ok("keys", "revoke", revoked)
	sh.ok("properties", "set", "villa", "--tenant", "acme", "--time-zone", "Europe/Berlin", "--origin-x", "-250", "--name", "Villa Aurora")
	// What is not given stays.
	sh.ok("properties", "set", "villa", "--tenant", "acme", "--origin-y", "12.5")
	if got := strings.Fields(sh.line("villa", "properties", "list")); strings.Join(append(got[:5:5], got[7:]...), " ") != "acme villa Europe/Berlin -250 12.5 Villa Aurora" {
		t.Errorf("properties list: %q", got)
	}
	if list := sh.ok("properties", "list", "--tenant", "zenith"); strings.Contains(list, "villa") {
		t.Errorf("another tenant's properties: %q", list)
	}
	if got := strings.Fields(sh.line("acme", "tenants", "list")); got[3] != "1" || got[4] != "1" {
		t.Errorf("tenants list: %q, want one valid key and one property", got)
	}
	if _, stderr, code := sh.run("properties", "set", "villa", "--tenant", "acme", "--time-zone", "Mars/Olympus"); code == 0 || !strings.Contains(stderr, "time zone") {
		t.Errorf("a zone that is none: exit %d, %q", code, stderr)
	}
}
