package deploy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/query"
)

// What Caddy passes on goes to services that are on its network, to the port on
// which they listen for clients.
func TestCaddyfile_LeadsToServices(t *testing.T) {
	t.Parallel()
	p, text := project(t), read(t, "deploy/Caddyfile")
	routes := regexp.MustCompile(`dynamic a (\w+) (\d+)`).FindAllStringSubmatch(text, -1)
	if proxies := strings.Count(text, "reverse_proxy {"); len(routes) == 0 || proxies != len(routes) {
		t.Fatalf("%d proxies, %d of them with a service", proxies, len(routes))
	}
	led := map[string]bool{}
	for _, route := range routes {
		name, port := route[1], route[2]
		service, there := p.Services[name]
		if !there {
			t.Errorf("there is no service %s", name)
			continue
		}
		led[name] = true
		if listen := configured(t, p, name).listen; listen != ":"+port {
			t.Errorf("%s listens on %s, Caddy asks port %s", name, listen, port)
		}
		if _, reachable := service.Networks["front"]; !reachable {
			t.Errorf("Caddy cannot reach %s", name)
		}
	}
	if !led["ingest"] || !led["query"] {
		t.Errorf("requests go to %v, want ingest and query", led)
	}
}

// A request goes to the service that answers its path, as in nexero up, where
// both are one process.
func TestCaddyfile_AgreesWithQuery(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile(`@reads path (.*)`).FindStringSubmatch(read(t, "deploy/Caddyfile"))
	if found == nil {
		t.Fatal("there is no @reads")
	}
	reads := func(path string) bool {
		for pattern := range strings.FieldsSeq(found[1]) {
			if prefix, open := strings.CutSuffix(pattern, "*"); path == pattern || open && strings.HasPrefix(path, prefix) {
				return true
			}
		}
		return false
	}
	for pattern := range strings.FieldsSeq(found[1]) {
		if path := strings.Replace(pattern, "*", "7AFF2D5C", 1); !query.Owns(path) {
			t.Errorf("query does not answer %s", path)
		}
	}
	for _, path := range []string{
		"/", "/health", "/openapi.json", "/docs", "/api/v1/unreal/tracking/batch", "/api/v1/unreal/session",
		"/api/v1/unreal/session/7AFF2D5C/status", "/api/v1/unreal/session/7AFF2D5C/heartbeat",
		"/api/v1/sessions", "/api/v1/sessions/7AFF2D5C", "/api/v1/rejections", "/api/v1/sessionsx", "/api/v2",
	} {
		if got, want := reads(path), query.Owns(path); got != want {
			t.Errorf("%s: to query %v, want %v", path, got, want)
		}
	}
}

// rule 8: the log of the door has no key and no client's address. Caddy writes
// both by itself when a request fails.
func TestCaddyfile_LogsNoSecrets(t *testing.T) {
	t.Parallel()
	text := read(t, "deploy/Caddyfile")
	for _, field := range []string{"headers", "uri", "remote_ip", "remote_port", "client_ip"} {
		if !strings.Contains(text, "request>"+field+" delete") {
			t.Errorf("request>%s is logged", field)
		}
	}
	// A log of its own in the site would be one without the filter.
	if strings.Count(text, "\tlog ") != 1 {
		t.Error("there is more than one log")
	}
}

// Metrics, readiness and profiles are for who is inside, and so is the interface
// that changes Caddy's configuration.
func TestCaddyfile_KeepsTheInsideIn(t *testing.T) {
	t.Parallel()
	text := read(t, "deploy/Caddyfile")
	for _, want := range []string{"admin 127.0.0.1:2019", "@inside path /livez* /readyz* /metrics* /debug*", "respond 404"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

// Only Caddy is believed when it says who the client is: everything else on that
// network is ours and says nothing.
func TestCompose_TrustsItsProxyOnly(t *testing.T) {
	t.Parallel()
	p := project(t)
	subnet := p.Networks["front"].Ipam.Config[0].Subnet
	for _, name := range []string{"ingest", "query"} {
		if got := p.Services[name].Environment["NEXERO_TRUSTED_PROXIES"]; got == nil || *got != subnet {
			t.Errorf("%s does not trust %s, the network that it shares with Caddy", name, subnet)
		}
	}
}
