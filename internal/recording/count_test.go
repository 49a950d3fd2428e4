package recording

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCount_CountsWhatTheReaderReads(t *testing.T) {
	t.Parallel()
	const line = `{"at_ms":5,"method":"POST","path":"/p","headers":{},"body":"a\nb"}`
	long := `{"at_ms":5,"method":"POST","path":"/p","body":"` + strings.Repeat("long ", 50_000) + `"}`
	for name, file := range map[string][]byte{
		"nothing":          zipped(t, ""),
		"one":              zipped(t, line+"\n"),
		"no end":           zipped(t, line+"\n"+line),
		"windows":          zipped(t, line+"\r\n"+line+"\r\n"),
		"long lines":       zipped(t, long+"\n"+line+"\n"+long),
		"many":             zipped(t, strings.Repeat(line+"\n", 3000)),
		"put together":     slices.Concat(zipped(t, line+"\n"), zipped(t, line+"\n"+line)),
		"cut in mid-line":  slices.Concat(zipped(t, line[:20]), zipped(t, line[20:]+"\n"+line)),
		"an empty section": slices.Concat(zipped(t, line), zipped(t, "")),
	} {
		want, err := readAll(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "r.jsonl.gz")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Count(path); got != len(want) || err != nil {
			t.Errorf("%s: %d, %v, want %d", name, got, err, len(want))
		}
	}
}

func TestCount_RefusesOtherFiles(t *testing.T) {
	t.Parallel()
	if _, err := Count(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	whole := zipped(t, "{}\n")
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"plain": {[]byte(strings.Repeat("{}\n", 100)), gzip.ErrHeader},
		"cut":   {whole[:len(whole)-5], io.ErrUnexpectedEOF},
		"empty": {nil, io.EOF},
	} {
		path := filepath.Join(t.TempDir(), "r.jsonl.gz")
		if err := os.WriteFile(path, test.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Count(path); !errors.Is(err, test.want) || !strings.Contains(err.Error(), path) || got != 0 {
			t.Errorf("%s: %d, %v, want %v with the path", name, got, err, test.want)
		}
	}
}

func FuzzCount(f *testing.F) {
	f.Add([]byte(`{"method":"P","path":"/","body":""}` + "\n" + `{"method":"P","path":"/","body":""}`))
	f.Add([]byte("\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := zipped(t, string(text))
		requests, err := readAll(file)
		if err != nil {
			return
		}
		if got, err := countLines(bytes.NewReader(file)); got != len(requests) || err != nil {
			t.Errorf("%d, %v, want %d", got, err, len(requests))
		}
	})
}
