package unreal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nexero-vr/nexero/internal/event"
)

// checkStorable fails when an accepted event breaks a rule of the tables. It
// knows PostgreSQL's rules by itself, not through the code under test.
func checkStorable(t failer, e *event.Event, limits event.Limits) {
	t.Helper()
	if code, name := e.Check(limits); code != "" {
		t.Errorf("accepted an event that Check refuses: %s of %s", code, name)
	}
	if e.Props == "" {
		return
	}
	if err := jsonbRefuses(e.Props, limits.Depth); err != nil || len(e.Props) > limits.EventBytes {
		t.Errorf("props of %d bytes cannot be stored: %v\n%.200q", len(e.Props), err, e.Props)
	}
}

// jsonbRefuses returns why a jsonb column of a UTF-8 database would refuse an
// object of props, or why it is nested deeper than an event may be.
func jsonbRefuses(props string, depth int) error {
	switch {
	case !json.Valid([]byte(props)):
		return errors.New("no JSON")
	case !strings.HasPrefix(props, "{") || props == "{}":
		return errors.New("no object with members")
	case !utf8.ValidString(props):
		return errors.New("no UTF-8")
	}
	decoder := json.NewDecoder(strings.NewReader(props))
	decoder.UseNumber()
	open := 0
	for {
		token, err := decoder.Token()
		if err != nil {
			break // the end
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '{' || token == '[' {
				open++
			} else {
				open--
			}
			if open > depth {
				return fmt.Errorf("nested deeper than %d", depth)
			}
		case json.Number:
			if err := numericRefuses(token.String()); err != nil {
				return err
			}
		}
	}
	return escapesRefused(props)
}

func numericRefuses(literal string) error {
	if len(literal) > 1000 {
		return fmt.Errorf("a number of %d digits", len(literal))
	}
	if _, exponent, found := strings.Cut(strings.ToLower(literal), "e"); found {
		if n, err := strconv.Atoi(exponent); err != nil || n > 1000 || n < -1000 {
			return fmt.Errorf("exponent %s", exponent)
		}
	}
	return nil
}

// escapesRefused looks for \u0000 and for halves of surrogate pairs.
func escapesRefused(s string) error {
	high := false
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			if high {
				return fmt.Errorf("half a pair before byte %d", i)
			}
			i++
			continue
		}
		if s[i+1] != 'u' {
			if high {
				return fmt.Errorf("half a pair before byte %d", i)
			}
			i += 2
			continue
		}
		unit, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
		low := unit >= 0xdc00 && unit <= 0xdfff
		switch {
		case err != nil:
			return err
		case unit == 0:
			return fmt.Errorf("NUL at byte %d", i)
		case high != low:
			return fmt.Errorf("half a pair at byte %d", i)
		}
		high = unit >= 0xd800 && unit <= 0xdbff
		i += 6
	}
	return nil
}

// failer is what the checks need of a test; rapid and testing both have it.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}
