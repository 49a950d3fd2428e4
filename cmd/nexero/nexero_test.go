package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// shell runs commands as an operator does who has set two variables.
type shell struct {
	t    *testing.T
	nats string
	env  []string
}

func newShell(t *testing.T, database string) *shell {
	t.Helper()
	nats := testkit.NATS(t)
	return &shell{t: t, nats: nats, env: []string{
		"NEXERO_NATS_URL=" + nats, "NEXERO_DATABASE_URL=" + database, "NEXERO_DATA_DIR=" + t.TempDir(),
	}}
}

// run runs a command and returns what it says and its exit code.
func (s *shell) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	code = run(s.t.Context(), args, s.env, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

func (s *shell) ok(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("nexero %s exits %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

func TestKeys(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	key := strings.TrimSpace(sh.ok("keys", "create", "--tenant", "acme", "--name", "showroom", "--scopes", "post,read", "--for", "production"))
	if !strings.HasPrefix(key, "nxr_prod_") {
		t.Fatalf("key %q", key)
	}
	id := strings.Split(key, "_")[2]
	list := sh.ok("keys", "list")
	for _, part := range []string{id, "acme", "production", "post,read", "showroom"} {
		if !strings.Contains(list, part) {
			t.Errorf("list %q lacks %q", list, part)
		}
	}
	// rule 8: the secret was shown once and is nowhere now.
	if secret := strings.Split(key, "_")[3]; strings.Contains(list, secret) || strings.Contains(mirror(t, database), secret) {
		t.Error("the secret is kept")
	}
	sh.ok("keys", "revoke", id)
	sh.ok("keys", "revoke", id)
	if revoked := sh.ok("keys", "list"); !strings.Contains(revoked, " revoked ") || !strings.Contains(list, " valid ") {
		t.Errorf("list %q, then %q, want a time of revocation", list, revoked)
	}
	if kept := mirror(t, database); !strings.Contains(kept, id) || strings.Contains(kept, `"revoked_at":null`) {
		t.Errorf("mirror %s, want the key revoked", kept)
	}
	for _, wrong := range [][]string{
		{"keys", "create"},
		{"keys", "create", "--tenant", "Acme Ltd"},
		{"keys", "create", "--tenant", "acme", "--scopes", "write"},
		{"keys", "revoke", "nobody"},
		{"keys", "revoke"},
	} {
		if _, stderr, code := sh.run(wrong...); code == 0 || stderr == "" {
			t.Errorf("nexero %v exits %d and says %q", wrong, code, stderr)
		}
	}
}

// mirror returns the rows of the database's copy of the keys.
func mirror(t *testing.T, database string) string {
	t.Helper()
	db := connectDatabase(t, database)
	var text string
	if err := db.QueryRow(t.Context(), `SELECT coalesce(json_agg(k)::text, '') FROM nexero.api_keys k`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func connectDatabase(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Logf("close the database: %v", err)
		}
	})
	return db
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	sh := newShell(t, testkit.EmptyDatabase(t))
	if got := sh.ok("migrate", "--status"); !strings.HasPrefix(got, "schema version 0,") {
		t.Errorf("status %q", got)
	}
	migrated := sh.ok("migrate")
	if again := sh.ok("migrate"); again != migrated || strings.HasPrefix(again, "schema version 0,") {
		t.Errorf("migrate says %q, then %q", migrated, again)
	}
}

// enqueue publishes messages as an ingest would.
func (s *shell) enqueue(messages ...[]byte) {
	s.t.Helper()
	conn, err := queue.Connect(s.t.Context(), queue.Config{URL: s.nats, MaxBytes: 64 << 20}, testkit.Logger(s.t), nil, queue.Publisher)
	if err != nil {
		s.t.Fatal(err)
	}
	err = conn.Provision(s.t.Context())
	for i, message := range messages {
		err = errors.Join(err, conn.Publish(s.t.Context(), string(rune('a'+i)), message))
	}
	if err := errors.Join(err, conn.Close(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
}

func sealed(t *testing.T) []byte {
	t.Helper()
	at := event.MicrosOf(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	encoded, err := envelope.AppendBatch(nil, &event.Batch{
		Tenant: "acme", ID: event.UUID{1}, ReceiptID: event.UUID{2}, ReceivedAt: at, CorrelationID: "trace-1",
		Trace:    event.Trace{ID: [16]byte{0xab}, Span: [8]byte{0xcd}, Flags: 1},
		Sessions: []event.Session{{Key: event.UUID{3}, ClientID: "7AFF2D5C"}},
		Events:   []event.Event{{Type: event.ZoneEnter, Zone: "kitchen", OccurredAt: at}},
		Rejected: []event.Rejection{{Index: 1, Code: event.MissingTimestamp, Field: "timestamp", Raw: "{}"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b envelope.Builder
	b.Add(encoded)
	return b.Seal()
}

func TestQueue_StatusAndPeek(t *testing.T) {
	t.Parallel()
	sh := newShell(t, testkit.Database(t))
	sh.enqueue()
	if status := sh.ok("queue", "status"); !strings.Contains(status, "messages  0,") || !strings.Contains(status, "none queued, the last was 0") {
		t.Errorf("status of an empty queue %q", status)
	}
	newer := sealed(t)
	newer[4]++
	sh.enqueue(sealed(t), newer, []byte("rubbish"))
	if status := sh.ok("queue", "status"); !strings.Contains(status, "messages  3,") || !strings.Contains(status, "3 waiting") {
		t.Errorf("status %q", status)
	}
	lines := strings.Split(strings.TrimSpace(sh.ok("queue", "peek", "--messages", "5", "--events")), "\n")
	if len(lines) != 3 {
		t.Fatalf("peek prints %d lines: %q", len(lines), lines)
	}
	var batch peekedBatch
	if err := json.Unmarshal([]byte(lines[0]), &batch); err != nil {
		t.Fatal(err)
	}
	if batch.Tenant != "acme" || batch.Accepted != 1 || batch.Rejected != 1 || batch.Events[0].Zone != "kitchen" ||
		batch.Rejections[0].Code != event.MissingTimestamp || batch.Sessions[0] != "7AFF2D5C" || batch.TraceParent != "00-ab000000000000000000000000000000-cd00000000000000-01" {
		t.Errorf("batch %+v", batch)
	}
	if !strings.Contains(lines[1], "unknown version") || !strings.Contains(lines[2], "damaged") {
		t.Errorf("peek prints %q and %q", lines[1], lines[2])
	}
	// Looking takes nothing.
	if status := sh.ok("queue", "status"); !strings.Contains(status, "messages  3,") {
		t.Errorf("status %q", status)
	}
}

func TestVerify_ExitCodes(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	if _, stderr, code := sh.run("verify", "--wait", "1ms"); code != exitNotVerified || !strings.Contains(stderr, "not verified") {
		t.Errorf("without a stream: exit %d, %q", code, stderr)
	}
	for _, wrong := range [][]string{{"verify", "--wait", "soon"}, {"verify", "now"}, {"verify", "--no-such"}} {
		if _, _, code := sh.run(wrong...); code != exitNotVerified {
			t.Errorf("nexero %v exits %d, want %d: nothing was found to differ", wrong, code, exitNotVerified)
		}
	}
	sh.enqueue()
	if stdout := sh.ok("verify"); !strings.Contains(stdout, "exact") {
		t.Errorf("verify says %q", stdout)
	}
	db := connectDatabase(t, database)
	if _, err := db.Exec(t.Context(), `INSERT INTO nexero.customer_touches (tenant_id, customer_id) VALUES (1, 'ann'), (1, 'ann'), (2, 'ann')`); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := sh.run("verify", "--wait", "1ms"); code != exitNotVerified || !strings.Contains(stderr, "0 sessions and 2 customers are still not rolled up") {
		t.Errorf("with customers that wait: exit %d, %q", code, stderr)
	}
	if stdout := sh.ok("verify", "--wait", "0"); !strings.Contains(stdout, "exact") {
		t.Errorf("without waiting: %q", stdout)
	}
	if _, err := db.Exec(t.Context(), "DELETE FROM nexero.customer_touches"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO nexero.damaged_messages (digest, reason, message) VALUES ('\x00', 'cut off', '\x00')`); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := sh.run("verify")
	if code != exitMismatch || !strings.Contains(stdout, "differs") || !strings.Contains(stderr, "1 differences") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	sh.enqueue(sealed(t))
	if _, stderr, code := sh.run("verify", "--wait", "1ms"); code != exitNotVerified || !strings.Contains(stderr, "still queued") {
		t.Errorf("with a message: exit %d, %q", code, stderr)
	}
}

func TestCommands_RefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: []string{"NEXERO_LISTN=:1"}}
	if _, stderr, code := sh.run("status"); code != 2 || !strings.Contains(stderr, "NEXERO_LISTEN") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, "see nexero --help"},
		{[]string{"verfy"}, "did you mean verify?"},
		{[]string{"queue", "stats"}, "did you mean status?"},
		{[]string{"keys", "fly"}, "see nexero keys --help"},
		{[]string{"replay"}, "usage: nexero replay FILE"},
		{[]string{"replay", "--fast", "file"}, "see nexero replay --help"},
		{[]string{"replay", "--copies", "0", "file"}, "copies"},
		{[]string{"simulate", "all"}, "nexero simulate"},
	} {
		if _, stderr, code := (&shell{t: t}).run(test.args...); code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("nexero %v: exit %d, %q, want %d and %q", test.args, code, stderr, exitUsage, test.want)
		}
	}
	for _, group := range []string{"keys", "queue"} {
		if stdout := (&shell{t: t}).ok(group); !strings.Contains(stdout, "Available Commands") {
			t.Errorf("nexero %s prints %q", group, stdout)
		}
	}
	if stdout := (&shell{t: t}).ok("--help"); !strings.Contains(stdout, "replay") {
		t.Errorf("help %q", stdout)
	}
}
