package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoad_Exposure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		err  string
	}{
		{"defaults", nil, ""},
		{"defaults in production", []string{"NEXERO_ENVIRONMENT=production"}, ""},
		{"origins", []string{"NEXERO_CORS_ORIGINS=https://a.example.com, http://localhost:3000"}, ""},
		{"origin with a path", []string{"NEXERO_CORS_ORIGINS=https://a.example.com/"}, "is no origin"},
		{"origin without a scheme", []string{"NEXERO_CORS_ORIGINS=a.example.com"}, "is no origin"},
		{"origin in capitals", []string{"NEXERO_CORS_ORIGINS=https://A.example.com"}, "is no origin"},
		{"origin with a pattern", []string{"NEXERO_CORS_ORIGINS=https://*.example.com"}, "is no origin"},
		{"origin with a user", []string{"NEXERO_CORS_ORIGINS=https://u@example.com"}, "is no origin"},
		{"origin of a file", []string{"NEXERO_CORS_ORIGINS=null"}, "is no origin"},
		{"one bad origin of two", []string{"NEXERO_CORS_ORIGINS=https://a.example.com,b"}, `"b" is no origin`},
		{"any origin", []string{"NEXERO_CORS_ORIGINS=*"}, ""},
		{"any origin with credentials", []string{"NEXERO_CORS_ORIGINS=*", "NEXERO_CORS_CREDENTIALS=true"}, "NEXERO_CORS_CREDENTIALS"},
		{"any origin among others, with credentials", []string{"NEXERO_CORS_ORIGINS=https://a.example.com,*", "NEXERO_CORS_CREDENTIALS=true"}, "cors_origins"},
		{"listed origin with credentials", []string{"NEXERO_CORS_ORIGINS=https://a.example.com", "NEXERO_CORS_CREDENTIALS=true"}, ""},
		{"any origin in production", []string{"NEXERO_CORS_ORIGINS=*", "NEXERO_ENVIRONMENT=production"}, "cors_origins"},
		{"proxies", []string{"NEXERO_TRUSTED_PROXIES=10.0.0.7, 10.1.0.0/24,2001:db8::/32"}, ""},
		{"proxy by name", []string{"NEXERO_TRUSTED_PROXIES=caddy"}, "is no address or network"},
		{"proxy with bits beside its mask", []string{"NEXERO_TRUSTED_PROXIES=10.0.0.7/24"}, "did you mean 10.0.0.0/24?"},
		{"everybody is a proxy", []string{"NEXERO_TRUSTED_PROXIES=0.0.0.0/0"}, "is everybody"},
		{"everybody with IPv6 is a proxy", []string{"NEXERO_TRUSTED_PROXIES=::/0"}, "is everybody"},
		{"certificate without key", []string{"NEXERO_TLS_CERT_FILE=a.pem"}, "needed together"},
		{"key without certificate", []string{"NEXERO_TLS_KEY_FILE=a.pem"}, "needed together"},
		{"key in place of its file", []string{"NEXERO_TLS_KEY_FILE=-----BEGIN PRIVATE KEY-----"}, "is no path"},
		{"anonymous", []string{"NEXERO_ANONYMOUS_TENANT=open"}, ""},
		{"anonymous in staging", []string{"NEXERO_ANONYMOUS_TENANT=open", "NEXERO_ENVIRONMENT=staging"}, ""},
		{"anonymous in production", []string{"NEXERO_ANONYMOUS_TENANT=open", "NEXERO_ENVIRONMENT=production"}, "NEXERO_ANONYMOUS_IN_PRODUCTION"},
		{"anonymous in production, twice meant", []string{
			"NEXERO_ANONYMOUS_TENANT=open", "NEXERO_ENVIRONMENT=production", "NEXERO_ANONYMOUS_IN_PRODUCTION=true",
		}, ""},
		{"more for an address than for all", []string{"NEXERO_MAX_CONNECTIONS=100"}, "max_connections_per_address"},
		{"no connections", []string{"NEXERO_MAX_CONNECTIONS=0"}, "max_connections"},
		{"tiny header", []string{"NEXERO_MAX_HEADER_BYTES=100"}, "max_header_bytes"},
		{"no idle time", []string{"NEXERO_IDLE_TIMEOUT=0s"}, "idle_timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, program := range []func() error{
				func() error { _, err := load[Ingest](t, nil, append(test.env, natsEnv)); return err },
				func() error { _, err := load[Up](t, []string{"--data-dir=/tmp/x"}, test.env); return err },
			} {
				if err := program(); (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("Load: %v, want %q", err, test.err)
				}
			}
		})
	}
}

// What is read is printed in a form that can be read again.
func TestExposure_Lists(t *testing.T) {
	t.Parallel()
	got, err := load[Ingest](t, []string{"--cors-origins=https://a.example.com,http://b:1", "--trusted-proxies=10.0.0.7,10.1.0.0/24"}, []string{natsEnv})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Origins{"https://a.example.com", "http://b:1"}, got.Exposure.CORSOrigins); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	want := Networks{netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("10.1.0.0/24")}
	if diff := cmp.Diff(want.String(), got.Exposure.TrustedProxies.String()); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	var printed strings.Builder
	if err := Print(&printed, got); err != nil {
		t.Fatal(err)
	}
	again, err := load[Ingest](t, []string{"--config=" + writeFile(t, printed.String())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.Exposure.TrustedProxies.String() != want.String() || again.Exposure.CORSOrigins.String() != "https://a.example.com,http://b:1" {
		t.Errorf("read again: %v", again.Exposure)
	}
}

func TestLoad_Rates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		err  string
	}{
		{"higher", []string{"NEXERO_KEY_REQUESTS_PER_SECOND=5000", "NEXERO_ADDRESS_REQUESTS_PER_SECOND=5000"}, ""},
		{"none", []string{"NEXERO_KEY_REQUESTS_PER_SECOND=0"}, "key_requests_per_second"},
		{"more for an address than for all", []string{"NEXERO_KEY_REQUESTS_PER_SECOND=10"}, "NEXERO_ADDRESS_REQUESTS_PER_SECOND"},
		{"more bytes for an address than for all", []string{"NEXERO_KEY_BYTES_PER_SECOND=1MiB"}, "NEXERO_ADDRESS_BYTES_PER_SECOND"},
		{"less than a body", []string{"NEXERO_ADDRESS_BYTES_PER_SECOND=100KiB"}, "max_inflated_bytes"},
		{"no failures", []string{"NEXERO_AUTH_FAILURES_PER_MINUTE=0"}, "auth_failures_per_minute"},
		{"no burst", []string{"NEXERO_RATE_BURST=0s"}, "rate_burst"},
		{"too much to count", []string{"NEXERO_KEY_BYTES_PER_SECOND=1TiB", "NEXERO_RATE_BURST=5m", "NEXERO_HIGH_RATE_FACTOR=100000"}, "high_rate_factor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := load[Ingest](t, nil, append(test.env, natsEnv))
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("Load: %v, want %q", err, test.err)
			}
		})
	}
}
