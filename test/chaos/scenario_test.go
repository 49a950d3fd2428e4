package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScenarios_HaveTheirPlace finds for each scenario the lines of the page
// between which its report is written.
func TestScenarios_HaveTheirPlace(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios() {
		begin, end := scenarioMarkers(s.name)
		if before, after, ok := strings.Cut(string(page), begin); !ok || strings.Contains(before, end) || strings.Count(after, end) != 1 {
			t.Errorf("the page has no place for %s", s.name)
		}
		if s.minutes == 0 || s.play == nil || s.about == "" {
			t.Errorf("%s lacks something", s.name)
		}
	}
}

// TestReport_SaysWhatIsBroken writes what was promised beside what was measured.
func TestReport_SaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	one := scenarios()[0]
	begin, end := scenarioMarkers(one.name)
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &act{seed: 7, lasts: 90 * time.Second, say: func(format string, arguments ...any) { said.WriteString(format) }}
	a.show("a", "%d", 1)
	a.promise(true, "b", "two", "%d", 2)
	if a.report.broken() {
		t.Error("broken although all was kept")
	}
	a.promise(false, "c", "three", "%d", 4)
	if !a.report.broken() {
		t.Error("not broken although a promise was not kept")
	}
	if err := a.report.write(t.Context(), path, &one, a); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n", "\nafter\n", "| a | 1 |  |\n", "| b | 2 | two |\n", "| c | 4 | three **BROKEN** |\n",
		"`go run ./test/chaos --scenario " + one.name + " --seed 7 --minutes 2`",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(string(page), "old") {
		t.Errorf("the page keeps what was there:\n%s", page)
	}
}

// TestMeter_Between sums up what began within a span.
func TestMeter_Between(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	var m meter
	for n, h := range []heard{
		{host: "a", status: http.StatusAccepted, took: time.Second},
		{host: "b", status: http.StatusCreated, took: 2 * time.Second},
		{host: "a", status: http.StatusServiceUnavailable, took: 3 * time.Second, retryAfter: true},
		{host: "b", status: http.StatusServiceUnavailable, took: 4 * time.Second},
		{host: "a"},
		{host: "a", status: http.StatusAccepted},
	} {
		h.begun = at(n)
		m.note(h)
	}
	got := m.between(at(0), at(5))
	if got.String() != "1 × no answer, 1 × 201, 1 × 202, 2 × 503" || got.mute != 1 || got.unwell() != 3 || got.others(http.StatusServiceUnavailable) != 3 {
		t.Errorf("%s, %d mute, %d unwell, %d others", got, got.mute, got.unwell(), got.others(http.StatusServiceUnavailable))
	}
	if q := quantiles(got.refused); q != "p50 3s, p99 4s, most 4s" {
		t.Errorf("refusals: %s", q)
	}
	if when, ok := m.firstAccepted(at(2), []string{"a", "b"}); !ok || !when.Equal(at(5)) {
		t.Errorf("both accepted at %s, %t", when, ok) // b's answer of second 3, a's of second 5
	}
	if _, ok := m.firstAccepted(at(4), []string{"a", "b"}); ok {
		t.Error("b has not accepted anything since")
	}
}

// TestQuantile takes values that there are.
func TestQuantile(t *testing.T) {
	t.Parallel()
	all := []time.Duration{5 * time.Millisecond, time.Millisecond, 3 * time.Millisecond, 4 * time.Millisecond, 2 * time.Millisecond}
	for share, want := range map[float64]time.Duration{0: time.Millisecond, 0.2: time.Millisecond, 0.5: 3 * time.Millisecond, 0.99: 5 * time.Millisecond, 1: 5 * time.Millisecond} {
		if got := quantile(all, share); got != want {
			t.Errorf("quantile %g is %s, want %s", share, got, want)
		}
	}
	if got := quantiles(nil); got != "none" {
		t.Errorf("of nothing: %s", got)
	}
}

// TestSampler_Between tells growth from breathing.
func TestSampler_Between(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := sampler{samples: map[string][]sample{}}
	for n, held := range []int64{99, 10, 30, 20, 40, 25, 33, 99} {
		w.samples["x"] = append(w.samples["x"], sample{start.Add(time.Duration(n) * time.Second), held})
	}
	got := w.between("x", start.Add(time.Second), start.Add(7*time.Second))
	if got != (span{least: 10, most: 40, grew: 3}) {
		t.Errorf("%+v", got)
	}
}
