package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewLogger_JSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := NewLogger(&out, Logging{Service: "worker", Version: "v1.2.3", Environment: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("unseen")
	log.Info("stored", "rows", 3, "error", errors.New("none"), "took", 1500*time.Millisecond)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("not one line of JSON: %v\n%s", err, out.String())
	}
	stamp, _ := line["time"].(string)
	if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || at.Location() != time.UTC {
		t.Errorf("time %q is not in UTC: %v", stamp, err)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "stored", "rows": 3.0, "error": "none", "took": 1.5,
		"service": "worker", "version": "v1.2.3", "environment": "staging",
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestNewLogger_Formats(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		format   Format
		terminal bool
		want     string
	}{
		{FormatAuto, false, `"msg":"hello"`},
		{"", false, `"msg":"hello"`},
		{FormatAuto, true, "\x1b["},
		{FormatTint, false, "INF hello service=ingest\n"},
		{FormatJSON, true, `"msg":"hello"`},
	} {
		var out bytes.Buffer
		log, err := NewLogger(&out, Logging{Format: test.format, Terminal: test.terminal, Service: "ingest"})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hello")
		if !strings.Contains(out.String(), test.want) {
			t.Errorf("%q on a terminal %v: %q, want %q in it", test.format, test.terminal, out.String(), test.want)
		}
	}
	if _, err := NewLogger(&bytes.Buffer{}, Logging{Format: "xml"}); err == nil {
		t.Error("an unknown format was taken")
	}
}

func TestNewLogger_LevelCanChange(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FormatTint, FormatJSON} {
		var out bytes.Buffer
		var level slog.LevelVar
		log, err := NewLogger(&out, Logging{Format: format, Level: &level})
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("before")
		level.Set(slog.LevelDebug)
		log.Debug("after")
		if text := out.String(); strings.Contains(text, "before") || !strings.Contains(text, "after") {
			t.Errorf("%s: %q, want after without before", format, text)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if IsTerminal(file) || IsTerminal(&bytes.Buffer{}) {
		t.Error("a file or a buffer passes for a terminal")
	}
}
