package config

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// day is written "d": retention is counted in days, which time.ParseDuration
// does not know.
const day = 24 * time.Hour

// set parses text into field and checks the tag's rules. The error repeats the
// text, which is safe: a secret of any text is accepted.
func (s *setting) set(field reflect.Value, text string) error {
	if text == "" && !slices.Contains([]string{kindText, kindList, kindSecret, kindURL}, s.Type) {
		return errors.New("is empty; leave it out for the default")
	}
	if err := parse(field, text); err != nil {
		return err
	}
	return errors.Join(s.checkBounds(field), s.checkOneOf(field), s.checkForm(text))
}

func parse(field reflect.Value, text string) error {
	switch to := field.Addr().Interface().(type) {
	case *string:
		*to = text
	case *[]string:
		*to = split(text)
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		*to = n
	case *bool:
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*to = yes
	case *time.Duration:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		*to = d
	case encoding.TextUnmarshaler:
		return to.UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("no setting can be a %s", field.Type())
	}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 16) // 16 bits of days fit a Duration
		if err == nil {
			return time.Duration(n) * day, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 500ms, 20s or 30d", text)
	}
	return d, nil
}

// format is the inverse of parse, masked where the value is secret.
func format(field reflect.Value) string {
	switch v := field.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		if v != 0 && v%day == 0 {
			return strconv.FormatInt(int64(v/day), 10) + "d"
		}
		return v.String()
	case fmt.Stringer:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

func (s *setting) checkBounds(field reflect.Value) error {
	for _, bound := range [...]struct {
		text, word string
		broken     func(value, bound int64) bool
	}{
		{s.Min, "below", func(value, bound int64) bool { return value < bound }},
		{s.Max, "above", func(value, bound int64) bool { return value > bound }},
	} {
		if bound.text == "" {
			continue
		}
		limit := reflect.New(field.Type()).Elem()
		if err := parse(limit, bound.text); err != nil {
			return fmt.Errorf("bound %q: %w", bound.text, err)
		}
		if bound.broken(field.Int(), limit.Int()) {
			return fmt.Errorf("%s is %s %s", format(field), bound.word, bound.text)
		}
	}
	return nil
}

func (s *setting) checkOneOf(field reflect.Value) error {
	if s.OneOf == nil {
		return nil
	}
	values := []string{format(field)}
	if s.Type == kindList {
		values = split(format(field))
	}
	for _, value := range values {
		if !slices.Contains(s.OneOf, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(s.OneOf, ", "))
		}
	}
	return nil
}

// checkForm applies the named check of the tag to a value that is set.
func (s *setting) checkForm(text string) error {
	switch {
	case text == "":
		return nil
	case s.check == "":
		return nil
	case s.check == "address":
		if _, port, err := net.SplitHostPort(text); err != nil || port == "" {
			return fmt.Errorf("%q is no address such as 127.0.0.1:8080 or :8080", text)
		}
		return nil
	case s.check == "file":
		// The content pasted in place of its path would be printed: do not repeat it.
		if strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "-----BEGIN") {
			return errors.New("is no path of a file")
		}
		return nil
	case s.check == "tenant":
		// The rule of API keys, which name tenants too.
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
		if len(text) > 63 || strings.Trim(text, letters+"-_") != "" || !strings.Contains(letters, text[:1]) {
			return fmt.Errorf("%q is no tenant: 1 to 63 small letters, digits, dashes and underscores, a letter or digit first", text)
		}
		return nil
	default:
		return fmt.Errorf("no check is called %q", s.check)
	}
}
