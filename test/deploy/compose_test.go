package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// root is the directory of docker-compose.yml, from where go test runs this
// package.
const root = "../.."

// chosen is what .env must have, as an operator would fill it in. The passwords
// are as openssl makes them; one that begins like a number is a trap in
// nats.conf.
func chosen() map[string]string {
	return map[string]string{
		"VERSION":           "v1.2.3",
		"SITE_ADDRESS":      "events.example.com",
		"NATS_PASSWORD":     "12e7" + strings.Repeat("0b5d", 15),
		"POSTGRES_PASSWORD": "9f3c" + strings.Repeat("77a1", 15),
	}
}

func load(t *testing.T, environment map[string]string) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: environment,
	}, loader.WithProfiles([]string{"*"}))
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, chosen())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A default would be the password of every installation that nobody cared for.
//
// rule 8
func TestCompose_HasNoDefaultSecrets(t *testing.T) {
	t.Parallel()
	for name := range chosen() {
		for _, value := range []string{"unset", ""} {
			environment := chosen()
			environment[name] = ""
			if value == "unset" {
				delete(environment, name)
			}
			if _, err := load(t, environment); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s is %q: %v, want an error that names it", name, value, err)
			}
		}
	}
	// What the example sets would be copied.
	for line := range strings.Lines(read(t, "deploy/env.example")) {
		name, value, assigned := strings.Cut(strings.TrimSpace(line), "=")
		if !assigned || strings.HasPrefix(line, "#") {
			continue
		}
		if _, known := chosen()[name]; !known || value != "" {
			t.Errorf("env.example has %q: only what docker-compose.yml asks for, and no value", strings.TrimSpace(line))
		}
	}
	for name := range chosen() {
		if !strings.Contains(read(t, "deploy/env.example"), "\n"+name+"=") {
			t.Errorf("env.example does not have %s", name)
		}
	}
}

