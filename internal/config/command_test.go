package config

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		args   []string
		env    []string
		want   Action
		loaded bool
		err    string
		out    string
	}{
		{name: "run", env: []string{natsEnv}, want: ActionRun, loaded: true},
		{name: "check config", args: []string{"--check-config"}, env: []string{natsEnv}, want: ActionCheckConfig, loaded: true},
		{name: "check health", args: []string{"--check-health"}, env: []string{natsEnv}, want: ActionCheckHealth, loaded: true},
		{name: "version needs no setting", args: []string{"--version"}, want: ActionVersion},
		{name: "help needs no setting", args: []string{"--help"}, want: ActionHelp, out: "--nats-url url"},
		{name: "setting missing", args: []string{"--check-config"}, err: "nats_url"},
		{name: "unknown flag", args: []string{"--nope"}, err: "--nope"},
		{name: "argument", args: []string{"serve"}, env: []string{natsEnv}, err: `"serve" is no flag`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			got, action, err := Parse[Ingest]("ingest", test.args, test.env, &out)
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("Parse: %v, want %q", err, test.err)
			}
			if action != test.want || (got != nil) != test.loaded {
				t.Errorf("Parse = %+v, action %d, want action %d", got, action, test.want)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("output lacks %q:\n%s", test.out, out.String())
			}
		})
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  []string
		euid int
		want string
	}{
		{[]string{"HOME=/home/ada"}, 0, "/var/lib/nexero"},
		{[]string{"HOME=/home/ada"}, 1000, "/home/ada/.local/state/nexero"},
		{[]string{"HOME=/home/ada", "XDG_STATE_HOME=/state"}, 1000, "/state/nexero"},
		{[]string{"HOME=/home/ada", "XDG_STATE_HOME=state"}, 1000, "/home/ada/.local/state/nexero"},
		{nil, 1000, ""},
	} {
		if got := defaultDataDir(test.env, test.euid); got != test.want {
			t.Errorf("defaultDataDir(%q, %d) = %q, want %q", test.env, test.euid, got, test.want)
		}
	}
}

func TestLoad_DataDir(t *testing.T) {
	t.Parallel()
	env := []string{"HOME=/home/ada"}
	got, err := load[CLI](t, nil, env)
	if err != nil {
		t.Fatal(err)
	}
	if want := defaultDataDir(env, os.Geteuid()); got.Local.DataDir != want {
		t.Errorf("data_dir = %q, want %q", got.Local.DataDir, want)
	}
	got, err = load[CLI](t, []string{"--data-dir=/tmp/here"}, append(env, "NEXERO_DATA_DIR=/tmp/there"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Local.DataDir != "/tmp/here" {
		t.Errorf("data_dir = %q, want the flag's", got.Local.DataDir)
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	if len(Environ()) == 0 {
		t.Error("the process has no environment at all")
	}
}
