package recording

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(from []byte) (requests []Request, err error) {
	reader, err := newReader("test", bytes.NewReader(from))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return requests, nil
		}
		if err != nil {
			_, again := reader.Next()
			if !errors.Is(again, err) {
				return nil, fmt.Errorf("the error became %w", again)
			}
			return requests, err
		}
		requests = append(requests, request)
	}
}

func writeAll(t testing.TB, requests []Request) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newWriter(&out)
	for _, request := range requests {
		if err := w.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRecording_RoundTrip(t *testing.T) {
	t.Parallel()
	want := []Request{
		{Method: "POST", Path: "/a?b=c", Headers: map[string]string{"Content-Type": "text/plain", "X": "é"}, Body: ""},
		{AtMS: 5, Method: "POST", Path: "/", Body: "<&>\u2028\x00\x7f\"\\\r\n\t 👓 \ufffd"},
		{AtMS: 5, Method: "GET", Path: "/x", Body: strings.Repeat("long ", 100_000)},
	}
	path := filepath.Join(t.TempDir(), "r.jsonl.gz")
	writer, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range want {
		if err := writer.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(text)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestWriter_RefusesWhatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	good := Request{AtMS: 7, Method: "POST", Path: "/p", Body: "{}"}
	for name, change := range map[string]func(*Request){
		"before the start": func(r *Request) { r.AtMS = -1 },
		"back in time":     func(r *Request) { r.AtMS = 6 },
		"no method":        func(r *Request) { r.Method = "" },
		"relative path":    func(r *Request) { r.Path = "p" },
		"broken body":      func(r *Request) { r.Body = "\xff" },
	} {
		w := newWriter(io.Discard)
		if err := w.Write(good); err != nil {
			t.Fatal(err)
		}
		bad := good
		change(&bad)
		if err := w.Write(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestReader_NamesTheLineAtFault(t *testing.T) {
	t.Parallel()
	const good = `{"at_ms":5,"method":"POST","path":"/p","headers":{},"body":"b"}` + "\n"
	for name, test := range map[string]struct{ line, want string }{
		"not json":      {"nonsense\n", "invalid character"},
		"empty":         {"\n" + good, "empty line"},
		"blank":         {" \r\n" + good, "empty line"},
		"two values":    {strings.TrimSpace(good) + good, "more than one value"},
		"unknown name":  {`{"at_ms":5,"method":"POST","path":"/p","when":1,"body":""}`, "when"},
		"no body":       {`{"at_ms":5,"method":"POST","path":"/p"}`, "body is missing"},
		"no path":       {`{"at_ms":5,"method":"POST","body":""}`, "path"},
		"back in time":  {strings.Replace(good, "5", "4", 1), "goes back"},
		"not utf-8":     {strings.Replace(good, `"b"`, "\"\xff\"", 1), "not UTF-8"},
		"type mismatch": {strings.Replace(good, `"b"`, "{}", 1), "body"},
		"too long":      {`{"body":"` + strings.Repeat("a", maxLine) + `"}`, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(zipped(t, good+test.line))
			if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "test, line 2") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d requests and %v, want 1 and line 2 with %q", len(got), err, test.want)
			}
		})
	}
}

func TestOpen_RefusesOtherFiles(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	path := filepath.Join(t.TempDir(), "plain.jsonl")
	if err := os.WriteFile(path, []byte(`{"at_ms":5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, gzip.ErrHeader) || !strings.Contains(err.Error(), path) {
		t.Errorf("plain file: %v, want gzip.ErrHeader with its path", err)
	}
	whole := writeAll(t, []Request{{Method: "POST", Path: "/p", Body: "b"}})
	if _, err := readAll(whole[:len(whole)-5]); err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("cut file: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"at_ms":5,"method":"POST","path":"/p","headers":{"A":"b"},"body":"b"}`))
	f.Add([]byte("{\"method\":\"P\",\"path\":\"/\",\"body\":\"\"}\n{\"method\":\"P\",\"path\":\"/\",\"body\":\"\\ud800\"}"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		requests, _ := readAll(zipped(t, string(text)))
		// What was read can be written, and comes back the same.
		again, err := readAll(writeAll(t, requests))
		if diff := cmp.Diff(requests, again); diff != "" || err != nil {
			t.Errorf("%v (-first +again):\n%s", err, diff)
		}
	})
}

func FuzzReader_AnyFile(f *testing.F) {
	f.Add(zipped(f, "{}"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(_ *testing.T, file []byte) {
		_, _ = readAll(file) // an error or not, but it ends
	})
}