// exactVersion is three numbers, or two for what is counted so, perhaps with
// the system that the image is built on.
var exactVersion = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+[0-9.]*)?$`)

// What is pulled tomorrow is what was tried today.
func TestCompose_ImagesHaveExactVersions(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		if !exactVersion.MatchString(service.Image) || strings.Contains(service.Image, "latest") {
			t.Errorf("%s: image %q has no exact version", name, service.Image)
		}
	}
}

// The queue is the one that the tests run against, and so is what reads the
// alarms.
func TestCompose_VersionsAreTheTestedOnes(t *testing.T) {
	t.Parallel()
	p, modules := project(t), read(t, "go.mod")
	version := func(module string) string {
		t.Helper()
		found := regexp.MustCompile(regexp.QuoteMeta(module) + ` v(\S+)`).FindStringSubmatch(modules)
		if found == nil {
			t.Fatalf("go.mod does not have %s", module)
		}
		return found[1]
	}
	if want := "nats:" + version("github.com/nats-io/nats-server/v2") + "-alpine"; p.Services["nats"].Image != want {
		t.Errorf("nats is %s, tested is %s", p.Services["nats"].Image, want)
	}
	// Prometheus 3.15.0 is v0.315.0 as a module.
	library := regexp.MustCompile(`^0\.(\d)(\d\d)\.(\d+)$`).FindStringSubmatch(version("github.com/prometheus/prometheus"))
	if library == nil {
		t.Fatal("the module's version is not of the form 0.315.0")
	}
	want := "prom/prometheus:v" + library[1] + "." + strings.TrimPrefix(library[2], "0") + "." + library[3]
	if got := p.Services["prometheus"].Image; got != want {
		t.Errorf("prometheus is %s, tested is %s", got, want)
	}
}

// ended are the services that do something and end.
func ended(s types.ServiceConfig) bool { return s.Restart == "no" }

func TestCompose_EveryServiceIsWatchedAndBounded(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		if !slices.Contains(service.CapDrop, "ALL") || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s keeps rights that it does not need", name)
		}
		if service.Privileged || service.NetworkMode == "host" || service.Pid == "host" {
			t.Errorf("%s shares the machine", name)
		}
		if service.Logging == nil || service.Logging.Options["max-size"] == "" || service.Logging.Options["max-file"] == "" {
			t.Errorf("%s logs without end", name)
		}
		if ended(service) {
			continue
		}
		check := service.HealthCheck
		if check == nil || check.Disable || len(check.Test) < 2 || check.Test[0] != "CMD" || check.Interval == nil || check.Timeout == nil {
			t.Errorf("%s has no health check that needs no shell", name)
		}
		if service.Restart != "unless-stopped" {
			t.Errorf("%s: restart is %q", name, service.Restart)
		}
		if len(service.Networks) == 0 {
			t.Errorf("%s is on the default network, where everything is", name)
		}
	}
}

// rule 8: queue and database are reached by who needs them, and by nobody from
// outside.
func TestCompose_NetworksKeepApart(t *testing.T) {
	t.Parallel()
	p := project(t)
	members := map[string][]string{}
	for name, service := range p.Services {
		for network := range service.Networks {
			members[network] = append(members[network], name)
		}
		for _, port := range service.Ports {
			if name != "caddy" && port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s to the world", name, port.Published)
			}
		}
	}
	for network, want := range map[string][]string{
		"outside":  {"caddy", "prometheus"},
		"front":    {"caddy", "ingest", "query"},
		"queue":    {"ingest", "nats", "nexero", "query", "worker"},
		"database": {"migrate", "nexero", "postgres", "query", "worker"},
		"metrics":  {"ingest", "node", "prometheus", "query", "worker"},
	} {
		if got := slices.Sorted(slices.Values(members[network])); !slices.Equal(got, want) {
			t.Errorf("on %s are %v, want %v", network, got, want)
		}
		if network != "outside" && !p.Networks[network].Internal {
			t.Errorf("%s is open to the world", network)
		}
		delete(members, network)
	}
	if len(members) > 0 {
		t.Errorf("networks that nobody thought about: %v", slices.Sorted(maps.Keys(members)))
	}
}

// rule 6: headsets are answered while the database is away, or is being changed.
func TestCompose_StartsInOrder(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, after := range []struct{ service, first, condition string }{
		{"ingest", "nats", types.ServiceConditionHealthy},
		{"migrate", "postgres", types.ServiceConditionHealthy},
		{"worker", "migrate", types.ServiceConditionCompletedSuccessfully},
		{"worker", "nats", types.ServiceConditionHealthy},
		{"query", "migrate", types.ServiceConditionCompletedSuccessfully},
	} {
		if got := p.Services[after.service].DependsOn[after.first].Condition; got != after.condition {
			t.Errorf("%s waits for %s to be %q, want %q", after.service, after.first, got, after.condition)
		}
	}
	for _, database := range []string{"postgres", "migrate"} {
		if _, waits := p.Services["ingest"].DependsOn[database]; waits {
			t.Errorf("ingest waits for %s", database)
		}
	}
	// --scale worker=4 needs a service whose containers are alike.
	worker := p.Services["worker"]
	if worker.ContainerName != "" || len(worker.Ports) > 0 {
		t.Error("worker cannot be scaled: it has a name or a port of its own")
	}
}

// What a volume holds is lost with the container otherwise, and files that are
// mounted have to be there.
func TestCompose_Mounts(t *testing.T) {
	t.Parallel()
	p := project(t)
	at := map[string]string{}
	for name, service := range p.Services {
		for _, volume := range service.Volumes {
			switch volume.Type {
			case types.VolumeTypeVolume:
				at[name+":"+volume.Target] = volume.Source
			case types.VolumeTypeBind:
				if !volume.ReadOnly {
					t.Errorf("%s can change %s", name, volume.Source)
				}
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	for _, kept := range []string{"nats:/data", "postgres:/var/lib/postgresql", "caddy:/data", "prometheus:/prometheus"} {
		if at[kept] == "" {
			t.Errorf("%s is no volume", kept)
		}
	}
}
