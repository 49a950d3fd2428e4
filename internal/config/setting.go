package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// envPrefix begins every variable of Nexero.
const envPrefix = "NEXERO_"

// Setting describes one setting for people and for generated documentation.
type Setting struct {
	// Name is the key in a file; Flag and Env are its other spellings, with
	// their prefixes "--" and "NEXERO_".
	Name, Flag, Env string
	// Type is what a value looks like: text, number, yes-no, duration, size,
	// list, level, secret, url or ratio.
	Type string
	// Default is the value when nothing is set, in the form a user would write.
	Default string
	// Help is one sentence.
	Help string
	// OneOf are the values allowed, nil for any.
	OneOf []string
	// Min and Max are the inclusive bounds, empty where there is none.
	Min, Max string
	// Required says that the program does not start without it.
	Required bool
	// Secret says that it is printed masked.
	Secret bool
	// Reload says that a running program takes a new value; see [Adopt].
	Reload bool
}

// setting is a Setting with the way to its field.
type setting struct {
	Setting

	goType reflect.Type
	index  []int
	check  string
}

// field returns s's field in the struct root.
func (s *setting) field(root reflect.Value) reflect.Value { return root.FieldByIndex(s.index) }

// Describe returns the settings of a configuration struct, or of a pointer to
// one, in the order of its fields. The error is a mistake in the struct's tags.
func Describe(v any) ([]Setting, error) {
	all, err := settingsOf(reflect.Indirect(reflect.ValueOf(v)).Type())
	if err != nil {
		return nil, err
	}
	described := make([]Setting, len(all))
	for i := range all {
		described[i] = all[i].Setting
	}
	return described, nil
}

// settingsOf walks t's fields. It checks the tags as it goes, so that a test
// that loads each struct once finds every mistake in them.
func settingsOf(t reflect.Type) ([]setting, error) {
	w := walk{seen: map[string]bool{}, required: map[string]bool{}}
	if err := w.group(t, nil); err != nil {
		return nil, fmt.Errorf("config: struct %s: %w", t, err)
	}
	for name, met := range w.required {
		if !met {
			return nil, fmt.Errorf("config: struct %s: requires %q, which it does not have", t, name)
		}
	}
	return w.settings, nil
}

// walk collects the settings of a struct and of the groups in it.
type walk struct {
	settings []setting
	seen     map[string]bool
	required map[string]bool // whether a required name was met
}

func (w *walk) group(t reflect.Type, index []int) error {
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%s is no struct", t)
	}
	for field := range t.Fields() {
		at := append(append([]int{}, index...), field.Index...)
		name, ok := field.Tag.Lookup("name")
		if !ok {
			for _, required := range split(field.Tag.Get("require")) {
				w.required[required] = false
			}
			if err := w.group(field.Type, at); err != nil {
				return fmt.Errorf("%s: %w", field.Name, err)
			}
			continue
		}
		if err := w.setting(name, field, at); err != nil {
			return fmt.Errorf("%s: %w", field.Name, err)
		}
	}
	return nil
}

func (w *walk) setting(name string, field reflect.StructField, index []int) error {
	if w.seen[name] {
		return fmt.Errorf("a second %q", name)
	}
	w.seen[name] = true
	kind, err := kindOf(field.Type)
	if err != nil {
		return err
	}
	tag := field.Tag
	s := setting{
		Setting: Setting{
			Name: name, Flag: flagOf(name), Env: envOf(name), Type: kind,
			Default: tag.Get("default"), Help: tag.Get("help"),
			OneOf: split(tag.Get("oneof")), Min: tag.Get("min"), Max: tag.Get("max"),
			Secret: kind == kindSecret || kind == kindURL,
			Reload: tag.Get("reload") == "true",
		},
		goType: field.Type, index: index, check: tag.Get("check"),
	}
	if _, ok := w.required[name]; ok {
		s.Required, w.required[name] = true, true
	}
	if s.Help == "" {
		return fmt.Errorf("%q has no help", name)
	}
	if s.Default != "" {
		if err := s.set(reflect.New(field.Type).Elem(), s.Default); err != nil {
			return fmt.Errorf("default of %q: %w", name, err)
		}
	}
	w.settings = append(w.settings, s)
	return nil
}

// The kinds of settings, as Setting.Type says them.
const (
	kindText     = "text"
	kindNumber   = "number"
	kindBool     = "yes-no"
	kindDuration = "duration"
	kindSize     = "size"
	kindList     = "list"
	kindLevel    = "level"
	kindSecret   = "secret"
	kindURL      = "url"
	kindRatio    = "ratio"
)

func kindOf(t reflect.Type) (string, error) {
	switch t {
	case reflect.TypeFor[string]():
		return kindText, nil
	case reflect.TypeFor[int]():
		return kindNumber, nil
	case reflect.TypeFor[bool]():
		return kindBool, nil
	case reflect.TypeFor[time.Duration]():
		return kindDuration, nil
	case reflect.TypeFor[Bytes]():
		return kindSize, nil
	case reflect.TypeFor[[]string](), reflect.TypeFor[Origins](), reflect.TypeFor[Networks]():
		return kindList, nil
	case reflect.TypeFor[Secret]():
		return kindSecret, nil
	case reflect.TypeFor[ConnURL]():
		return kindURL, nil
	case reflect.TypeFor[Ratio]():
		return kindRatio, nil
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return kindLevel, nil
	}
	return "", fmt.Errorf("no setting can be a %s", t)
}

func flagOf(name string) string { return "--" + strings.ReplaceAll(name, "_", "-") }

func envOf(name string) string { return envPrefix + strings.ToUpper(name) }

// title names a setting with the spellings that can change it.
func title(name string) string { return name + " (" + flagOf(name) + ", " + envOf(name) + ")" }

// split cuts a list at its commas; an empty text is an empty list.
func split(text string) []string {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
