package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	settings, err := Describe(&Worker{})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Setting{}
	for _, s := range settings {
		byName[s.Name] = s
	}
	want := Setting{
		Name: "database_url", Flag: "--database-url", Env: "NEXERO_DATABASE_URL", Type: "url", Required: true, Secret: true,
		Help: byName["database_url"].Help,
	}
	if diff := cmp.Diff(want, byName["database_url"]); diff != "" {
		t.Errorf("database_url (-want +got):\n%s", diff)
	}
	want = Setting{
		Name: "queue_ack_wait", Flag: "--queue-ack-wait", Env: "NEXERO_QUEUE_ACK_WAIT", Type: "duration",
		Default: "30s", Min: "5s", Max: "10m", Help: byName["queue_ack_wait"].Help,
	}
	if diff := cmp.Diff(want, byName["queue_ack_wait"]); diff != "" {
		t.Errorf("queue_ack_wait (-want +got):\n%s", diff)
	}
}

// A setting means the same in every program that has it, or one environment
// could not serve them all.
func TestPrograms_AgreeOnSharedSettings(t *testing.T) {
	t.Parallel()
	seen := map[string]Setting{}
	for _, program := range []any{Ingest{}, Worker{}, Up{}, CLI{}} {
		settings, err := Describe(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings {
			s.Required = false // each program says for itself
			if other, ok := seen[s.Name]; ok && !reflect.DeepEqual(s, other) {
				t.Errorf("%T: %s differs:\n%s", program, s.Name, cmp.Diff(other, s))
			}
			seen[s.Name] = s
			if !strings.HasSuffix(s.Help, ".") {
				t.Errorf("%s: help is no sentence: %q", s.Name, s.Help)
			}
		}
	}
}

func TestDescribe_MistakesInTags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		v    any
		want string
	}{
		{"type", struct {
			A complex128 `name:"a" help:"A."`
		}{}, "no setting can be a complex128"},
		{"untagged", struct{ A int }{}, "int is no struct"},
		{"no help", struct {
			A int `name:"a"`
		}{}, "has no help"},
		{"default", struct {
			A int `name:"a" default:"x" help:"A."`
		}{}, "no whole number"},
		{"default out of bounds", struct {
			A int `name:"a" default:"1" min:"2" help:"A."`
		}{}, "below 2"},
		{"bound", struct {
			A int `name:"a" default:"1" min:"x" help:"A."`
		}{}, `bound "x"`},
		{"check", struct {
			A string `name:"a" default:"1" check:"x" help:"A."`
		}{}, `no check is called "x"`},
		{"twice", struct {
			A int `name:"a" help:"A."`
			B int `name:"a" help:"B."`
		}{}, `a second "a"`},
		{"require", struct {
			A Log `require:"nats_url"`
		}{}, `requires "nats_url"`},
	} {
		if _, err := Describe(test.v); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
}

func TestRegister_FlagTaken(t *testing.T) {
	t.Parallel()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String("log-level", "", "")
	if err := Register[CLI](fs); err == nil {
		t.Error("a flag was registered twice")
	}
}

// What Print writes is a file that gives the same configuration.
func TestPrint_RoundTrip(t *testing.T) {
	t.Parallel()
	first, err := load[Up](t, nil, []string{
		natsEnv, "NEXERO_DATA_DIR=/srv/ne \"xero\": #1", "NEXERO_STRICT_TENANTS=a,b", "NEXERO_POSE_RETENTION=36h",
		"NEXERO_LOG_LEVEL=error", "NEXERO_QUEUE_MAX_BYTES=17000000", "NEXERO_ANONYMOUS_TENANT=yes",
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, first); err != nil {
		t.Fatal(err)
	}
	second, err := load[Up](t, []string{"--config", writeFile(t, out.String())}, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("read back (-printed +read):\n%s", diff)
	}
}

// rule 8
func TestPrint_MasksSecrets(t *testing.T) {
	t.Parallel()
	up, err := load[Up](t, []string{"--api-key=nxr_hunter2"}, []string{databaseEnv, "NEXERO_NATS_URL=nats://hunter2@queue:4222"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, up); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a secret is printed:\n%s", out.String())
	}
	for _, want := range []string{
		`database_url: "postgres://nexero:***@db/nexero"`, `nats_url: "nats://***@queue:4222"`, `api_key: "***"`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("output lacks %s:\n%s", want, out.String())
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "0d": 0, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "10", "1.5d", "99999d", "abc"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q = %s, want an error", text, got)
		}
	}
}

// A value in the form in which it is printed reads as itself.
func TestFormat_InverseOfParse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := Bytes(rapid.Int64Min(0).Draw(t, "size"))
		var sizeRead Bytes
		if err := sizeRead.UnmarshalText([]byte(size.String())); err != nil || sizeRead != size {
			t.Errorf("size %s reads as %d, %v", size, sizeRead, err)
		}
		d := time.Duration(rapid.Int64Range(0, int64(30000*day)).Draw(t, "duration"))
		text := format(reflect.ValueOf(d))
		if read, err := parseDuration(text); err != nil || read != d {
			t.Errorf("duration %s reads as %s, %v", text, read, err)
		}
	})
}

func FuzzBytes(f *testing.F) {
	for _, text := range []string{"0", "256KiB", "10 GB", "1b", "9223372036854775807", "8388608TiB", "-1", "KiB", "1e3", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again Bytes
		if size.UnmarshalText([]byte(text)) != nil {
			return
		}
		if size < 0 {
			t.Errorf("%q reads as %d", text, size)
		}
		if err := again.UnmarshalText([]byte(size.String())); err != nil || again != size {
			t.Errorf("%q is printed as %s, which reads as %d, %v", text, size, again, err)
		}
	})
}
