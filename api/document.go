package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is as much of the document as the page and the tests need.
type document struct {
	Info struct{ Title, Version, Summary, Description string }
	Tags []struct{ Name, Description string }

	Paths      map[string]pathItem
	Components struct {
		PathItems     map[string]pathItem `yaml:"pathItems"`
		RequestBodies map[string]body     `yaml:"requestBodies"`
		Responses     map[string]response
		Schemas       map[string]any
	}
}

type pathItem struct {
	Ref       string `yaml:"$ref"`
	Get, Post *operation
}

type operation struct {
	Service              services `yaml:"x-service"`
	Summary, Description string
	Tags                 []string
	RequestBody          body `yaml:"requestBody"`
	Responses            map[string]response
	Security             *[]any
}

type body struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct{ Example any }
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
}

// services is one name or a list of them.
type services []string

// UnmarshalYAML implements [yaml.Unmarshaler].
func (s *services) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = services{node.Value}
		return nil
	}
	return node.Decode((*[]string)(s))
}

func read() (*document, error) {
	d := new(document)
	if err := yaml.Unmarshal(source, d); err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	return d, nil
}

// listed is the operation with its references resolved.
func (o *operation) listed(method, path string, d *document) (Operation, error) {
	listed := Operation{
		Method: method, Path: path, Services: o.Service, Summary: o.Summary, Description: o.Description, Tags: o.Tags,
		Answers: map[string]string{}, Open: o.Security != nil && len(*o.Security) == 0,
	}
	request := o.RequestBody
	if name, ok := strings.CutPrefix(request.Ref, "#/components/requestBodies/"); ok {
		request = d.Components.RequestBodies[name]
	}
	if example := request.Content["application/json"].Example; example != nil {
		text, err := indented(example)
		if err != nil {
			return listed, fmt.Errorf("example of %s %s: %w", method, path, err)
		}
		listed.Request = text
	}
	for status, answer := range o.Responses {
		if name, ok := strings.CutPrefix(answer.Ref, "#/components/responses/"); ok {
			answer = d.Components.Responses[name]
		}
		listed.Answers[status] = answer.Description
	}
	return listed, nil
}

func indented(v any) (string, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return string(text), err
}
