package obs

import (
	"net/http"
	"net/http/httptest"
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

// rule 9
func TestProfiles_AreBounded(t *testing.T) {
	t.Parallel()
	handler := bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]int{
		"profile": http.StatusOK, "profile?seconds=60": http.StatusOK, "trace?seconds=0.5": http.StatusOK,
		"profile?seconds=61": http.StatusBadRequest, "trace?seconds=1e9": http.StatusBadRequest, "heap?seconds=100000": http.StatusBadRequest,
		"profile?seconds=NaN": http.StatusBadRequest, "trace?seconds=-1": http.StatusBadRequest, "heap?seconds=x": http.StatusBadRequest,
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, profilePath+path, nil))
		if answer.Code != want {
			t.Errorf("%s: status %d, want %d", path, answer.Code, want)
		}
	}
}

// Profiles cost something while they are taken, so they do not add up. // rule 9
func TestProfiles_OneAtATime(t *testing.T) {
	t.Parallel()
	taking, release := make(chan struct{}), make(chan struct{})
	handler := bounded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == profilePath+"profile" {
			close(taking)
			<-release
		}
	}))
	ask := func(path string) int {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, profilePath+path, nil))
		return answer.Code
	}
	first := make(chan int, 1)
	go func() { first <- ask("profile?seconds=60") }()
	<-taking
	for path, want := range map[string]int{
		"heap": http.StatusServiceUnavailable, "trace?seconds=1": http.StatusServiceUnavailable, "": http.StatusOK,
	} {
		if status := ask(path); status != want {
			t.Errorf("%q beside a profile: status %d, want %d", path, status, want)
		}
	}
	close(release)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the profile: status %d", status)
	}
	if status := ask("heap"); status != http.StatusOK {
		t.Errorf("after it: status %d", status)
	}
}

// What packages register for themselves is not served. // rule 9
func TestHandler_IsNotTheDefaultMux(t *testing.T) {
	t.Parallel()
	if status, _ := get(t, "http://"+serve(t)+"/debug/vars"); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}
