package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Every reference leads somewhere, every schema is one, and every operation
// says who serves it.
func TestDocument(t *testing.T) {
	t.Parallel()
	encoded, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	references := map[string]bool{}
	collect(document, references)
	for ref := range references {
		if at(document, ref) == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	for name := range d.Components.Schemas {
		if !references["#/components/schemas/"+name] {
			t.Errorf("schema %s is used by nothing", name)
		}
		if _, err := compiler.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
	operations, err := Operations("")
	if err != nil || len(operations) == 0 {
		t.Fatalf("%d operations, %v", len(operations), err)
	}
	for _, o := range operations {
		if len(o.Services) == 0 || o.Summary == "" || len(o.Tags) != 1 || len(o.Answers) == 0 {
			t.Errorf("%s %s is not described: %+v", o.Method, o.Path, o)
		}
		for status, description := range o.Answers {
			if description == "" {
				t.Errorf("%s %s %s is not described", o.Method, o.Path, status)
			}
		}
	}
}

// Examples are what they are examples of.
func TestDocument_Examples(t *testing.T) {
	t.Parallel()
	encoded, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for _, media := range []string{
		"/components/pathItems/event/post/requestBody/content/application~1json",
		"/components/pathItems/batch/post/requestBody/content/application~1json",
		"/components/requestBodies/Session/content/application~1json",
	} {
		schema, err := compiler.Compile("openapi.json#" + media + "/schema")
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(at(document, "#"+media+"/example")); err != nil {
			t.Errorf("%s: %v", media, err)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	page, err := Page()
	if err != nil {
		t.Fatal(err)
	}
	operations, err := Operations("")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range operations {
		if !strings.Contains(string(page), "<code>"+o.Path+"</code>") {
			t.Errorf("%s is not on the page", o.Path)
		}
	}
	encoded, err := Document()
	if err != nil || !json.Valid(encoded) {
		t.Errorf("no JSON: %v", err)
	}
}

// collect gathers all references below node.
func collect(node any, references map[string]bool) {
	switch v := node.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			references[ref] = true
		}
		for _, member := range v {
			collect(member, references)
		}
	case []any:
		for _, element := range v {
			collect(element, references)
		}
	}
}

// at follows a reference within document; nil when it leads nowhere.
func at(document any, ref string) any {
	node := document
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := node.(map[string]any)
		node = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	return node
}
