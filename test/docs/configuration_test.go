package docs

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/config"
)

// program is one that has settings, with the struct that holds them.
type program struct {
	name   string
	config any
}

func programs() []program {
	return []program{
		{"ingest", config.Ingest{}},
		{"worker", config.Worker{}},
		{"query", config.Query{}},
		{"nexero up", config.Up{}},
		{"nexero", config.CLI{}},
	}
}

const configurationHead = `# Configuration

<!-- Generated from internal/config by make docs. -->

Every setting has one name, and three spellings of it: a flag, an environment variable, a key of a YAML file. ` + "`queue_ack_wait`" + ` is
` + "`--queue-ack-wait 45s`, `NEXERO_QUEUE_ACK_WAIT=45s`" + ` and, in the file that ` + "`--config` or `NEXERO_CONFIG`" + ` names, ` + "`queue_ack_wait: 45s`" + `. A flag wins over the
environment, the environment over the file, the file over the default.

- A name that no program has is refused, and so is a value out of bounds: all mistakes at once, each with what was probably meant. A name
  that another program has is fine, so that one environment and one file serve all.
- ` + "`--check-config`" + ` of a service prints what all of it comes to, secrets masked, as a file that could be given to ` + "`--config`" + `; exit code 2 when it
  makes no sense. ` + "`--check-health`" + ` asks the running service whether it is ready. ` + "`--version`, `--help`" + `.
- Durations are ` + "`500ms`, `20s`, `5m`, `1h`, `30d`" + `; sizes ` + "`65536`, `256KiB`, `4GiB`, `10GB`" + `; lists are separated by commas; yes-no is ` + "`true` or `false`" + `.
- A service that gets SIGHUP reads its configuration again: the same flags and the same environment, the file anew. It takes over the settings marked *Reloaded*,
  all of them or, when anything in the configuration is wrong, none, and names in its log what changed and what waits for a restart
  ([operations](operations.md#change-settings)).
- The file is at most 1 MiB, and flat. Secrets are printed masked wherever they are printed.
`

func TestConfiguration_IsCurrent(t *testing.T) {
	t.Parallel()
	said := groupDocs(t)
	var page strings.Builder
	page.WriteString(configurationHead)
	for _, group := range groups() {
		doc := said[group.Name()]
		if doc == "" {
			t.Fatalf("config.%s has no comment", group.Name())
		}
		settings, err := config.Describe(reflect.Zero(group).Interface())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\nSettings of %s.\n\n", group.Name(), doc, strings.Join(having(group), ", "))
		page.WriteString("| variable | default | values | what it is |\n|---|---|---|---|\n")
		for _, s := range settings {
			help := cell(s.Help)
			if needs := requiring(t, s.Name); len(needs) > 0 {
				help += " Required by " + strings.Join(needs, ", ") + "."
			}
			if s.Reload {
				help += " *Reloaded.*"
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", s.Env, code(s.Default), cell(values(&s)), help)
		}
	}
	expectPage(t, "configuration.md", page.String())
}

// groups returns the types of the groups of settings, in the order in which the
// programs have them.
func groups() []reflect.Type {
	var all []reflect.Type
	for _, p := range programs() {
		for field := range reflect.TypeOf(p.config).Fields() {
			if !slices.Contains(all, field.Type) {
				all = append(all, field.Type)
			}
		}
	}
	return all
}

// having returns the programs that have a group.
func having(group reflect.Type) []string {
	var names []string
	for _, p := range programs() {
		for field := range reflect.TypeOf(p.config).Fields() {
			if field.Type == group {
				names = append(names, "`"+p.name+"`")
			}
		}
	}
	return names
}

// requiring returns the programs that do not start without a setting. One that
// has a default of its own, made when it starts, needs nobody to set it.
func requiring(t *testing.T, name string) []string {
	t.Helper()
	var names []string
	for _, p := range programs() {
		settings, err := config.Describe(p.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings {
			if s.Name == name && s.Required && name != "data_dir" {
				names = append(names, "`"+p.name+"`")
			}
		}
	}
	return names
}

// values says what a setting may be.
func values(s *config.Setting) string {
	switch {
	case s.OneOf != nil && s.Type == "list":
		return "list of " + strings.Join(s.OneOf, ", ")
	case s.OneOf != nil:
		return strings.Join(s.OneOf, ", ")
	case s.Min != "" && s.Max != "":
		return s.Type + ", " + s.Min + " to " + s.Max
	case s.Min != "":
		return s.Type + ", from " + s.Min
	case s.Max != "":
		return s.Type + ", up to " + s.Max
	default:
		return s.Type
	}
}

// groupDocs returns what the comments in internal/config say of each struct.
func groupDocs(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "internal", "config", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files, parsed := token.NewFileSet(), []*ast.File{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	pkg, err := doc.NewFromFiles(files, parsed, "internal/config")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, one := range pkg.Types {
		said[one.Name] = strings.TrimSpace(one.Doc)
	}
	return said
}
