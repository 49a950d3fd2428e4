package docs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/trace"
	"go.yaml.in/yaml/v3"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/ingestd"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/queryd"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/version"
	"github.com/nexero-vr/nexero/internal/workerd"
)

// built is a service whatever its settings: nobody reloads here.
type built = daemon.Service[struct{}]

// service builds one as its main does, on what env names.
type service struct {
	name  string
	build func(ctx context.Context, env []string, log *slog.Logger, reg prometheus.Registerer) (built, error)
}

func services() []service {
	return []service{
		{"ingest", building(ingestd.Service)},
		{"worker", building(workerd.Service)},
		{"query", building(queryd.Service)},
	}
}

func building[T any](build func(context.Context, *T, *slog.Logger, prometheus.Registerer, trace.Tracer) (daemon.Service[T], error)) func(context.Context, []string, *slog.Logger, prometheus.Registerer) (built, error) {
	return func(ctx context.Context, env []string, log *slog.Logger, reg prometheus.Registerer) (built, error) {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		if err := config.Register[T](flags); err != nil {
			return built{}, err
		}
		cfg, err := config.Load[T](flags, env)
		if err != nil {
			return built{}, err
		}
		s, err := build(ctx, cfg, log, reg, nil)
		return built{Run: s.Run, StopDeadline: s.StopDeadline, Checks: s.Checks}, err
	}
}

// drain is how long the services of docker-compose.yml drain.
const drain = "20s"

// start builds every service on a queue and a database of its own and runs it
// until the test ends; see gets each with what it registered.
func start(t *testing.T, see func(name string, s built, registered []prometheus.Collector)) {
	t.Helper()
	env := []string{
		"NEXERO_NATS_URL=" + testkit.NATS(t), "NEXERO_DATABASE_URL=" + testkit.Database(t),
		"NEXERO_LISTEN=127.0.0.1:0", "NEXERO_QUEUE_MAX_BYTES=16MiB", "NEXERO_DRAIN_TIMEOUT=" + drain,
	}
	for _, one := range services() {
		registry, err := obs.NewRegistry(version.Get())
		if err != nil {
			t.Fatal(err)
		}
		reg := &recorder{Registry: registry}
		registerTelemetry(t, reg)
		s, err := one.build(t.Context(), env, testkit.Logger(t), reg)
		if err != nil {
			t.Fatalf("%s: %v", one.name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", one.name, err)
			}
		})
		see(one.name, s, append(reg.collectors, obs.NewReadiness(s.Checks)))
	}
}

