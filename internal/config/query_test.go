package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const passwordless = "NEXERO_DATABASE_URL=postgres://reader@db/nexero"

// A name means one thing, whichever program it is given to: they often share an
// environment and a file.
func TestDescribe_OneNameOneSetting(t *testing.T) {
	t.Parallel()
	known := map[string]Setting{}
	for _, program := range []any{Up{}, Ingest{}, Worker{}, Query{}, CLI{}} {
		described, err := Describe(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range described {
			s.Required = false // of some programs
			before, ok := known[s.Name]
			if !ok {
				known[s.Name] = s
				continue
			}
			if diff := cmp.Diff(before, s); diff != "" {
				t.Errorf("%T has a %s of its own (-others +it):\n%s", program, s.Name, diff)
			}
		}
	}
}

// Without keys anybody on the network reads: that is for a developer's machine.
// rule 8
func TestLoad_AnonymousRead(t *testing.T) {
	t.Parallel()
	for environment, ok := range map[string]bool{"development": true, "staging": false, "production": false} {
		env := []string{natsEnv, passwordless, "NEXERO_ENVIRONMENT=" + environment}
		if _, err := load[Query](t, nil, env); err != nil {
			t.Errorf("%s with keys: %v", environment, err)
		}
		_, err := load[Query](t, nil, append(env, "NEXERO_ANONYMOUS_READ=true", "NEXERO_ANONYMOUS_TENANT=demo"))
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "anonymous_read") {
			t.Errorf("%s without keys: %v", environment, err)
		}
		_, err = load[Up](t, nil, []string{"NEXERO_DATA_DIR=/tmp/nowhere", "NEXERO_ENVIRONMENT=" + environment, "NEXERO_ANONYMOUS_READ=true"})
		if (err == nil) != ok {
			t.Errorf("all in one, %s without keys: %v", environment, err)
		}
	}
}

func TestLoad_Query(t *testing.T) {
	t.Parallel()
	_, err := load[Query](t, []string{"--read-request-timeout=1s"}, []string{natsEnv, databaseEnv})
	if err == nil || !strings.Contains(err.Error(), "read_statement_timeout") {
		t.Errorf("a request shorter than its statement: %v", err)
	}
	if _, err = load[Query](t, nil, []string{natsEnv}); err == nil || !strings.Contains(err.Error(), "database_url") {
		t.Errorf("without a database: %v", err)
	}
	env := []string{natsEnv, passwordless, "NEXERO_CORS_ORIGINS=*"}
	if _, err = load[Query](t, nil, env); err != nil {
		t.Errorf("any origin in development: %v", err)
	}
	if _, err = load[Query](t, nil, append(env, "NEXERO_ENVIRONMENT=production")); err == nil || !strings.Contains(err.Error(), "cors_origins") {
		t.Errorf("any origin in production: %v", err)
	}
}
