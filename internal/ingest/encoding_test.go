package ingest

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func gzipped(t testing.TB, body string) string {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// zstdStream compresses without telling the size in the frame's header.
func zstdStream(t testing.TB, body string, options ...zstd.EOption) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func zstdWhole(t testing.TB, body string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(body), nil))
}

// rule 9
func TestEncoding(t *testing.T) {
	t.Parallel()
	plain := tour(50, "t")
	// 4 MiB, the most that is allowed, and one byte more. Spaces compress well.
	most := `{"events":[]}` + strings.Repeat(" ", 4<<20-13)
	// A frame with a window of 16 MiB and one raw block.
	wide := "\x28\xb5\x2f\xfd\x00\x70\x69\x00\x00" + `{"events":[]}`
	bomb := strings.Repeat("\x00", 9<<20)
	for name, tc := range map[string]struct {
		encoding, body string
		status         int
		code           string
	}{
		"identity":                {"identity", plain, 202, ""},
		"gzip":                    {"gzip", gzipped(t, plain), 202, ""},
		"GZIP":                    {" GZIP ", gzipped(t, plain), 202, ""},
		"x-gzip":                  {"x-gzip", gzipped(t, plain), 202, ""},
		"two gzip members":        {"gzip", gzipped(t, plain[:99]) + gzipped(t, plain[99:]), 202, ""},
		"zstd":                    {"zstd", zstdWhole(t, plain), 202, ""},
		"zstd stream":             {"zstd", zstdStream(t, plain), 202, ""},
		"zstd, best, wide window": {"zstd", zstdStream(t, plain, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20)), 202, ""},
		"two zstd frames":         {"zstd", zstdWhole(t, plain[:99]) + zstdStream(t, plain[99:]), 202, ""},
		"gzip, 4 MiB":             {"gzip", gzipped(t, most), 202, ""},
		"zstd, 4 MiB":             {"zstd", zstdWhole(t, most), 202, ""},
		"gzip, a byte more":       {"gzip", gzipped(t, most+" "), 413, "body_too_large"},
		"zstd, a byte more":       {"zstd", zstdWhole(t, most+" "), 413, "body_too_large"},
		"gzip bomb":               {"gzip", gzipped(t, bomb), 413, "body_too_large"},
		"gzip bomb in members":    {"gzip", strings.Repeat(gzipped(t, bomb[:1<<20]), 9), 413, "body_too_large"},
		"zstd bomb":               {"zstd", zstdWhole(t, bomb), 413, "body_too_large"},
		"zstd bomb, stream":       {"zstd", zstdStream(t, bomb), 413, "body_too_large"},
		"zstd bomb in frames":     {"zstd", strings.Repeat(zstdStream(t, bomb[:1<<20]), 9), 413, "body_too_large"},
		"zstd, window too wide":   {"zstd", wide, 415, "unsupported_encoding"},
		"deflate":                 {"deflate", plain, 415, "unsupported_encoding"},
		"br":                      {"br", plain, 415, "unsupported_encoding"},
		"gzip twice":              {"gzip, gzip", gzipped(t, gzipped(t, plain)), 415, "unsupported_encoding"},
		"not gzip":                {"gzip", plain, 400, "broken_encoding"},
		"gzip cut off":            {"gzip", gzipped(t, plain)[:100], 400, "broken_encoding"},
		"gzip, wrong checksum":    {"gzip", flipped(gzipped(t, plain), 8), 400, "broken_encoding"},
		"gzip, rubbish behind":    {"gzip", gzipped(t, plain) + "rubbish behind it", 400, "broken_encoding"},
		"not zstd":                {"zstd", plain, 400, "broken_encoding"},
		"zstd cut off":            {"zstd", zstdStream(t, plain)[:100], 400, "broken_encoding"},
		"zstd, wrong checksum":    {"zstd", flipped(zstdWhole(t, plain), 4), 400, "broken_encoding"},
		"one byte of gzip":        {"gzip", "\x1f", 400, "broken_encoding"},
		"unreadable once plain":   {"gzip", gzipped(t, `{"events":`), 400, "truncated_body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			got := e.send(t, http.MethodPost, pathBatch, tc.body, map[string]string{"Content-Encoding": tc.encoding}).Want(t, tc.status, tc.code)
			if accept := got.Header.Get("Accept-Encoding"); (accept != "") != (tc.status == 415) {
				t.Errorf("Accept-Encoding is %q", accept)
			}
			// An accepted body is stored and so is the beginning of a broken one;
			// a refused one is not. // rule 5
			stored := e.stored(t)
			if kept := len(stored) == 1; kept != (tc.status == 202 || tc.status == 400) {
				t.Errorf("%d batches are stored", len(stored))
			}
			if tc.status == 400 && stored[0].Rejected[0].Raw == "" {
				t.Error("nothing of the broken body is kept")
			}
		})
	}
}

// The way in which a body travelled is no part of its identity. // rule 2
func TestEncoding_SameBatch(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	plain := tour(5, "t")
	first := e.post(t, pathBatch, plain)
	for encoding, body := range map[string]string{"gzip": gzipped(t, plain), "zstd": zstdWhole(t, plain)} {
		got := e.send(t, http.MethodPost, pathBatch, body, map[string]string{"Content-Encoding": encoding})
		if got.JSON["batch_id"] != first.JSON["batch_id"] || got.JSON["duplicate"] != true {
			t.Errorf("%s: %v", encoding, got.JSON)
		}
		if got := testutil.ToFloat64(e.metrics.bodies[encoding]); got != 1 {
			t.Errorf("%v bodies are counted as %s", got, encoding)
		}
	}
}

// flipped changes the byte that is n from the end.
func flipped(s string, n int) string {
	b := []byte(s)
	b[len(b)-n] ^= 0xff
	return string(b)
}

// FuzzInflate feeds any bytes as either encoding. What comes out is never more
// than the limit, and what the library itself compressed comes out as it was.
func FuzzInflate(f *testing.F) {
	const limit = 64 << 10
	buffers := &sync.Pool{New: func() any { return new(make([]byte, 512)) }}
	inflater, err := newInflater(limit, buffers)
	if err != nil {
		f.Fatal(err)
	}
	zeros := strings.Repeat("\x00", 2*limit)
	for _, seed := range []string{"", "\x1f\x8b", gzipped(f, "{}"), gzipped(f, zeros), zstdWhole(f, "{}"), zstdStream(f, zeros)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, encoding := range []string{encodingGzip, encodingZstd} {
			if plain, err := inflater.inflate(encoding, body); len(plain) > limit || err != nil && plain != "" {
				t.Fatalf("%s: %d bytes, %v", encoding, len(plain), err)
			}
		}
		if len(body) > limit {
			return
		}
		for encoding, packed := range map[string]string{encodingGzip: gzipped(t, body), encodingZstd: zstdWhole(t, body)} {
			if plain, err := inflater.inflate(encoding, packed); plain != body || err != nil {
				t.Fatalf("%s: %d bytes became %d, %v", encoding, len(body), len(plain), err)
			}
		}
	})
}