// registerTelemetry registers what a service has beside its own when traces and
// error reports are on. Nothing is sent.
func registerTelemetry(t *testing.T, reg prometheus.Registerer) {
	t.Helper()
	reports, err := obs.NewReports(obs.ReportConfig{DSN: "http://key@127.0.0.1:1/1"}, reg)
	if err != nil {
		t.Fatal(err)
	}
	tracing, err := obs.NewTracing(t.Context(), obs.TraceConfig{Endpoint: "http://127.0.0.1:1"}, testkit.Logger(t), reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reports.Stop(context.WithoutCancel(t.Context()))
		if err := tracing.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// recorder keeps what is registered: a registry tells only of series that have
// a value, and half of them come with the first mistake.
type recorder struct {
	*prometheus.Registry

	collectors []prometheus.Collector
}

// Register implements [prometheus.Registerer].
func (r *recorder) Register(c prometheus.Collector) error {
	if err := r.Registry.Register(c); err != nil {
		return err
	}
	r.collectors = append(r.collectors, c)
	return nil
}

// metric is a row of the page.
type metric struct {
	kind, help string
	labels     []string
	in         []string
}

const metricsHead = `# Metrics

<!-- Generated from what the services register, by make docs. -->

Each service shows these at ` + "`/metrics`" + ` on ` + "`NEXERO_METRICS_LISTEN`" + `, and so does ` + "`nexero up`" + ` at the address in its ` + "`run.json`" + `. Values of labels come from closed
lists: no tenant, session, path or text of a client is ever one. ` + "`key_id`" + ` is the public id of a valid key, of 200 at most. The label ` + "`connection`" + ` tells apart connections to the queue that share a
process. Beside them are the Go runtime's ` + "`go_*`" + ` and the process' ` + "`process_*`" + `.

What is stored in the queue is asked of the server at each scrape, so every process reports the same: take the max, not the sum. Alarms are in
` + "`deploy/prometheus/rules.yml`; [operations.md](operations.md#alarms)" + ` says what they mean.

| metric | type | labels | in | what it is |
|---|---|---|---|---|
`

func TestMetrics_AreCurrent(t *testing.T) {
	t.Parallel()
	all := map[string]*metric{
		"nexero_build_info": {
			kind: "gauge", help: "Always 1; the labels say which build this is.",
			labels: []string{"version", "commit", "go_version"},
		},
	}
	start(t, func(name string, _ built, registered []prometheus.Collector) {
		all["nexero_build_info"].in = append(all["nexero_build_info"].in, name)
		for _, c := range registered {
			if err := add(all, name, c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	var page strings.Builder
	page.WriteString(metricsHead)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		labels := make([]string, len(m.labels))
		for i, label := range m.labels {
			labels[i] = code(label)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", name, m.kind, strings.Join(labels, ", "), strings.Join(m.in, ", "), cell(m.help))
		if !strings.HasPrefix(name, "nexero_") {
			t.Errorf("%s is not ours by its name", name)
		}
	}
	if t.Failed() {
		return
	}
	expectPage(t, "metrics.md", page.String())
}

// description is how a prometheus.Desc prints itself; it has no other way to be
// read.
var description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// add adds the metrics of one collector of a service to all.
func add(all map[string]*metric, service string, c prometheus.Collector) error {
	kinds := kindsOf(c)
	var errs []error
	for _, desc := range described(c) {
		parts := description.FindStringSubmatch(desc.String())
		if parts == nil {
			errs = append(errs, fmt.Errorf("cannot read %s", desc))
			continue
		}
		name, err := strconv.Unquote(parts[1])
		help, helpErr := strconv.Unquote(parts[2])
		errs = append(errs, err, helpErr)
		var labels []string
		for _, pair := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(parts[3], -1) {
			labels = append(labels, pair[1])
		}
		if parts[4] != "" {
			labels = append(labels, strings.Split(parts[4], ",")...)
		}
		kind := cmp.Or(kinds[desc.String()], kindByType(c), kindByName(name))
		if kind == "" {
			errs = append(errs, fmt.Errorf("cannot tell what kind of metric %s is", name))
		}
		known := all[name]
		if known == nil {
			known = &metric{kind: kind, help: help, labels: labels}
			all[name] = known
		}
		if known.kind != kind || known.help != help || !slices.Equal(known.labels, labels) {
			errs = append(errs, fmt.Errorf("%s is another metric than %s of the same name", name, strings.Join(known.in, ", ")))
		}
		if !slices.Contains(known.in, service) {
			known.in = append(known.in, service)
		}
	}
	return errors.Join(errs...)
}

func described(c prometheus.Collector) []*prometheus.Desc {
	descs := make(chan *prometheus.Desc)
	go func() { defer close(descs); c.Describe(descs) }()
	return slices.Collect(func(yield func(*prometheus.Desc) bool) {
		for desc := range descs {
			yield(desc) // to the end, since the sender waits
		}
	})
}

// kindsOf returns the kinds of the metrics that have a value, by description.
func kindsOf(c prometheus.Collector) map[string]string {
	metrics := make(chan prometheus.Metric)
	go func() { defer close(metrics); c.Collect(metrics) }()
	kinds := map[string]string{}
	for m := range metrics {
		var written dto.Metric
		if m.Write(&written) != nil {
			continue
		}
		switch {
		case written.GetCounter() != nil:
			kinds[m.Desc().String()] = "counter"
		case written.GetGauge() != nil:
			kinds[m.Desc().String()] = "gauge"
		case written.GetHistogram() != nil:
			kinds[m.Desc().String()] = "histogram"
		}
	}
	return kinds
}

// kindByType knows the kind of a family that has no value yet.
func kindByType(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	default:
		return ""
	}
}

// kindByName knows it of a family whose collector is wrapped: a linter sees to
// the name.
func kindByName(name string) string {
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return ""
}

// rule 10: a container that is stopped is killed only after the service has had
// all the time that it takes.
func TestStop_HasTimeInContainers(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Grace       time.Duration     `yaml:"stop_grace_period"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	start(t, func(name string, s built, _ []prometheus.Collector) {
		// The listener for metrics stops after it, and what tells others comes last.
		const metrics = 5*time.Second + obs.StopTracing + time.Second + obs.StopReports
		if have := compose.Services[name].Environment["NEXERO_DRAIN_TIMEOUT"]; have != drain {
			t.Errorf("%s drains for %q in docker-compose.yml, and for %s here", name, have, drain)
		}
		if grace := compose.Services[name].Grace; grace < s.StopDeadline+metrics {
			t.Errorf("%s takes up to %s to stop, and docker-compose.yml gives it %s", name, s.StopDeadline, grace)
		}
	})
}
