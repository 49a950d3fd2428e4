package recording_test

import (
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// Every copy of a recording comes to what the recording comes to, under other
// session ids.
func TestForCopy_ComesToTheSame(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "one.jsonl.gz")
	err := testkit.WriteRecording(path, testkit.RecordingOptions{Seed: 3, Sessions: 4, Length: 20 * time.Second, Awkward: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := recording.Expect(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := 1; n <= 3; n++ {
		got, err := recording.Expect(writeCopy(t, path, n))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(recording.Session{}, "ID")); diff != "" {
			t.Errorf("copy %d (-want +got):\n%s", n, diff)
		}
		for _, session := range got.Sessions {
			seen[session.ID] = true
		}
	}
	if len(seen) != 3*len(want.Sessions) {
		t.Errorf("%d session ids in 3 copies of %d", len(seen), len(want.Sessions))
	}
}

func writeCopy(t *testing.T, from string, n int) string {
	t.Helper()
	reader, err := recording.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	path := filepath.Join(t.TempDir(), "copy.jsonl.gz")
	writer, err := recording.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = writer.Write(request.ForCopy(n))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
