// Package api is what Nexero promises over HTTP: the OpenAPI document, for
// programs and, as a page, for people. openapi.yaml is written by hand and is
// the contract; tests compare it with the routes and with real answers.
//
// An operation's x-service says which program serves it.
package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var source []byte

//go:embed page.html
var pageSource string

// Document returns the document as JSON. It is the same for the life of the
// program.
func Document() ([]byte, error) {
	var document any
	if err := yaml.Unmarshal(source, &document); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return encoded, nil
}

// Operation is one method of one path.
type Operation struct {
	Method, Path string
	// Services are the programs that serve it.
	Services []string

	Summary, Description string
	Tags                 []string
	// Request is an example of a body, empty for none. Answers are by status.
	Request string
	Answers map[string]string
	// Open says that it needs no key.
	Open bool
}

// Operations returns the operations that service serves, "" for all, by path.
func Operations(service string) ([]Operation, error) {
	d, err := read()
	if err != nil {
		return nil, err
	}
	var operations []Operation
	for path, item := range d.Paths {
		if name, ok := strings.CutPrefix(item.Ref, "#/components/pathItems/"); ok {
			item = d.Components.PathItems[name]
		}
		for method, o := range map[string]*operation{"GET": item.Get, "POST": item.Post} {
			if o == nil || service != "" && !slices.Contains(o.Service, service) {
				continue
			}
			listed, err := o.listed(method, path, d)
			if err != nil {
				return nil, err
			}
			operations = append(operations, listed)
		}
	}
	slices.SortFunc(operations, func(a, b Operation) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
	return operations, nil
}

// Page returns the document as an HTML page that loads nothing, neither script
// nor style, from anywhere.
func Page() ([]byte, error) {
	d, err := read()
	if err != nil {
		return nil, err
	}
	operations, err := Operations("")
	if err != nil {
		return nil, err
	}
	schemas := map[string]string{}
	for name, schema := range d.Components.Schemas {
		if schemas[name], err = indented(schema); err != nil {
			return nil, err
		}
	}
	page, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Info": d.Info, "Tags": d.Tags, "Operations": operations, "Schemas": schemas})
	if err != nil {
		return nil, fmt.Errorf("write page: %w", err)
	}
	return out.Bytes(), nil
}
