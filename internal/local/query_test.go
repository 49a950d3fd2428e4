package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// read asks the read API, with a key unless it is empty.
func read(t *testing.T, run RunFile, key, target string) (status int, answer map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, run.QueryURL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("X-Api-Key", key)
	}
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

// One address takes what headsets post and gives what became of it.
func TestUp_ReadsWhereItIsPosted(t *testing.T) {
	t.Parallel()
	run, stop := start(t, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_DATABASE_URL="+testkit.Database(t),
		"NEXERO_SERVICES=nats,ingest,worker,query"))
	if run.QueryURL == "" || run.QueryURL != run.URL {
		t.Errorf("post to %s, read from %s", run.URL, run.QueryURL)
	}
	if status, answer := post(t, run); status != http.StatusAccepted {
		t.Fatalf("answer %d %v", status, answer)
	}
	if status, answer := read(t, run, "", "/api/v1/rejections"); status != http.StatusUnauthorized { // rule 8
		t.Errorf("without a key: %d %v", status, answer)
	}
	if status, answer := read(t, run, "", "/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d %v", status, answer)
	}
	if status, answer := read(t, run, run.APIKey, "/api/v1/rejections"); status != http.StatusOK || answer["rejections"] == nil {
		t.Errorf("rejections: %d %v", status, answer)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		status, answer := read(t, run, run.APIKey, "/api/v1/sessions/7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8")
		if status == http.StatusOK {
			if answer["events"] != 1.0 || answer["entry_zone"] != "kitchen" {
				t.Errorf("the session: %v", answer)
			}
			if err := stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			return
		}
		if status != http.StatusNotFound {
			t.Fatalf("the session: %d %v", status, answer)
		}
		<-tick.C
	}
	t.Error("the session never appears")
}

// By itself the read API has an address and a key of its own.
func TestUp_QueryAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run, stop := start(t, settings(t, "NEXERO_DATA_DIR="+dir, "NEXERO_DATABASE_URL="+testkit.Database(t), "NEXERO_SERVICES=nats,query"))
	if run.URL != "" || run.QueryURL == "" {
		t.Errorf("post to %q, read from %q", run.URL, run.QueryURL)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 3000 { // a new key is known within a second
		status, answer := read(t, run, run.APIKey, "/api/v1/rejections")
		if status == http.StatusOK {
			break
		}
		if status != http.StatusUnauthorized {
			t.Fatalf("%d %v", status, answer)
		}
		<-tick.C
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	err := refused(t, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_SERVICES=nats,query"))
	if err == nil || !strings.Contains(err.Error(), "NEXERO_DATABASE_URL") {
		t.Errorf("without a database: %v", err)
	}
}

// On one address posts and reads have rates of their own, none is counted twice
// and none is left out. // rule 9
func TestUp_RatesOfPostsAndReads(t *testing.T) {
	t.Parallel()
	run, stop := start(t, settings(t, "NEXERO_DATA_DIR="+t.TempDir(), "NEXERO_DATABASE_URL="+testkit.Database(t),
		"NEXERO_SERVICES=nats,ingest,query", "NEXERO_HIGH_RATE_FACTOR=1", "NEXERO_RATE_BURST=300s",
		"NEXERO_ADDRESS_REQUESTS_PER_SECOND=1", "NEXERO_AUTH_FAILURES_PER_MINUTE=3"))
	if status, answer := post(t, run); status != http.StatusAccepted {
		t.Fatalf("answer %d %v", status, answer)
	}
	for i := range 300 {
		if status, answer := read(t, run, run.APIKey, "/api/v1/rejections"); status != http.StatusOK {
			t.Fatalf("read %d: %d %v", i, status, answer)
		}
	}
	waits := false
	for range 100 { // a few more may have come since
		status, answer := read(t, run, run.APIKey, "/api/v1/rejections")
		waits = waits || status == http.StatusTooManyRequests && answer["code"] == "address_request_rate"
	}
	if !waits {
		t.Error("400 reads pass where 300 may")
	}
	if status, answer := post(t, run); status != http.StatusAccepted {
		t.Errorf("a post after the reads: %d %v", status, answer)
	}
	for i := range 4 {
		status, answer := read(t, run, fmt.Sprint("a guess ", i), "/api/v1/rejections")
		if want := []int{401, 401, 401, 429}[i]; status != want {
			t.Errorf("wrong key %d: %d %v, want %d", i, status, answer, want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
