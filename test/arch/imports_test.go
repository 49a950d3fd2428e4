package arch

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of ours a package may import outside its tests.
// A package that is not here fails: where it stands is decided here first.
//
// Data moves one way, unreal → event → ingest → queue ⇒ queue → worker →
// postgres, and stages meet only where they are plugged together: in ingestd,
// workerd and queryd, and in local, which joins those.
var mayImport = map[string][]string{
	// What is spoken of. The standard library only.
	"internal/event": {},

	// Pure: text and bytes in, values out.
	"internal/unreal":   {"internal/event"},
	"internal/envelope": {"internal/event"},
	"internal/facts":    {"internal/event"},

	// The stages. Each declares the few interfaces that it needs.
	"internal/ingest": {"internal/event", "internal/unreal", "internal/envelope", "internal/gate", "internal/httptrace", "internal/crashpoint"},
	"internal/worker": {"internal/event", "internal/envelope", "internal/crashpoint"},
	"internal/rollup": {"internal/event", "internal/facts", "internal/crashpoint"},
	"internal/query":  {"internal/postgres", "internal/gate", "internal/httptrace"},

	// Before the stages that listen.
	"internal/gate": {"internal/apikey"},

	// What stages are plugged into.
	"internal/httptrace": {},
	"internal/apikey":    {},
	"internal/queue":     {"internal/envelope", "internal/apikey", "internal/crashpoint"},
	"internal/postgres":  {"internal/event", "internal/envelope", "internal/facts", "internal/crashpoint", "migrations"},
	"migrations":         {},

	// Around all of them, and blind to them.
	"internal/config":     {},
	"internal/obs":        {"internal/version"},
	"internal/lifecycle":  {},
	"internal/version":    {},
	"internal/crashpoint": {}, // nothing but names, unless built for fault runs
	"internal/wrongclock": {}, // the right clock, unless built for fault runs
	"internal/devstack":   {},
	"internal/recording":  {},
	"internal/replay":     {"internal/recording"},
	"internal/sim":        {"internal/event", "internal/unreal", "internal/recording"},
	"api":                 {},

	// Where stages meet, and what the services' processes have in common.
	"internal/daemon":  {"internal/config", "internal/obs", "internal/lifecycle", "internal/version"},
	"internal/front":   {"internal/gate", "internal/daemon", "internal/config"},
	"internal/ingestd": append([]string{"internal/gate", "internal/front", "internal/event", "internal/ingest", "internal/unreal", "internal/apikey", "internal/queue", "internal/crashpoint", "internal/wrongclock"}, around...),
	"internal/workerd": append([]string{"internal/event", "internal/envelope", "internal/worker", "internal/rollup", "internal/queue", "internal/postgres", "internal/crashpoint"}, around...),
	"internal/queryd":  append([]string{"internal/gate", "internal/front", "internal/query", "internal/apikey", "internal/queue", "internal/postgres"}, around...),
	"internal/local":   append([]string{"internal/devstack", "internal/ingestd", "internal/workerd", "internal/queryd", "internal/apikey", "internal/queue", "internal/postgres"}, around...),

	// Programs: configuration in, run, exit status out.
	"cmd/ingest": {"internal/ingestd", "internal/daemon", "internal/config"},
	"cmd/worker": {"internal/workerd", "internal/daemon", "internal/config"},
	"cmd/query":  {"internal/queryd", "internal/daemon", "internal/config"},
	"cmd/nexero": append([]string{
		"internal/local", "internal/devstack", "internal/replay", "internal/recording", "internal/sim",
		"internal/event", "internal/unreal", "internal/envelope", "internal/apikey", "internal/queue", "internal/postgres",
	}, around...),

	// For tests.
	"internal/testkit":        {anything},
	"internal/testkit/caller": {"internal/apikey"},
	"internal/testkit/link":   {},
	"test/cluster":            {"internal/devstack", "internal/testkit"},
	"test/mutants":            {"test/mutants/patch"},
	"test/mutants/patch":      {},
	"test/e2e":                {anything},
	"test/chaos":              {anything},
	"test/bench":              {anything},
	"test/deploy":             {anything},
	"test/docs":               {anything},
	"test/arch":               {},
}

// around is what every composition root may use.
var around = []string{"internal/daemon", "internal/config", "internal/obs", "internal/lifecycle", "internal/version", "api"}

// anything stands for every package of ours.
const anything = "..."

