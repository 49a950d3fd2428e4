package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// Print writes a loaded configuration to w as YAML that could be its file, one
// setting a line, secrets masked.
func Print(w io.Writer, v any) error {
	root := reflect.Indirect(reflect.ValueOf(v))
	settings, err := settingsOf(root.Type())
	if err != nil {
		return err
	}
	var out strings.Builder
	for i := range settings {
		s := &settings[i]
		out.WriteString(s.Name + ": " + s.yaml(s.field(root)) + "\n")
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("config: print: %w", err)
	}
	return nil
}

// yaml returns the value of field as a YAML scalar. What could be taken for
// another type, or for syntax, is quoted.
func (s *setting) yaml(field reflect.Value) string {
	text := format(field)
	switch s.Type {
	case kindNumber, kindBool, kindDuration, kindSize:
		return text
	case kindLevel:
		return strings.ToLower(text)
	default:
		return strconv.Quote(text)
	}
}

// validate calls Validate on root and on every group in it that has one.
func validate(root reflect.Value) error {
	var errs []error
	if v, ok := reflect.TypeAssert[interface{ Validate() error }](root.Addr()); ok {
		errs = append(errs, v.Validate())
	}
	for _, field := range root.Fields() {
		if field.Kind() == reflect.Struct {
			errs = append(errs, validate(field))
		}
	}
	return errors.Join(errs...)
}
