package queryd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func settings(t *testing.T, nats, database string, env ...string) *config.Query {
	t.Helper()
	flags := pflag.NewFlagSet("query", pflag.ContinueOnError)
	if err := config.Register[config.Query](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Query](flags, append(env, "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database, "NEXERO_LISTEN=127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// running is a read API and what its Run returns.
type running struct {
	*Query

	testing.TB
	stop  context.CancelFunc
	ended chan error
}

func run(t *testing.T, cfg *config.Query) *running {
	t.Helper()
	q, err := New(t.Context(), cfg, testkit.Logger(t), prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Query: q, TB: t, stop: cancel, ended: make(chan error, 1)}
	go func() {
		err := q.Run(ctx)
		r.ended <- err
		close(r.ended)
	}()
	t.Cleanup(func() {
		cancel()
		for range r.ended { // until it has ended
		}
	})
	return r
}

func (r *running) await(what string, done func() bool) {
	r.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if done() {
			return
		}
		<-tick.C
	}
	r.Fatalf("waited in vain: %s", what)
}

func (r *running) awaitReady() {
	r.Helper()
	r.await("ready", func() bool {
		for _, check := range r.Checks() {
			if check.Ready() != nil {
				return false
			}
		}
		return true
	})
}

// key makes a key and puts it where the watcher looks.
func (r *running) key(tenant string, scopes ...apikey.Scope) (text string, record apikey.Record, bucket *apikey.Bucket) {
	r.Helper()
	kv, stream, err := r.conn.Keys(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	bucket = apikey.NewBucket(kv, stream)
	text, record, err = apikey.New(apikey.Spec{Tenant: tenant, Environment: "development", Scopes: scopes}, time.Now(), rand.Reader)
	if err := errors.Join(err, bucket.Put(r.Context(), record)); err != nil {
		r.Fatal(err)
	}
	return text, record, bucket
}

// get asks over a connection of its own.
func (r *running) get(key, target string) (status int, body map[string]any, err error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), http.MethodGet, "http://"+r.Addr()+target, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Api-Key", key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	return response.StatusCode, body, json.NewDecoder(response.Body).Decode(&body)
}

// code asks until the key is known, and returns what the answer says.
func (r *running) code(key, target string) (status int, code any) {
	r.Helper()
	r.await("the key", func() bool {
		got, body, err := r.get(key, target)
		if err != nil {
			r.Fatal(err)
		}
		status, code = got, body["code"]
		return code != "unknown_key" && code != "keys_unavailable"
	})
	return status, code
}

const oneRejection = `
INSERT INTO nexero.tenants (name) VALUES ('acme') ON CONFLICT DO NOTHING;
INSERT INTO nexero.tenants (name) VALUES ('other') ON CONFLICT DO NOTHING;
CREATE TABLE nexero.rejected_today PARTITION OF nexero.rejected_events FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
INSERT INTO nexero.rejected_events (received_at, batch_no, tenant_id, event_index, code, form, payload)
SELECT now(), 1, tenant_id, 0, 'invalid_text', 'sent', '{}' FROM nexero.tenants WHERE name = 'acme'`

func exec(t *testing.T, database, sql string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// Keys decide: what they may, whose data they see, and until when. // rule 8
func TestQuery_Keys(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	r := run(t, settings(t, nats, database))
	r.awaitReady()
	exec(t, database, oneRejection)
	rows := func(key string) int {
		if status, code := r.code(key, "/api/v1/rejections"); status != http.StatusOK {
			t.Fatalf("%d %v", status, code)
		}
		_, body, err := r.get(key, "/api/v1/rejections")
		if err != nil {
			t.Fatal(err)
		}
		list, _ := body["rejections"].([]any)
		return len(list)
	}
	acme, record, bucket := r.key("acme", apikey.ScopeRead)
	other, _, _ := r.key("other", apikey.ScopeRead, apikey.ScopePost)
	poster, _, _ := r.key("acme", apikey.ScopePost)
	if got := rows(acme); got != 1 {
		t.Errorf("the tenant has %d rejections, want 1", got)
	}
	if got := rows(other); got != 0 {
		t.Errorf("the other tenant has %d rejections, want 0", got)
	}
	if status, code := r.code(poster, "/api/v1/rejections"); status != http.StatusForbidden || code != "insufficient_scope" {
		t.Errorf("a key that may post: %d %v", status, code)
	}
	if status, code := r.code(acme, "/api/v1/sessions/nobodys"); status != http.StatusNotFound {
		t.Errorf("no such session: %d %v", status, code)
	}
	if _, err := bucket.Revoke(t.Context(), record.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	r.await("the end of the key", func() bool {
		status, body, err := r.get(acme, "/api/v1/rejections")
		return err == nil && status == http.StatusUnauthorized && body["code"] == "revoked_key"
	})
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

const (
	slowly = `ALTER TABLE nexero.rejected_events RENAME TO kept;
	          CREATE VIEW nexero.rejected_events AS SELECT k.* FROM nexero.kept k, pg_sleep(1)`
	reading = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexero-query' AND query LIKE '%rejected_events%' AND state = 'active' AND datname = current_database()`
)

// lock keeps all reads of rejections waiting until release.
func lock(t *testing.T, database string) (release func()) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "BEGIN; LOCK TABLE nexero.rejected_events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// load starts n reads and waits until all are at work.
func (r *running) load(database, key string, n int) (answers chan int) {
	r.Helper()
	answers = make(chan int, n)
	for range n {
		go func() {
			status, _, err := r.get(key, "/api/v1/rejections")
			if err != nil {
				status = 0 // cut off
			}
			answers <- status
		}()
	}
	db, err := pgx.Connect(r.Context(), database)
	if err != nil {
		r.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(r.Context()))
	r.await("the reads", func() bool {
		var busy int
		if err := db.QueryRow(r.Context(), reading).Scan(&busy); err != nil {
			r.Fatal(err)
		}
		return busy == n
	})
	return answers
}

// A stop answers who was let in, and lets nobody in any more. // rule 10
func TestQuery_StopsUnderLoad(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	r := run(t, settings(t, nats, database, "NEXERO_READ_MAX_CONNS=4",
		"NEXERO_READ_STATEMENT_TIMEOUT=1m", "NEXERO_READ_REQUEST_TIMEOUT=1m"))
	r.awaitReady()
	exec(t, database, oneRejection)
	key, _, _ := r.key("acme", apikey.ScopeRead)
	if status, code := r.code(key, "/api/v1/rejections"); status != http.StatusOK {
		t.Fatalf("%d %v", status, code)
	}
	release := lock(t, database)
	answers := r.load(database, key, 4)
	begun := time.Now()
	r.stop()
	r.await("the stop to begin", func() bool { return r.server.Accepting() != nil })
	release()
	for range 4 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("a read under way is answered %d", status)
		}
	}
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(begun); took > r.StopDeadline() {
		t.Errorf("the stop took %s of %s", took, r.StopDeadline())
	}
	if _, _, err := r.get(key, "/livez"); err == nil {
		t.Error("a stopped server answers")
	}
}

// Reads that outlast the drain are cut off, and the stop says so. // rule 10
func TestQuery_CutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	cfg := settings(t, nats, database, "NEXERO_READ_STATEMENT_TIMEOUT=1m", "NEXERO_READ_REQUEST_TIMEOUT=1m")
	cfg.Process.DrainTimeout = 50 * time.Millisecond
	r := run(t, cfg)
	r.awaitReady()
	exec(t, database, oneRejection)
	key, _, _ := r.key("acme", apikey.ScopeRead)
	if status, code := r.code(key, "/api/v1/rejections"); status != http.StatusOK {
		t.Fatalf("%d %v", status, code)
	}
	exec(t, database, strings.Replace(slowly, "pg_sleep(1)", "pg_sleep(60)", 1))
	answers := r.load(database, key, 2)
	r.stop()
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "requests cut off") {
		t.Errorf("Run: %v", err)
	}
	for range 2 {
		if status := <-answers; status == http.StatusOK {
			t.Errorf("a read of a minute is answered %d", status)
		}
	}
}

// A database that is away keeps nobody from starting: clients are told to come
// again.
func TestQuery_StartsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	r := run(t, settings(t, testkit.NATS(t), "postgres://nobody:hidden@127.0.0.1:1/nowhere"))
	key, _, _ := r.key("acme", apikey.ScopeRead)
	status, code := r.code(key, "/api/v1/sessions/tour")
	if status != http.StatusServiceUnavailable || code != "database_unavailable" {
		t.Errorf("%d %v", status, code)
	}
	for _, check := range r.Checks() {
		if err := check.Ready(); (err != nil) != (check.Name == "database") {
			t.Errorf("%s: %v", check.Name, err)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Another schema ends it, and says what to run.
func TestQuery_RefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	r := run(t, settings(t, testkit.NATS(t), testkit.EmptyDatabase(t)))
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "nexero migrate") {
		t.Errorf("Run: %v", err)
	}
}

func TestNew_GivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	cfg := settings(t, "nats://127.0.0.1:1", "postgres://nobody@127.0.0.1:1/nowhere")
	if _, err := New(ctx, cfg, testkit.Logger(t), prometheus.NewRegistry(), nil); err == nil {
		t.Error("a queue that is away is found")
	}
	cfg = settings(t, testkit.NATS(t), "postgres://nobody@127.0.0.1:1/nowhere")
	cfg.Front.Listen = "192.0.2.1:1" // nobody's
	if _, err := New(t.Context(), cfg, testkit.Logger(t), prometheus.NewRegistry(), nil); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("an address of another machine: %v", err)
	}
}

// Posting without a key is one thing, reading another. // rule 8
func TestOptions_AnonymousRead(t *testing.T) {
	t.Parallel()
	cfg := settings(t, "nats://queue", "postgres://db/nexero", "NEXERO_ANONYMOUS_TENANT=demo")
	if got := optionsOf(cfg).AnonymousTenant; got != "" {
		t.Errorf("without the second switch whoever comes reads %s", got)
	}
	cfg.Reading.AnonymousRead = true
	if got := optionsOf(cfg).AnonymousTenant; got != "demo" {
		t.Errorf("with it, %q", got)
	}
}
