package testkit_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/recording"
	"github.com/nexero-vr/nexero/internal/testkit"
)

func write(t *testing.T, options testkit.RecordingOptions) (path string, want recording.Expectation) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "recording.jsonl.gz")
	if err := testkit.WriteRecording(path, options); err != nil {
		t.Fatal(err)
	}
	want, err := recording.Expect(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, want
}

func read(t *testing.T, path string) (requests []recording.Request) {
	t.Helper()
	reader, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return requests
		}
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request)
	}
}

func TestWriteRecording_DependsOnItsOptionsAlone(t *testing.T) {
	t.Parallel()
	content := func(seed uint64) []byte {
		path, _ := write(t, testkit.RecordingOptions{Seed: seed, Sessions: 3, Length: 20 * time.Second, Awkward: true})
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if !bytes.Equal(content(7), content(7)) {
		t.Error("equal options gave different bytes")
	}
	if bytes.Equal(content(7), content(8)) {
		t.Error("different seeds gave equal bytes")
	}
}

func TestWriteRecording_LooksLikeTraffic(t *testing.T) {
	t.Parallel()
	path, want := write(t, testkit.RecordingOptions{Seed: 1, Sessions: 4})
	if want.Repeats != 0 || want.Untimed != 0 || len(want.Sessions) != 4 {
		t.Errorf("expectation %+v, want 4 sessions and nothing awkward", want)
	}
	for _, session := range want.Sessions {
		seconds := session.End - session.Start
		// Ten poses a second, and some looks.
		if seconds < 70 || seconds > 110 || int64(session.Events) < 9*seconds || int64(session.Events) > 13*seconds {
			t.Errorf("session %+v", session)
		}
	}
	var open, most int
	ends := map[string]bool{}
	requests := read(t, path)
	for i, request := range requests {
		id := request.SessionID()
		if !slices.ContainsFunc(requests[:i], func(r recording.Request) bool { return r.SessionID() == id }) {
			open++
		}
		most = max(most, open)
		if !slices.ContainsFunc(requests[i+1:], func(r recording.Request) bool { return r.SessionID() == id }) {
			open--
			ends[request.Path] = true
		}
	}
	if most < 2 {
		t.Error("sessions do not overlap")
	}
	if diff := cmp.Diff(map[string]bool{"/api/v1/unreal/session": true}, ends); diff != "" {
		t.Errorf("last requests of sessions (-want +got):\n%s", diff)
	}
}

func TestWriteRecording_Awkward(t *testing.T) {
	t.Parallel()
	path, want := write(t, testkit.RecordingOptions{Seed: 1, Sessions: 4, Awkward: true})
	if want.Repeats < 4 || want.Untimed == 0 || len(want.Sessions) != 4 {
		t.Errorf("expectation %+v, want repeats, events without time, 4 sessions", want)
	}
	spellings := map[int]bool{}
	early := false // a session post before the session's batches
	seen := map[string]bool{}
	for _, request := range read(t, path) {
		spellings[len(request.SessionID())] = true
		early = early || request.Path == "/api/v1/unreal/session" && len(seen) < 4 && !seen[request.SessionID()]
		seen[request.SessionID()] = true
	}
	if len(spellings) != 2 || !early {
		t.Errorf("spellings %v, late upload %v", spellings, early)
	}
}
