package deploy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/config"
)

// programs are ours, and how each reads its command line and environment.
func programs() map[string]func(args, env []string) (config.Action, settings, error) {
	return map[string]func(args, env []string) (config.Action, settings, error){
		"ingest": func(args, env []string) (config.Action, settings, error) {
			cfg, action, err := config.Parse[config.Ingest]("ingest", args, env, &bytes.Buffer{})
			if err != nil {
				return action, settings{}, err
			}
			return action, settings{cfg.Process, cfg.HTTP.Listen, cfg.Queue}, nil
		},
		"worker": func(args, env []string) (config.Action, settings, error) {
			cfg, action, err := config.Parse[config.Worker]("worker", args, env, &bytes.Buffer{})
			if err != nil {
				return action, settings{}, err
			}
			return action, settings{cfg.Process, "", cfg.Queue}, nil
		},
		"query": func(args, env []string) (config.Action, settings, error) {
			cfg, action, err := config.Parse[config.Query]("query", args, env, &bytes.Buffer{})
			if err != nil {
				return action, settings{}, err
			}
			return action, settings{cfg.Process, cfg.Front.Listen, cfg.Queue}, nil
		},
	}
}

// settings are what this package asks of a service's configuration.
type settings struct {
	process config.Process
	listen  string
	queue   config.Queue
}

// environmentOf is what the process in a container of service has.
func environmentOf(service types.ServiceConfig) []string {
	var env []string
	for name, value := range service.Environment {
		if value != nil {
			env = append(env, name+"="+*value)
		}
	}
	return env
}

// configured loads a service as it would load itself.
func configured(t *testing.T, p *types.Project, name string) settings {
	t.Helper()
	service := p.Services[name]
	parse, ours := programs()[service.Command[0]]
	if !ours {
		t.Fatalf("%s runs %v, which is none of ours", name, service.Command)
	}
	action, loaded, err := parse(service.Command[1:], environmentOf(service))
	if err != nil || action != config.ActionRun {
		t.Fatalf("%s: action %d, %v", name, action, err)
	}
	return loaded
}

// Each service takes its environment: every name is known, every value allowed,
// nothing that is required is missing, in production.
func TestServices_TakeTheirEnvironment(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name := range programs() {
		loaded := configured(t, p, name)
		if loaded.process.Environment != "production" {
			t.Errorf("%s: the environment is %q", name, loaded.process.Environment)
		}
		if loaded.process.MetricsListen != ":9090" {
			t.Errorf("%s: metrics on %q, and prometheus.yml asks port 9090", name, loaded.process.MetricsListen)
		}
	}
	for _, name := range []string{"migrate", "nexero"} {
		flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
		if err := config.Register[config.CLI](flags); err != nil {
			t.Fatal(err)
		}
		// Nobody is logged in to a container, and the image has no home.
		if _, err := config.Load[config.CLI](flags, append(environmentOf(p.Services[name]), "HOME=/")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A name that is not ours is there on purpose.
func TestServices_HaveNoOtherVariables(t *testing.T) {
	t.Parallel()
	others := map[string][]string{
		"nats":     {"NATS_PASSWORD"},
		"postgres": {"POSTGRES_DB", "POSTGRES_INITDB_ARGS", "POSTGRES_PASSWORD", "POSTGRES_USER"},
		"caddy":    {"SITE_ADDRESS"},
		"ingest":   {"GOMEMLIMIT"}, "worker": {"GOMEMLIMIT"}, "query": {"GOMEMLIMIT"},
	}
	for name, service := range project(t).Services {
		for variable := range service.Environment {
			if !strings.HasPrefix(variable, "NEXERO_") && !slices.Contains(others[name], variable) {
				t.Errorf("%s: what is %s for?", name, variable)
			}
		}
	}
}

// The garbage collector has to know the limit before the kernel enforces it.
func TestServices_CollectBeforeTheLimit(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name := range programs() {
		service := p.Services[name]
		var limit config.Bytes
		if err := limit.UnmarshalText([]byte(*service.Environment["GOMEMLIMIT"])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if have := config.Bytes(service.MemLimit); limit < have*4/5 || limit > have*19/20 {
			t.Errorf("%s: GOMEMLIMIT is %s of %s", name, limit, have)
		}
	}
}

// Health is asked of the program itself, since the image has nothing else, and
// the program takes the question with the container's environment.
func TestServices_AreAskedForHealth(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, parse := range programs() {
		service := p.Services[name]
		want := []string{"CMD", name, "--check-health"}
		if !slices.Equal(service.HealthCheck.Test, want) {
			t.Errorf("%s: health check %v, want %v", name, service.HealthCheck.Test, want)
			continue
		}
		if action, _, err := parse(want[2:], environmentOf(service)); action != config.ActionCheckHealth || err != nil {
			t.Errorf("%s: action %d, %v", name, action, err)
		}
	}
}

// rule 10: who is stopped is not killed while it drains. A service may stop
// other parts before and after what drain_timeout bounds.
func TestServices_HaveTimeToStop(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name := range programs() {
		drain := configured(t, p, name).process.DrainTimeout
		if grace := p.Services[name].StopGracePeriod; grace == nil || time.Duration(*grace) < 3*drain {
			t.Errorf("%s: is killed after %v, and drains for %v and more", name, grace, drain)
		}
	}
}

// The addresses in the services' environment lead to services that are there,
// with the password that those have.
func TestServices_ReachQueueAndDatabase(t *testing.T) {
	t.Parallel()
	p, secrets := project(t), chosen()
	for name, service := range p.Services {
		for variable, want := range map[string]string{
			"NEXERO_NATS_URL":     fmt.Sprintf("nats://nexero:%s@nats:4222", secrets["NATS_PASSWORD"]),
			"NEXERO_DATABASE_URL": fmt.Sprintf("postgres://nexero:%s@postgres:5432/nexero?sslmode=disable", secrets["POSTGRES_PASSWORD"]),
		} {
			if got, set := service.Environment[variable]; set && *got != want {
				t.Errorf("%s: %s is %q", name, variable, *got)
			}
		}
	}
	database := p.Services["postgres"].Environment
	if *database["POSTGRES_USER"] != "nexero" || *database["POSTGRES_DB"] != "nexero" || *database["POSTGRES_PASSWORD"] != secrets["POSTGRES_PASSWORD"] {
		t.Error("postgres makes another user, database or password")
	}
	// rule 3
	command := strings.Join(p.Services["postgres"].Command, " ")
	for _, want := range []string{"fsync=on", "synchronous_commit=on"} {
		if !strings.Contains(command, want) {
			t.Errorf("postgres is started without %s", want)
		}
	}
}
