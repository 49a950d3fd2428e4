package ingestd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/nexero-vr/nexero/api"
)

// What is documented is what there is, path by path.
func TestDocument_HasTheRoutes(t *testing.T) {
	t.Parallel()
	operations, err := api.Operations("ingest")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, o := range operations {
		documented = append(documented, o.Method+" "+o.Path)
	}
	routes := startEdge(t).server.Routes()
	slices.Sort(documented)
	slices.Sort(routes)
	if diff := cmp.Diff(documented, routes); diff != "" {
		t.Errorf("routes (-documented +served):\n%s", diff)
	}
}

// contract checks answers against the served document.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler
}

func newContract(t *testing.T, served []byte) *contract {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(served))
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{compiler: jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := c.compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	c.document, _ = document.(map[string]any)
	return c
}

// answer is where the document has the schema of an answer.
func (c *contract) answer(t *testing.T, method, path string, status int) string {
	t.Helper()
	at, node := "", any(c.document)
	step := func(names ...string) bool {
		for _, name := range names {
			object, _ := node.(map[string]any)
			next, ok := object[name]
			if !ok {
				return false
			}
			at, node = at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), next
			if ref, ok := next.(map[string]any)["$ref"].(string); ok {
				at, node = "", any(c.document)
				for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					object, _ := node.(map[string]any)
					at, node = at+"/"+name, object[name]
				}
			}
		}
		return true
	}
	if !step("paths", path, strings.ToLower(method), "responses") || !step(strconv.Itoa(status)) && !step("default") || !step("content", "application/json") {
		t.Fatalf("%s %s %d is not documented", method, path, status)
	}
	return "openapi.json#" + at + "/schema"
}

// Real answers have the shape that the document gives them.
func TestDocument_FitsTheAnswers(t *testing.T) {
	t.Parallel()
	c := newClient(t, startEdge(t))
	_, _, served := c.send(t, http.MethodGet, "/openapi.json", "")
	doc := newContract(t, served)
	const unreal = "/api/v1/unreal"
	now := time.Now().Unix()
	event := func(more string) string { return fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5%s}`, now, more) }
	for _, tc := range []struct {
		method, path, documented, body string
		status                         int
	}{
		{"POST", "/session", "", `{"session_id":"a","session_start":"1727653800"}`, 201},
		{"POST", "/session", "", `{}`, 201},
		{"POST", "/session", "", `{"mood":"fine"}`, 400},
		{"GET", "/session/a/status", "/session/{id}/status", "", 200},
		{"POST", "/session/end", "", `{"session_id":"b","session_end":"1727654100"}`, 200},
		{"GET", "/session/b/status", "/session/{id}/status", "", 200},
		{"GET", "/session/none/status", "/session/{id}/status", "", 200},
		{"POST", "/session/a/heartbeat", "/session/{id}/heartbeat", "", 200},
		{"POST", "/heartbeat/none", "/heartbeat/{id}", "", 404},
		{"POST", "/tracking/event", "", event(`,"session_id":"a"`), 202},
		{"POST", "/tracking/event", "", `{"event_type":"gaze","session_id":"a"}`, 202},
		{"POST", "/tracking/event", "", event(""), 400},
		{"POST", "/batch", "", `{"session_id":"a","events":[` + event("") + `,{},7]}`, 202},
		{"POST", "/tracking/batch", "", `{"events":[]}`, 202},
		{"POST", "/tracking/batch", "", `{`, 400},
	} {
		status, answer := c.ask(t, tc.method, tc.path, tc.body)
		if status != tc.status {
			t.Errorf("%s %s %s is answered %d, want %d: %v", tc.method, tc.path, tc.body, status, tc.status, answer)
			continue
		}
		documented := tc.documented
		if documented == "" {
			documented = tc.path
		}
		schema, err := doc.compiler.Compile(doc.answer(t, tc.method, unreal+documented, status))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(any(answer)); err != nil {
			t.Errorf("%s %s %s is answered %v: %v", tc.method, tc.path, tc.body, answer, err)
		}
	}
	for _, path := range []string{"/", "/health", "/livez", "/readyz"} {
		status, _, body := c.send(t, http.MethodGet, path, "")
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := doc.compiler.Compile(doc.answer(t, http.MethodGet, path, status))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(answer); err != nil {
			t.Errorf("%s is answered %s: %v", path, body, err)
		}
	}
	// The page asks nobody for anything.
	_, header, page := c.send(t, http.MethodGet, "/docs/", "")
	policy := header.Get("Content-Security-Policy")
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(policy, "default-src 'none'") ||
		!json.Valid(served) || !strings.Contains(string(page), "/api/v1/unreal/tracking/batch") {
		t.Errorf("the page: %v", header)
	}
	for _, banned := range []string{"<script", "http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(string(page), banned) {
			t.Errorf("the page contains %s", banned)
		}
	}
}
