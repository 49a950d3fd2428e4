package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// post decodes bodies as the edge does and loads them as a worker does. It
// returns the batches' ids.
func post(t *testing.T, store *postgres.Store, tenant string, at time.Time, bodies ...string) (ids []string, messages [][]byte) {
	t.Helper()
	decoder := unreal.NewDecoder(event.DefaultLimits(), nil)
	for i, body := range bodies {
		var b event.Batch
		err := decoder.Batch(&unreal.Request{
			Tenant: tenant, Endpoint: unreal.EndpointBatch, Body: body, ReceivedAt: event.MicrosOf(at),
			ReceiptID: event.NameUUID(t.Name(), tenant, strconv.Itoa(i), at.String()), CorrelationID: "corr-1",
		}, &b)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := envelope.AppendBatch(nil, &b)
		if err != nil {
			t.Fatal(err)
		}
		var message envelope.Builder
		message.Add(encoded)
		sealed := message.Seal()
		batches, err := envelope.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if store != nil {
			if _, err := store.Load(t.Context(), batches); err != nil {
				t.Fatal(err)
			}
		}
		ids, messages = append(ids, b.ID.String()), append(messages, sealed)
	}
	return ids, messages
}

func openStore(t *testing.T, database string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{URL: database}, testkit.Logger(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// rule 5, rule 8: what was rejected is listed, shown without secrets, and
// replayed by the rules of the edge.
func TestRejected(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	store := openStore(t, database)
	// The batch came two hours ago, with an event an hour in its future.
	now := time.Now().UTC().Truncate(time.Second)
	came := now.Add(-2 * time.Hour)
	event := func(at time.Time, more string) string {
		return fmt.Sprintf(`{"event_type":"cta","timestamp":%d%s}`, at.Unix(), more)
	}
	const key = "nxr_prod_abcdefghjk_0123456789abcdefghjkmnpqrstvwxyz0123456789abcd"
	ids, _ := post(t, store, "acme", came,
		`{"session_id":"tour-1","events":[`+event(came, "")+`,`+event(came.Add(time.Hour), "")+`,`+event(came.Add(9*time.Hour), `,"note":"`+key+`"`)+`]}`,
		// Nothing of it was accepted: only the batch says whose it was.
		`{"session_id":"tour-2","events":[`+event(came.Add(90*time.Minute), "")+`]}`)
	post(t, store, "zenith", came, `{"session_id":"z","events":[`+event(came.Add(time.Hour), "")+`,5]}`)

	sh.env = append(sh.env, "NEXERO_EVENT_RETENTION=800d") // the setting of workers that goes with it is not its business
	list := sh.ok("rejected", "list")
	if n := strings.Count(list, "timestamp_in_future"); n != 4 || strings.Count(list, "\n") != 6 {
		t.Errorf("list:\n%s", list)
	}
	for args, want := range map[string]int{
		"--tenant acme": 3, "--code not_an_object": 1, "--tenant acme --session tour-2": 1, "--since 1h": 5,
		"--since " + now.Add(time.Hour).Format(time.RFC3339): 0, "--tenant nobody": 0,
	} {
		if got := strings.Count(sh.ok(append([]string{"rejected", "list"}, strings.Fields(args)...)...), "\n") - 1; got != want {
			t.Errorf("list %s: %d events, want %d", args, got, want)
		}
	}
	// Page by page, every one comes once.
	var pages strings.Builder
	after := []string{}
	for range 3 {
		stdout, stderr, code := sh.run(append([]string{"rejected", "list", "--limit", "2"}, after...)...)
		if code != 0 {
			t.Fatalf("list exits %d: %s", code, stderr)
		}
		pages.WriteString(stdout[strings.Index(stdout, "\n")+1:])
		if _, place, more := strings.Cut(strings.TrimSpace(stderr), "--after "); more {
			after = []string{"--after", place}
		}
	}
	if n := strings.Count(pages.String(), "\n"); n != 5 {
		t.Errorf("pages have %d lines:\n%s", n, pages.String())
	}

	show := sh.ok("rejected", "show", ids[0]+"/2")
	for _, part := range []string{"tour-1", "timestamp_in_future", "corr-1", `"event_type":"cta"`, "nxr_prod_abcdefghjk_***"} {
		if !strings.Contains(show, part) {
			t.Errorf("show lacks %q:\n%s", part, show)
		}
	}
	if strings.Contains(show, "0123456789abc") || strings.Count(sh.ok("rejected", "show", ids[0]), "event  ") != 2 {
		t.Errorf("show:\n%s", show)
	}

	const stored = "SELECT count(*) FROM nexero.events"
	dry := sh.ok("rejected", "replay", "--all", "--dry-run")
	if !strings.Contains(dry, "dry run, nothing was changed: 3 of 5 events of 3 batches would be stored") {
		t.Errorf("dry run:\n%s", dry)
	}
	wantNumber(t, database, stored, 1)
	if said := sh.ok("rejected", "replay", ids[0]+"/1"); !strings.Contains(said, "1 of 1 events of 1 batches stored") {
		t.Errorf("replay of one:\n%s", said)
	}
	wantNumber(t, database, stored, 2)
	if said := sh.ok("rejected", "replay", "--tenant", "acme"); !strings.Contains(said, "1 of 2 events of 2 batches stored") {
		t.Errorf("replay of a tenant's:\n%s", said)
	}
	if said := sh.ok("rejected", "replay", "--code", "not_an_object"); !strings.Contains(said, "0 of 1 events of 1 batches stored") {
		t.Errorf("replay by reason:\n%s", said)
	}
	sh.ok("rejected", "replay", "--since", "1h")
	sh.ok("rejected", "replay", "--all")
	wantNumber(t, database, stored, 4)
	wantNumber(t, database, "SELECT count(*) FROM nexero.rejected_events", 2)
	wantNumber(t, database, "SELECT count(*) FROM nexero.events JOIN nexero.sessions USING (session_no) WHERE client_id = 'tour-2'", 1)
	if v, err := store.Verify(t.Context()); err != nil || !v.Exact() {
		t.Errorf("verify: %v, %v", v.Named, err)
	}

	// Nothing to do is said, and is no failure unless it was named.
	for args, want := range map[string]string{
		"--tenant nobody":                       "nothing is rejected with --tenant nobody: nothing was done",
		"--code batch_id_reused --tenant acme":  "nothing is rejected with --tenant acme --code batch_id_reused: nothing was done",
		"--all --since 1ns":                     "nothing is rejected with --since 1ns: nothing was done",
		"--tenant nobody --dry-run --since 10h": "nothing is rejected with --tenant nobody --since 10h: nothing was done",
		"--damaged":                             "no message is damaged: nothing was done",
		"--damaged --dry-run":                   "no message is damaged: nothing was done",
	} {
		if said := sh.ok(append([]string{"rejected", "replay"}, strings.Fields(args)...)...); said != want+"\n" {
			t.Errorf("replay %s: %q, want %q", args, said, want)
		}
	}
	for _, missing := range []string{ids[0] + "/1", "00000000-0000-4000-8000-000000000000", ids[0] + " --code not_an_object"} {
		stdout, stderr, code := sh.run(append([]string{"rejected", "replay"}, strings.Fields(missing)...)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "nothing of "+strings.Fields(missing)[0]+" is rejected") {
			t.Errorf("replay %s: exit %d, %q, %q", missing, code, stdout, stderr)
		}
	}

	for _, wrong := range [][]string{
		{"rejected", "replay"},
		{"rejected", "replay", "x"},
		{"rejected", "replay", ids[0] + "/-2"},
		{"rejected", "show", "00000000-0000-0000-0000-000000000000/1"},
		{"rejected", "list", "--code", "no_such"},
		{"rejected", "list", "--since", "yesterday"},
		{"rejected", "list", "--after", "1.2"},
		{"rejected", "list", "--session", "tour-1"},
		{"rejected", "list", "--limit", "0"},
	} {
		if _, stderr, code := sh.run(wrong...); code != exitUsage || stderr == "" {
			t.Errorf("nexero %v exits %d and says %q", wrong, code, stderr)
		}
	}
	if _, stderr, code := sh.run("rejected", "show", ids[0]+"/1"); code != 1 || !strings.Contains(stderr, "nothing of") {
		t.Errorf("show of what is stored: exit %d, %q", code, stderr)
	}
}

// The settings of the edge decide, and not only its code.
func TestRejected_ReplayByTheEdgesSettings(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	now := time.Now()
	ids, _ := post(t, openStore(t, database), "acme", now.Add(-time.Hour),
		fmt.Sprintf(`{"session_id":"s","events":[{"event_type":"dance","timestamp":%d}]}`, now.Add(-30*time.Minute).Unix()))
	said := sh.ok("rejected", "replay", ids[0], "--strict-tenants", "acme,zenith")
	if !strings.Contains(said, "unknown_event_type") || !strings.Contains(said, "0 of 1") {
		t.Errorf("a strict tenant's: %q", said)
	}
	if said := sh.ok("rejected", "replay", ids[0]); !strings.Contains(said, "1 of 1") {
		t.Errorf("when it is strict no more: %q", said)
	}
}

func TestRejected_Damaged(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	sh := newShell(t, database)
	now := time.Now()
	_, messages := post(t, nil, "acme", now, fmt.Sprintf(`{"session_id":"s","events":[{"event_type":"cta","timestamp":%d}]}`, now.Unix()))
	store := openStore(t, database)
	for _, message := range [][]byte{messages[0], []byte("rubbish")} {
		if err := store.KeepDamaged(t.Context(), message, "not read by an older version"); err != nil {
			t.Fatal(err)
		}
	}
	if list := sh.ok("rejected", "list", "--damaged"); strings.Count(list, "not read by an older version") != 2 {
		t.Errorf("list:\n%s", list)
	}
	sh.ok("rejected", "replay", "--damaged", "--dry-run")
	stdout, stderr, code := sh.run("rejected", "replay", "--damaged")
	if code != 1 || !strings.Contains(stdout, "1 events of 1 batches stored") || !strings.Contains(stderr, "still damaged") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	wantNumber(t, database, "SELECT count(*) FROM nexero.events", 1)
	wantNumber(t, database, "SELECT count(*) FROM nexero.damaged_messages", 1)

	// What is too old is refused, until somebody asks for it, and then is not counted.
	came := now.AddDate(0, 0, -40)
	_, old := post(t, nil, "acme", came, fmt.Sprintf(`{"session_id":"s","events":[{"event_type":"cta","timestamp":%d}]}`, came.Unix()))
	if err := store.KeepDamaged(t.Context(), old[0], "not read by an older version"); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := sh.run("rejected", "replay", "--damaged"); code != 1 || !strings.Contains(stderr, "too old to be checked") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if stdout, _, code := sh.run("rejected", "replay", "--damaged", "--set-aside-too-old"); code != 1 || !strings.Contains(stdout, "0 events of 0 batches stored, 0 batches were there already, 1 set aside") {
		t.Errorf("exit %d, %q", code, stdout)
	}
	wantNumber(t, database, "SELECT count(*) FROM nexero.events", 1)
	wantNumber(t, database, "SELECT count(*) FROM nexero.rejected_events", 1)
	wantNumber(t, database, "SELECT count(*) FROM nexero.damaged_messages", 1)
	if _, stderr, code := sh.run("rejected", "replay", "--all", "--set-aside-too-old"); code != exitUsage || !strings.Contains(stderr, "needs --damaged") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func wantNumber(t *testing.T, database, query string, want int) {
	t.Helper()
	var got int
	if err := connectDatabase(t, database).QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
		t.Errorf("%s: %d, %v, want %d", query, got, err, want)
	}
}
