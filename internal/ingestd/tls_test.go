package ingestd

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// The edge serves TLS, nothing older than 1.2, and nothing else on its address.
// rule 8
func TestIngest_ServesTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := testkit.Certificate(t, t.TempDir(), 1)
	i := startEdgeAt(t, testkit.NATS(t), "NEXERO_TLS_CERT_FILE="+certFile, "NEXERO_TLS_KEY_FILE="+keyFile)
	if !strings.HasPrefix(i.URL(), "https://127.0.0.1:") {
		t.Errorf("the address is %s", i.URL())
	}
	client := func(most uint16) *http.Client {
		return &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: most}, //nolint:gosec // old on purpose
		}}
	}
	get := func(client *http.Client, url string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/livez", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return response, err
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		response, err := get(client(version), i.URL()) //nolint:bodyclose // get closes it
		if err != nil {
			t.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		if response.StatusCode != http.StatusOK || response.ProtoMajor != 1 || response.TLS.Version != version {
			t.Errorf("%s: answered %s %d", tls.VersionName(version), response.Proto, response.StatusCode)
		}
		if response.Header.Get("Strict-Transport-Security") == "" {
			t.Error("browsers are not told to insist on TLS")
		}
	}
	if _, err := get(client(tls.VersionTLS11), i.URL()); err == nil { //nolint:bodyclose // get closes it
		t.Error("TLS 1.1 is served")
	}
	plain, err := get(client(tls.VersionTLS13), "http://"+i.Addr()) //nolint:bodyclose // get closes it
	if err == nil && plain.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS it is answered %d", plain.StatusCode)
	}
}
