package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/recording"
)

// ingest is a transport that answers as it is told and remembers what it got.
type ingest struct {
	answer func(attempt int, request *http.Request) (*http.Response, error)

	mu       sync.Mutex
	bodies   []string
	arrivals []time.Time
}

func (i *ingest) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	i.bodies = append(i.bodies, string(body))
	i.arrivals = append(i.arrivals, time.Now())
	attempt := len(i.bodies)
	i.mu.Unlock()
	return i.answer(attempt, request)
}

func response(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func accepted(processed int) *http.Response {
	return response(http.StatusAccepted, nil, fmt.Sprintf(`{"status":"received","processed":%d,"failed":1,"duplicate":true}`, processed))
}

func (i *ingest) client() *Client {
	return &Client{BaseURL: "http://ingest", Key: "secret", HTTP: &http.Client{Transport: i}, GiveUp: time.Minute}
}

// rule 2: a repeat must be the same bytes, or the server cannot know it.
func TestPost_RepeatsTheSameBytesUntilAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &ingest{answer: func(attempt int, _ *http.Request) (*http.Response, error) {
			switch attempt {
			case 1:
				return nil, errors.New("connection reset")
			case 2:
				return response(http.StatusServiceUnavailable, http.Header{"Retry-After": {"7"}}, `{"detail":"full"}`), nil
			case 3:
				return response(http.StatusBadGateway, nil, "<html>"), nil
			}
			return accepted(3), nil
		}}
		answer, err := i.client().Post(t.Context(), "/batch", nil, []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(slices.Repeat([]string{`{"a":1}`}, 4), i.bodies); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
		if answer.Attempts != 4 || answer.Processed != 3 || answer.Failed != 1 || !answer.Duplicate || answer.Status != http.StatusAccepted {
			t.Errorf("answer %+v", answer)
		}
		if waited := i.arrivals[2].Sub(i.arrivals[1]); waited < 7*time.Second {
			t.Errorf("waited %s after Retry-After: 7", waited)
		}
	})
}

func TestPost_RefusalIsFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &ingest{answer: func(_ int, request *http.Request) (*http.Response, error) {
			if request.Header.Get("X-Api-Key") != "secret" || request.Header.Get("Content-Type") != "text/x" {
				t.Errorf("header %v", request.Header)
			}
			return response(http.StatusBadRequest, nil, `{"detail":"not JSON"}`), nil
		}}
		answer, err := i.client().Post(t.Context(), "/batch", map[string]string{"Content-Type": "text/x"}, nil)
		if err != nil || answer.Status != http.StatusBadRequest || answer.Detail != "not JSON" || answer.Attempts != 1 {
			t.Errorf("answer %+v, %v", answer, err)
		}
	})
}

func TestPost_GivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &ingest{answer: func(int, *http.Request) (*http.Response, error) { return nil, errors.New("refused") }}
		start := time.Now()
		if _, err := i.client().Post(t.Context(), "/batch", nil, nil); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("gave up after %s, later than a minute", took)
		}
	})
}

// write makes a recording of two sessions that overlap.
func write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "two.jsonl.gz")
	var requests []recording.Request
	for step := range 3 {
		for session := range 2 {
			requests = append(requests, recording.Request{
				AtMS: int64(1000*step + 100*session), Method: http.MethodPost, Path: "/api/v1/unreal/tracking/batch",
				Headers: map[string]string{"Content-Type": "application/json"},
				Body:    fmt.Sprintf(`{"session_id":"0000000000000000000000000000000%d","sent_at":%d,"events":[]}`, session+1, step),
			})
		}
	}
	writer, err := recording.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range requests {
		if err := writer.Write(request); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun_KeepsTheOrderOfASession(t *testing.T) {
	t.Parallel()
	i := &ingest{answer: func(int, *http.Request) (*http.Response, error) { return accepted(2), nil }}
	summary, err := Run(t.Context(), i.client(), Options{File: write(t), Copies: 3, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	if summary.Answered != 18 || summary.Accepted != 36 || summary.Rejected != 18 || summary.Repeats != 18 || summary.Refused != 0 {
		t.Errorf("summary %+v", summary)
	}
	bySession := map[string][]string{}
	for _, body := range i.bodies {
		session := recording.Request{Body: body}.SessionID()
		bySession[session] = append(bySession[session], body)
	}
	if len(bySession) != 6 {
		t.Errorf("%d sessions, want 6", len(bySession))
	}
	for session, bodies := range bySession {
		if !slices.IsSorted(bodies) || len(bodies) != 3 {
			t.Errorf("session %s came as %q", session, bodies)
		}
	}
}

func TestRun_Speed(t *testing.T) {
	t.Parallel()
	path := write(t)
	synctest.Test(t, func(t *testing.T) {
		i := &ingest{answer: func(int, *http.Request) (*http.Response, error) { return accepted(1), nil }}
		if _, err := Run(t.Context(), i.client(), Options{File: path, Copies: 1, Connections: 1, Speed: 2}); err != nil {
			t.Fatal(err)
		}
		var at []time.Duration
		for _, arrival := range i.arrivals {
			at = append(at, arrival.Sub(i.arrivals[0]))
		}
		want := []time.Duration{0, 50 * time.Millisecond, 500 * time.Millisecond, 550 * time.Millisecond, time.Second, 1050 * time.Millisecond}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("arrivals (-want +got):\n%s", diff)
		}
	})
}

func TestRun_RefusalsAreCounted(t *testing.T) {
	t.Parallel()
	i := &ingest{answer: func(attempt int, _ *http.Request) (*http.Response, error) {
		if attempt == 2 {
			return response(http.StatusUnauthorized, nil, `{"detail":"no such key"}`), nil
		}
		return accepted(1), nil
	}}
	summary, err := Run(t.Context(), i.client(), Options{File: write(t), Copies: 1, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	if summary.Answered != 6 || summary.Refused != 1 || summary.FirstRefusal != "status 401: no such key" {
		t.Errorf("summary %+v", summary)
	}
	var text bytes.Buffer
	if err := summary.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"answered  6 requests", "1 refused", "the first with status 401: no such key", "5 accepted"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("printed %q, want %q in it", text.String(), part)
		}
	}
}
