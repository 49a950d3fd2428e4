package obs

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// gzipped is how a profile begins.
const gzipped = "\x1f\x8b"

func TestProfiles(t *testing.T) { //nolint:paralleltest // a process takes one profile of its processor at a time
	address := "http://" + serve(t) + profilePath
	for _, test := range []struct {
		path   string
		status int
		begins string
	}{
		{"heap", http.StatusOK, gzipped},
		{"goroutine", http.StatusOK, gzipped},
		{"goroutine?debug=2", http.StatusOK, "goroutine "},
		{"profile?seconds=1", http.StatusOK, gzipped},
		{"trace?seconds=0.01", http.StatusOK, "go 1."},
		{"", http.StatusOK, "<html>"},
		// rule 9
		{"profile?seconds=61", http.StatusBadRequest, "seconds"},
		{"trace?seconds=1e9", http.StatusBadRequest, "seconds"},
		{"heap?seconds=100000", http.StatusBadRequest, "seconds"},
		{"profile?seconds=NaN", http.StatusBadRequest, "seconds"},
		// Flags can hold passwords. // rule 8
		{"cmdline", http.StatusNotFound, "Unknown profile"},
		{"nothing", http.StatusNotFound, "Unknown profile"},
	} {
		status, body := get(t, address+test.path)
		if status != test.status || !strings.HasPrefix(body, test.begins) {
			t.Errorf("%s: status %d, %.40q, want %d, %q", test.path, status, body, test.status, test.begins)
		}
	}
}

// Profiles cost something while they are taken, so they do not add up. // rule 9
func TestProfiles_OneAtATime(t *testing.T) { //nolint:paralleltest // as above
	address := "http://" + serve(t) + profilePath
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"profile?seconds=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Refused while the look below is being answered: then again.
		for ctx.Err() == nil {
			if response, err := http.DefaultClient.Do(request); err == nil {
				_ = response.Body.Close()
			}
		}
	}()
	for range 10_000 {
		if status, _ := get(t, address+"heap"); status == http.StatusServiceUnavailable {
			break
		}
	}
	if status, _ := get(t, address+"heap"); status != http.StatusServiceUnavailable {
		t.Errorf("a second profile: status %d", status)
	}
	// Who leaves ends the profile.
	cancel()
	<-ended
	for range 10_000 {
		if status, _ := get(t, address+"heap"); status == http.StatusOK {
			return
		}
	}
	t.Error("the profile goes on without its client")
}

// What packages register for themselves is not served. // rule 9
func TestHandler_IsNotTheDefaultMux(t *testing.T) {
	t.Parallel()
	if status, _ := get(t, "http://"+serve(t)+"/debug/vars"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}
