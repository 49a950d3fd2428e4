package deploy

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// rule is one of deploy/prometheus/rules.yml, with every field that Prometheus
// would take there.
type rule struct {
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           time.Duration     `yaml:"for"`
	KeepFiringFor time.Duration     `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

func alarms(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decode(t, "deploy/prometheus/rules.yml", &file)
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alarms")
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// notOurs are metrics that Prometheus, the Go runtime's collector and the node
// exporter have.
var notOurs = []string{"up", "process_start_time_seconds", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}

// documented returns the metrics of docs/metrics.md with their type and labels.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	metrics := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(nexero_\\w+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		labels := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1)
		metrics[row[1]] = []string{row[2]}
		for _, label := range labels {
			metrics[row[1]] = append(metrics[row[1]], label[1])
		}
	}
	return metrics
}

// An alarm on a metric or label that nobody has never fires.
func TestAlarms_AskForWhatThereIs(t *testing.T) {
	t.Parallel()
	metrics, parse := documented(t), parser.NewParser(parser.Options{})
	for _, alarm := range alarms(t) {
		expr, err := parse.ParseExpr(alarm.Expr)
		if err != nil {
			t.Errorf("%s: %v", alarm.Alert, err)
			continue
		}
		for _, selector := range parser.ExtractSelectors(expr) {
			for _, matcher := range selector {
				if matcher.Name != "__name__" || slices.Contains(notOurs, matcher.Value) {
					continue
				}
				known := metrics[matcher.Value]
				if histogram := metrics[strings.TrimSuffix(matcher.Value, "_bucket")]; known == nil && len(histogram) > 0 && histogram[0] == "histogram" {
					known = histogram
				}
				if known == nil {
					t.Errorf("%s asks for %s, which docs/metrics.md does not have", alarm.Alert, matcher.Value)
				}
				for _, label := range selector {
					if !slices.Contains([]string{"__name__", "job", "instance"}, label.Name) && !slices.Contains(known, label.Name) {
						t.Errorf("%s: %s has no label %s", alarm.Alert, matcher.Value, label.Name)
					}
				}
			}
		}
	}
}

// Who is woken up finds what it means and what to do.
func TestAlarms_AreExplained(t *testing.T) {
	t.Parallel()
	headings := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^### (Nexero\w+)$`).FindAllStringSubmatch(read(t, "docs/operations.md"), -1) {
		headings[heading[1]] = true
	}
	for _, alarm := range alarms(t) {
		if !headings[alarm.Alert] {
			t.Errorf("docs/operations.md has no part %s, or two alarms share it", alarm.Alert)
		}
		delete(headings, alarm.Alert)
		if want := "docs/operations.md#" + strings.ToLower(alarm.Alert); alarm.Annotations["runbook"] != want || alarm.Annotations["summary"] == "" {
			t.Errorf("%s: runbook %q and summary %q", alarm.Alert, alarm.Annotations["runbook"], alarm.Annotations["summary"])
		}
		if severity := alarm.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", alarm.Alert, severity)
		}
	}
	if len(headings) > 0 {
		t.Errorf("docs/operations.md explains alarms that there are not: %v", slices.Sorted(maps.Keys(headings)))
	}
}

// Each alarm is tried with numbers that make it fire and with some that must
// not. promtool runs the file; that nothing is left out of it is seen here.
func TestAlarms_AreTried(t *testing.T) {
	t.Parallel()
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Interval  string   `yaml:"evaluation_interval"`
		Tests     []struct {
			Name     string `yaml:"name"`
			Interval string `yaml:"interval"`
			Series   []struct {
				Series string `yaml:"series"`
				Values string `yaml:"values"`
			} `yaml:"input_series"`
			Rules []struct {
				At     string `yaml:"eval_time"`
				Alarm  string `yaml:"alertname"`
				Expect []struct {
					Labels      map[string]string `yaml:"exp_labels"`
					Annotations map[string]string `yaml:"exp_annotations"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	decode(t, "deploy/prometheus/rules_test.yml", &file)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, rule := range test.Rules {
			fires[rule.Alarm] = fires[rule.Alarm] || len(rule.Expect) > 0
			quiet[rule.Alarm] = quiet[rule.Alarm] || len(rule.Expect) == 0
		}
	}
	for _, alarm := range alarms(t) {
		if !fires[alarm.Alert] || !quiet[alarm.Alert] {
			t.Errorf("%s: rules_test.yml shows it firing: %v, and quiet: %v", alarm.Alert, fires[alarm.Alert], quiet[alarm.Alert])
		}
	}
}

// Prometheus asks every service, on the port and network where its metrics are.
func TestPrometheus_AsksEveryService(t *testing.T) {
	t.Parallel()
	type scrape struct {
		Job string `yaml:"job_name"`
		DNS []struct {
			Names   []string `yaml:"names"`
			Type    string   `yaml:"type"`
			Port    int      `yaml:"port"`
			Refresh string   `yaml:"refresh_interval"`
		} `yaml:"dns_sd_configs"`
		Static []struct {
			Targets []string `yaml:"targets"`
		} `yaml:"static_configs"`
	}
	var file struct {
		Global  map[string]string `yaml:"global"`
		Rules   []string          `yaml:"rule_files"`
		Scrapes []scrape          `yaml:"scrape_configs"`
	}
	decode(t, "deploy/prometheus/prometheus.yml", &file)
	if !slices.Equal(file.Rules, []string{"rules.yml"}) {
		t.Errorf("rules come from %v", file.Rules)
	}
	p, asked := project(t), map[string]bool{}
	for _, s := range file.Scrapes {
		for _, found := range s.DNS {
			// Alarms tell services apart by the name of the job.
			if !slices.Equal(found.Names, []string{s.Job}) || found.Type != "A" || found.Port != 9090 {
				t.Errorf("job %s asks %v at port %d", s.Job, found.Names, found.Port)
			}
			asked[s.Job] = true
		}
	}
	for name, service := range p.Services {
		_, there := service.Networks["metrics"]
		if _, ours := programs()[name]; ours && (!there || !asked[name]) {
			t.Errorf("%s is not asked: on the network %v, in prometheus.yml %v", name, there, asked[name])
		}
	}
}