// onlyIn says where a library may be imported outside tests. A library that is
// here stays replaceable: leaving it is a change to those packages.
var onlyIn = map[string][]string{
	"github.com/labstack/echo/v4":                {"internal/gate", "internal/ingest", "internal/query"},
	"github.com/jackc/pgx/v5":                    {"internal/postgres", "internal/devstack", "internal/testkit", "test/e2e", "test/chaos", "test/bench", "test/cluster"},
	"github.com/jackc/tern/v2":                   {"internal/postgres"},
	"github.com/nats-io/nats.go":                 {"internal/queue", "internal/apikey", "internal/devstack", "internal/testkit", "test/chaos"},
	"github.com/nats-io/nats-server/v2":          {"internal/devstack"},
	"github.com/fergusstrange/embedded-postgres": {"internal/devstack"},
	"github.com/spf13/viper":                     {"internal/config"},
	"github.com/spf13/cobra":                     {"internal/config", "cmd/ingest", "cmd/worker", "cmd/query", "cmd/nexero"},
	"github.com/lmittmann/tint":                  {"internal/obs"},
	"github.com/schollz/progressbar/v3":          {"cmd/nexero"},
	"github.com/jedib0t/go-pretty/v6":            {"cmd/nexero"},
	// Whoever makes spans knows the API. Where they go is obs' alone.
	"go.opentelemetry.io/otel/sdk":         {"internal/obs"},
	"go.opentelemetry.io/otel/exporters":   {"internal/obs"},
	"go.opentelemetry.io/otel/propagation": {"internal/httptrace"},
	"go.opentelemetry.io/otel/trace":       tracing,
	"go.opentelemetry.io/otel/attribute":   tracing,
	"go.opentelemetry.io/otel/codes":       tracing,
	"go.opentelemetry.io/proto/otlp":       {},
	"github.com/getsentry/sentry-go":       {"internal/obs"},
	"net/http/pprof":                       {"internal/obs"},
	// What reads the files of deploy/ is in no program.
	"github.com/compose-spec/compose-go/v2": {"test/deploy"},
	"github.com/moby/buildkit":              {"test/deploy"},
	"github.com/prometheus/prometheus":      {"test/deploy"},
}

// tracing are the packages that make spans or hand on what makes them.
var tracing = []string{
	"internal/obs", "internal/httptrace", "internal/daemon", "internal/local", "internal/ingest", "internal/worker", "internal/rollup", "internal/postgres",
	"internal/query", "internal/ingestd", "internal/workerd", "internal/queryd",
}

// onlyTests may appear in test files, in testkit and below test/ only.
var onlyTests = []string{
	"testing", "testing/synctest", "github.com/google/go-cmp", "pgregory.net/rapid", "go.uber.org/goleak",
	module + "/internal/testkit",
}

func TestImports_OfOurs(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		allowed, known := mayImport[p.path]
		if !known {
			t.Errorf("%s is not in mayImport: say there what it may import", p.path)
			continue
		}
		if slices.Contains(allowed, anything) {
			continue
		}
		for _, imported := range p.ours() {
			if !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s and may import only %v", p.path, imported, allowed)
			}
		}
	}
}

// A table with a circle in it would allow what the compiler then refuses, and
// would mean that two packages are one.
func TestImports_GoOneWay(t *testing.T) {
	t.Parallel()
	const (
		entered = iota + 1
		left
	)
	state := map[string]int{}
	var visit func(path string, way []string)
	visit = func(path string, way []string) {
		switch state[path] {
		case left:
			return
		case entered:
			t.Errorf("mayImport goes in a circle: %s", strings.Join(append(way, path), " → "))
			return
		}
		state[path] = entered
		for _, next := range mayImport[path] {
			if next == anything {
				continue
			}
			if _, known := mayImport[next]; !known {
				t.Errorf("%s may import %s, which mayImport does not know", path, next)
			}
			visit(next, append(way, path))
		}
		state[path] = left
	}
	for _, path := range slices.Sorted(maps.Keys(mayImport)) {
		visit(path, nil)
	}
}

func TestImports_OfLibraries(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for library, where := range onlyIn {
				if within(imported, library) && !slices.Contains(where, p.path) {
					t.Errorf("%s imports %s, which belongs to %v", p.path, imported, where)
				}
			}
		}
	}
}

// What the edge and the tables agree on depends on nobody else's release.
func TestImports_EventIsPure(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.path != "internal/event" {
			continue
		}
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("internal/event imports %s and may import the standard library only", imported)
			}
		}
	}
}

func TestImports_TestCodeStaysInTests(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if within(p.path, "internal/testkit") || within(p.path, "test") {
			continue
		}
		for _, imported := range p.Imports {
			if slices.ContainsFunc(onlyTests, func(banned string) bool { return imported == banned || banned != "testing" && within(imported, banned) }) {
				t.Errorf("%s imports %s outside its tests", p.path, imported)
			}
		}
	}
}

// within reports whether path is library or a package below it.
func within(path, library string) bool {
	return path == library || strings.HasPrefix(path, library+"/")
}
