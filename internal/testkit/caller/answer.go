package caller

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

const correlationHeader = "X-Correlation-Id"

// Answer is an answer, read and checked.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// JSON is the object in Body; nil if there is no body.
	JSON map[string]any
	// Closed says that the server will not take another request.
	Closed bool
}

// Code is that of a refusal, or "".
func (a Answer) Code() string {
	code, _ := a.JSON["code"].(string)
	return code
}

// Want checks status and code of a refusal, or of an acceptance with code "".
func (a Answer) Want(t testing.TB, status int, code string) Answer {
	t.Helper()
	if a.Status != status || a.Code() != code {
		t.Errorf("got %d %q, want %d %q\n%v", a.Status, a.Code(), status, code, a.JSON)
	}
	return a
}

// Check reads an answer to a request of method and checks what holds for every
// answer: one JSON object with its length, no redirect, no trace of the software,
// a correlation id.
func Check(t testing.TB, method string, response *http.Response, body []byte) Answer {
	t.Helper()
	a := Answer{Status: response.StatusCode, Header: response.Header, Body: body, Closed: response.Close}
	if a.Status >= 300 && a.Status < 400 {
		t.Errorf("a redirect: %d", a.Status)
	}
	for _, name := range []string{"Server", "X-Powered-By"} {
		if a.Header.Get(name) != "" {
			t.Errorf("the answer has the header %s: %s", name, a.Header.Get(name))
		}
	}
	if id := a.Header.Get(correlationHeader); !regexp.MustCompile(`^[\w.-]{1,64}$`).MatchString(id) {
		t.Errorf("the answer has the correlation id %q", id)
	}
	if a.Status == http.StatusNoContent || method == http.MethodHead {
		if len(body) != 0 {
			t.Errorf("an answer that has no body has %q", body)
		}
		return a
	}
	if got, want := a.Header.Get("Content-Length"), strconv.Itoa(len(body)); got != want {
		t.Errorf("Content-Length is %q, the body has %s bytes", got, want)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	if err := json.Unmarshal(body, &a.JSON); err != nil {
		t.Fatalf("the answer is no JSON object: %v\n%s", err, body)
	}
	// A service that is not ready says so in an answer of its own.
	unready := a.Status == http.StatusServiceUnavailable && a.Code() == "" && a.Header.Get("Cache-Control") != ""
	if a.Status >= 400 && !unready {
		a.checkProblem(t)
	}
	return a
}

// checkProblem checks the members that every refusal has.
func (a Answer) checkProblem(t testing.TB) {
	t.Helper()
	got := slices.Sorted(maps.Keys(a.JSON))
	got = slices.DeleteFunc(got, func(name string) bool { return name == "received_keys" })
	want := []string{"code", "correlation_id", "detail", "errors", "message", "status", "title", "type"}
	if !slices.Equal(got, want) {
		t.Errorf("a problem has the members %v, want %v", got, want)
	}
	p := a.JSON
	if p["status"] != float64(a.Status) || p["message"] != p["detail"] || p["detail"] == "" || p["title"] == "" ||
		p["correlation_id"] != a.Header.Get(correlationHeader) || p["type"] != "urn:nexero:problem:"+a.Code() {
		t.Errorf("a problem does not agree with itself: %v", p)
	}
	if _, ok := p["errors"].([]any); !ok {
		t.Errorf("errors is %v, not a list", p["errors"])
	}
	if a.Status == http.StatusUnprocessableEntity {
		t.Error("422 makes old clients drop what could be accepted")
	}
	again := a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests
	if retry := a.Header.Get("Retry-After"); (retry != "") != again {
		t.Errorf("%d with Retry-After %q", a.Status, retry)
	}
}
