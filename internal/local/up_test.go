package local

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// settings are the defaults, changed by env. A stop takes the queue with it at
// once, which may cost a message that a worker is giving back: then it comes
// again after the ack wait, here a short one.
func settings(t *testing.T, env ...string) *config.Up {
	t.Helper()
	flags := pflag.NewFlagSet("up", pflag.ContinueOnError)
	if err := config.Register[config.Up](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Up](flags, append(env, "NEXERO_LISTEN=127.0.0.1:0", "NEXERO_METRICS_LISTEN=127.0.0.1:0",
		"NEXERO_QUEUE_ACK_WAIT=5s", "NEXERO_LOAD_TIMEOUT=4s", "NEXERO_DATABASE_STATEMENT_TIMEOUT=3s",
		"NEXERO_DATABASE_LOCK_TIMEOUT=2s", "NEXERO_DATABASE_IDLE_TIMEOUT=4s"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs Up and returns what it says of itself and how to stop it.
func start(t *testing.T, cfg *config.Up) (run RunFile, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan RunFile, 1), make(chan error, 1)
	go func() {
		ended <- Up(ctx, cfg, testkit.Logger(t), Options{Ready: func(_ context.Context, run RunFile) { ready <- run }})
	}()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case run = <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("Up ended before it was ready: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("Up is never ready")
	}
	return run, stop
}

func post(t *testing.T, run RunFile) (status int, answer map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, run.URL+"/api/v1/unreal/tracking/batch", strings.NewReader(oneEvent))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", run.APIKey)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// refused runs what is not meant to become ready and returns why it does not.
func refused(t *testing.T, cfg *config.Up) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return Up(ctx, cfg, testkit.Logger(t), Options{Ready: func(context.Context, RunFile) { cancel() }})
}

const oneEvent = `{"session_id":"7AFF2D5C4FDBFA8B8A9FDAA1EFA98CE8","events":[{"event_type":"zone_enter","timestamp":1763800000.25,"zone_name":"kitchen"}]}`

// The whole pipeline on somebody else's database, then again on the same data
// directory: the same key, the same store.
//
// rule 2, rule 10
func TestUp_KeepsWhatItHas(t *testing.T) {
	t.Parallel()
	dir, database := t.TempDir(), testkit.Database(t)
	cfg := func() *config.Up {
		return settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_DATABASE_URL="+database, "NEXERO_SERVICES=nats,ingest,worker")
	}
	first, stop := start(t, cfg())
	if status, answer := post(t, first); status != http.StatusAccepted || answer["processed"] != 1.0 {
		t.Fatalf("answer %d %v", status, answer)
	}
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, runFileName)); err == nil {
		t.Error("the run file is left behind")
	}
	second, stop := start(t, cfg())
	if second.APIKey != first.APIKey {
		t.Error("a restart made another key")
	}
	if status, _ := post(t, second); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	awaitEvents(t, database, 1)
	metrics := scrape(t, second.MetricsURL)
	for _, name := range []string{"nexero_build_info", `service="ingest"`, `service="worker"`} {
		if !strings.Contains(metrics, name) {
			t.Errorf("metrics lack %s", name)
		}
	}
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

func TestUp_OneProcessADataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, _ = start(t, settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_SERVICES=nats"))
	err := refused(t, settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_SERVICES=nats"))
	if err == nil || !strings.Contains(err.Error(), "is used by another process") {
		t.Errorf("error %v", err)
	}
}

func TestUp_SaysWhatAServiceNeeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ services, env, want string }{
		{"ingest", "", "ingest needs NEXERO_NATS_URL"},
		{"worker", "", "worker needs NEXERO_NATS_URL"},
		{"worker,nats", "", "worker needs NEXERO_DATABASE_URL"},
	} {
		t.Run(test.services, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES="+test.services)
			err := refused(t, cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// rule 8
func TestUp_GivenKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, stop := start(t, settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_SERVICES=nats,ingest"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	given, _ := start(t, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES=nats,ingest", "NEXERO_API_KEY="+made.APIKey))
	if status, answer := post(t, given); status != http.StatusAccepted {
		t.Errorf("answer %d %v", status, answer)
	}
	given.APIKey = ""
	if status, _ := post(t, given); status != http.StatusUnauthorized {
		t.Errorf("without a key: status %d, want 401", status)
	}
	err := refused(t, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES=nats,ingest", "NEXERO_API_KEY=secret-nonsense"))
	if err == nil || strings.Contains(err.Error(), "secret-nonsense") {
		t.Errorf("error %v, want one without the key", err)
	}
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := io.Copy(&text, response.Body); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// awaitEvents waits until the ledger knows the batch and its repeat, and checks
// that n events are stored.
func awaitEvents(t *testing.T, database string, n int) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		var events, repeats int
		err := db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM nexero.events), (SELECT count(*) FROM nexero.batch_repeats)`).Scan(&events, &repeats)
		if err != nil {
			t.Fatal(err)
		}
		if repeats == 1 {
			if events != n {
				t.Errorf("%d events, want %d", events, n)
			}
			return
		}
		<-tick.C
	}
	t.Error("the repeat does not arrive")
}

// rule 6: neither a first start nor a restart of intake needs the database.
func TestUp_IntakeStartsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		run, stop := start(t, settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_SERVICES=nats,ingest",
			"NEXERO_DATABASE_URL=postgres://nobody:hidden@127.0.0.1:1/nowhere"))
		if status, answer := post(t, run); status != http.StatusAccepted {
			t.Errorf("answer %d %v", status, answer)
		}
		if err := stop(); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
}

// A queue that was lost does not know that the key was revoked; the database does.
//
// rule 8
func TestUp_RevokedKeyIsNotRevived(t *testing.T) {
	t.Parallel()
	dir, database := t.TempDir(), testkit.Database(t)
	cfg := func() *config.Up {
		return settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_DATABASE_URL="+database, "NEXERO_SERVICES=nats,ingest")
	}
	_, stop := start(t, cfg())
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	if tag, err := db.Exec(t.Context(), `UPDATE nexero.api_keys SET revoked_at = now()`); err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("revoke in the mirror: %v, %v", tag, err)
	}
	if err := os.Rename(filepath.Join(dir, "nats"), filepath.Join(dir, "nats-lost")); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, cfg()); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("error %v, want one that says that the key was revoked", err)
	}
}
