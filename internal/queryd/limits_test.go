package queryd

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/query"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// The settings' defaults are written down twice, since config knows no stage:
// here they meet.
func TestOptions_DefaultsAreTheDesigns(t *testing.T) {
	t.Parallel()
	options := optionsOf(settings(t, "nats://queue", "postgres://db/nexero"))
	design := query.DefaultOptions()
	if options.MaxInFlight != design.MaxInFlight || options.RequestTimeout != design.RequestTimeout {
		t.Errorf("%d reads at once, %s each", options.MaxInFlight, options.RequestTimeout)
	}
	if diff := cmp.Diff(design.Rates, options.Rates); diff != "" {
		t.Errorf("rates (-design +settings):\n%s", diff)
	}
	if diff := cmp.Diff(design.Exposure, options.Exposure); diff != "" {
		t.Errorf("exposure (-design +settings):\n%s", diff)
	}
}

// Settings of rates reach the address: who asks too often is told when to come
// again, one key favoured or not. // rule 9
func TestQuery_Rates(t *testing.T) {
	t.Parallel()
	r := run(t, settings(t, testkit.NATS(t), testkit.Database(t),
		"NEXERO_ADDRESS_REQUESTS_PER_SECOND=1", "NEXERO_RATE_BURST=300s", "NEXERO_HIGH_RATE_FACTOR=100000"))
	r.awaitReady()
	key, _, _ := r.key("acme", apikey.ScopeRead)
	own, record, _ := r.key("acme", apikey.ScopeRead)
	if err := r.Favour(record.ID); err != nil {
		t.Fatal(err)
	}
	if status, code := r.code(own, "/api/v1/sessions/nobodys"); status != http.StatusNotFound {
		t.Fatalf("%d %v", status, code)
	}
	refused := 0
	for range 400 {
		status, body, err := r.get(key, "/api/v1/sessions/nobodys")
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusTooManyRequests && body["code"] == "address_request_rate" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("400 requests pass where 300 may")
	}
	for range 400 {
		if status, body, err := r.get(own, "/api/v1/sessions/nobodys"); err != nil || status != http.StatusNotFound {
			t.Fatalf("the favoured key: %d %v, %v", status, body, err)
		}
	}
}

// rule 9
func TestQuery_LimitsConnections(t *testing.T) {
	t.Parallel()
	r := run(t, settings(t, testkit.NATS(t), testkit.Database(t), "NEXERO_MAX_CONNECTIONS=2", "NEXERO_MAX_CONNECTIONS_PER_ADDRESS=2"))
	r.awaitReady()
	ask := func() string {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	for i, want := range []string{"HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"} {
		if got := ask(); got != want {
			t.Errorf("connection %d: %s, want %s", i+1, got, want)
		}
	}
}

// The read API serves TLS, follows its files, and tells browsers to insist.
// rule 8
func TestQuery_ServesTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := testkit.Certificate(t, t.TempDir(), 1)
	r := run(t, settings(t, testkit.NATS(t), testkit.Database(t), "NEXERO_TLS_CERT_FILE="+certFile, "NEXERO_TLS_KEY_FILE="+keyFile))
	if !strings.HasPrefix(r.URL(), "https://127.0.0.1:") {
		t.Errorf("the address is %s", r.URL())
	}
	get := func(most uint16) (*http.Response, error) {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: most}, //nolint:gosec // old on purpose
		}}
		request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, r.URL()+"/livez", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return response, err
	}
	response, err := get(tls.VersionTLS13) //nolint:bodyclose // get closes it
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("answered %d with %v", response.StatusCode, response.Header)
	}
	if _, err := get(tls.VersionTLS11); err == nil { //nolint:bodyclose // get closes it
		t.Error("TLS 1.1 is served")
	}
}
