package query_test

import (
	"bytes"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/nexero-vr/nexero/api"
	"github.com/nexero-vr/nexero/internal/query"
)

// What is documented is what there is, path by path.
func TestDocument_HasTheRoutes(t *testing.T) {
	t.Parallel()
	operations, err := api.Operations("query")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, o := range operations {
		documented = append(documented, o.Method+" "+o.Path)
	}
	routes := setup(t, query.Options{}).server.Routes()
	slices.Sort(documented)
	slices.Sort(routes)
	if diff := cmp.Diff(documented, routes); diff != "" {
		t.Errorf("routes (-documented +served):\n%s", diff)
	}
}

// contract is the API document, against which every answer in these tests is
// checked. It is made once.
var contract = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	encoded, err := api.Document()
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	return compiler, compiler.AddResource("openapi.json", document)
})

// compiling guards the compiler.
var compiling sync.Mutex

// wantDocumented checks an answer against the document.
func (a *fixture) wantDocumented(method, target string, status int, body []byte) {
	a.Helper()
	compiler, err := contract()
	if err != nil {
		a.Fatal(err)
	}
	at := "/components/schemas/Problem"
	if status < http.StatusBadRequest || strings.Contains(target, "readyz") {
		at = "/paths/" + strings.ReplaceAll(documented(target), "/", "~1") + "/get/responses/" + strconv.Itoa(status) + "/content/application~1json/schema"
	}
	compiling.Lock()
	schema, err := compiler.Compile("openapi.json#" + at)
	compiling.Unlock()
	if err != nil {
		a.Fatalf("%s %s %d: %v", method, target, status, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		a.Fatalf("%s %s: %q: %v", method, target, body, err)
	}
	if err := schema.Validate(value); err != nil {
		a.Errorf("%s %s is answered %s: %v", method, target, body, err)
	}
}

// documented is the path of an address as the document writes it.
func documented(target string) string {
	address, err := url.Parse(strings.ReplaceAll(target, "//", "/"))
	if err != nil {
		return target
	}
	clean := path.Clean(address.Path)
	if strings.HasPrefix(clean, "/api/v1/sessions/") {
		return "/api/v1/sessions/%7Bid%7D"
	}
	return clean
}
