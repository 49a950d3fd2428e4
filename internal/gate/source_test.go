package gate

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// A client is who connects, or whom a proxy of ours names. Whatever else a
// client writes about itself changes nothing. // rule 9
func TestSource(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		proxies   []netip.Prefix
		peer      string
		forwarded []string
		want      string
	}{
		"no proxies":                   {nil, "203.0.113.7:1", nil, "203.0.113.7/32"},
		"no proxies, header":           {nil, "203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7/32"},
		"private peer is no proxy":     {nil, "10.0.0.1:1", []string{"198.51.100.1"}, "10.0.0.1/32"},
		"loopback peer is no proxy":    {nil, "127.0.0.1:1", []string{"198.51.100.1"}, "127.0.0.1/32"},
		"proxy":                        {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1/32"},
		"proxy without header":         {prefixes("10.0.0.0/24"), "10.0.0.1:1", nil, "10.0.0.1/32"},
		"another peer":                 {prefixes("10.0.0.0/24"), "10.0.1.1:1", []string{"198.51.100.1"}, "10.0.1.1/32"},
		"client wrote a list":          {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"192.0.2.1, 192.0.2.2, 198.51.100.1"}, "198.51.100.1/32"},
		"client wrote a header":        {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"192.0.2.1", "198.51.100.1"}, "198.51.100.1/32"},
		"client wrote rubbish":         {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"rubbish, 198.51.100.1"}, "198.51.100.1/32"},
		"client claims to be a proxy":  {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"10.0.0.9, 198.51.100.1"}, "198.51.100.1/32"},
		"two proxies":                  {prefixes("10.0.0.0/24", "192.0.2.9/32"), "10.0.0.1:1", []string{"198.51.100.1, 192.0.2.9"}, "198.51.100.1/32"},
		"private client behind":        {prefixes("10.0.0.1/32"), "10.0.0.1:1", []string{"10.0.0.2"}, "10.0.0.2/32"},
		"private client wrote a list":  {prefixes("10.0.0.1/32"), "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "10.0.0.2/32"},
		"loopback client wrote a list": {prefixes("10.0.0.1/32"), "10.0.0.1:1", []string{"198.51.100.1, 127.0.0.1"}, "127.0.0.1/32"},
		"proxy speaks rubbish":         {prefixes("10.0.0.0/24"), "10.0.0.1:1", []string{"198.51.100.1, rubbish"}, "10.0.0.1/32"},
		"IPv6":                         {nil, "[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2::/64"},
		"IPv6 with zone":               {nil, "[fe80::1%eth0]:1", nil, "fe80::/64"},
		"IPv4 in IPv6":                 {nil, "[::ffff:203.0.113.7]:1", nil, "203.0.113.7/32"},
		"proxy, IPv4 in IPv6":          {prefixes("10.0.0.0/24"), "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1/32"},
		"IPv6 behind a proxy":          {prefixes("2001:db8::/32"), "[2001:db8::1]:1", []string{"2001:db9:1:2:3:4:5:6"}, "2001:db9:1:2::/64"},
		"no address, as on a socket":   {nil, "@", []string{"198.51.100.1"}, "invalid Prefix"},
		"no address, and some trusted": {prefixes("10.0.0.0/24"), "", []string{"198.51.100.1"}, "invalid Prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequestWithContext(t.Context(), "GET", "/", strings.NewReader(""))
			request.RemoteAddr = tc.peer
			request.Header["X-Forwarded-For"] = tc.forwarded
			request.Header.Set("X-Real-Ip", "192.0.2.77")
			sources := newSources(tc.proxies)
			if got := sources.of(request).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// Clients behind a proxy have buckets of their own, and a client that names
// others has no more than one.
func TestSource_BehindAProxy(t *testing.T) {
	t.Parallel()
	const proxy = "10.0.0.1:4711"
	e, _ := timed(t, func(r *Rates) { r.AddressRequests, r.Burst = 1, 1e9 },
		func(_ *Deps, o *Options) { o.TrustedProxies = prefixes("10.0.0.1/32") })
	for _, client := range []string{"198.51.100.1", "198.51.100.2"} {
		e.sends(t, proxy, "good", "a body", "X-Forwarded-For", client).Want(t, 202, "")
		e.sends(t, proxy, "good", "a body", "X-Forwarded-For", "192.0.2.1, "+client).Want(t, 429, "address_request_rate")
	}
	e.sends(t, caller.Here, "good", "a body", "X-Forwarded-For", "198.51.100.3").Want(t, 202, "")
	e.sends(t, caller.Here, "good", "a body", "X-Forwarded-For", "198.51.100.4").Want(t, 429, "address_request_rate")
	// rule 8
	if logged := e.logged.String(); strings.Contains(logged, "198.51.100") || strings.Contains(logged, "10.0.0.1") {
		t.Errorf("the log holds an address:\n%s", logged)
	}
}
