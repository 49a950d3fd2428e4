package ingestd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// writeCertificate makes a certificate for 127.0.0.1 with a serial number and
// writes it and its key to dir.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	writeFile(t, certFile, certPEM)
	writeFile(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

// writeFile writes a file whose state differs from that of every other call,
// however coarse the file system's clock is.
func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	before, statErr := os.Stat(path)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if statErr != nil {
		return
	}
	later := before.ModTime().Add(time.Second)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}

// A certificate that is renewed is served without a restart, and one that
// cannot be read changes nothing.
func TestCertificate_FollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, _ := writeCertificate(t, dir, 1)
	now := time.Now()
	c, err := loadCertificate(certFile, keyFile, testkit.Logger(t), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	serves := func(serial int64) {
		t.Helper()
		got, err := c.get(&tls.ClientHelloInfo{})
		if err != nil || got.Leaf.SerialNumber.Int64() != serial {
			t.Errorf("certificate %v, %v, want %d", got.Leaf.SerialNumber, err, serial)
		}
	}
	serves(1)
	writeCertificate(t, dir, 2)
	now = now.Add(certificateInterval - 1)
	serves(1)
	now = now.Add(1)
	serves(2)
	writeFile(t, keyFile, []byte("half a k"))
	now = now.Add(certificateInterval)
	serves(2)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certificateInterval)
	serves(2)
	writeCertificate(t, dir, 3)
	now = now.Add(certificateInterval)
	serves(3)
}

func TestCertificate_WantsBothFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, _ := writeCertificate(t, dir, 1)
	otherCert, _, _ := writeCertificate(t, t.TempDir(), 2)
	for name, files := range map[string][2]string{
		"no certificate": {filepath.Join(dir, "nothing"), keyFile},
		"no key":         {certFile, filepath.Join(dir, "nothing")},
		"another's key":  {otherCert, keyFile},
		"swapped":        {keyFile, certFile},
	} {
		_, err := loadCertificate(files[0], files[1], testkit.Logger(t), time.Now)
		if err == nil || !strings.Contains(err.Error(), "TLS certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The edge serves TLS, nothing older than 1.2, and nothing else on its address.
// rule 8
func TestIngest_ServesTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := writeCertificate(t, t.TempDir(), 1)
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

// The key of the pipeline itself has the higher rates from the start.
func TestFavour(t *testing.T) {
	t.Parallel()
	i := startEdgeAt(t, testkit.NATS(t), "NEXERO_HIGH_RATE_KEYS=tool")
	if err := i.Favour("own"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(i.rates.HighKeys, " "); got != "tool own" {
		t.Errorf("keys with higher rates: %s", got)
	}
}
