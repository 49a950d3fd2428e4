package front

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// A certificate that is renewed is served without a restart, and one that
// cannot be read changes nothing.
func TestCertificate_FollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, _ := testkit.Certificate(t, dir, 1)
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
	testkit.Certificate(t, dir, 2)
	now = now.Add(certificateInterval - 1)
	serves(1)
	now = now.Add(1)
	serves(2)
	testkit.WriteAgain(t, keyFile, []byte("half a k"))
	now = now.Add(certificateInterval)
	serves(2)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	now = now.Add(certificateInterval)
	serves(2)
	testkit.Certificate(t, dir, 3)
	now = now.Add(certificateInterval)
	serves(3)
}

func TestCertificate_WantsBothFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, _ := testkit.Certificate(t, dir, 1)
	otherCert, _, _ := testkit.Certificate(t, t.TempDir(), 2)
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
