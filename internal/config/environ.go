package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Environ returns the environment of the process as "NAME=value", for main to
// hand to [Load] or [Parse]. Nothing else in Nexero reads it.
func Environ() []string { return os.Environ() }

// testNames are the variables of the test harness: a shell that has them must
// still be able to start a program. No setting comes from them.
var testNames = [...]string{"test_database_url"} //nolint:gochecknoglobals // a table that never changes

// readEnvironment returns the values of Nexero's variables by setting name. A
// variable that no program has is an error: it is a misspelt one, or it is
// meant for a version that has it.
func readEnvironment(env []string, settings []setting) (map[string]string, error) {
	known, err := knownNames(settings)
	if err != nil {
		return nil, err
	}
	variables := map[string]string{}
	var errs []error
	for _, pair := range env {
		variable, value, _ := strings.Cut(pair, "=")
		suffix, ours := strings.CutPrefix(variable, envPrefix)
		if !ours {
			continue
		}
		name := strings.ToLower(suffix)
		switch {
		case slices.Contains(testNames[:], name):
		case !known[name] || envOf(name) != variable:
			errs = append(errs, fmt.Errorf("environment: no variable is called %s%s", variable, suggestion(name, known, envPrefix)))
		default:
			variables[name] = value
		}
	}
	return variables, errors.Join(errs...)
}

// knownNames returns the settings of every program: one environment and one
// file serve them all.
func knownNames(settings []setting) (map[string]bool, error) {
	known := map[string]bool{configFlag: true}
	for _, program := range []reflect.Type{
		reflect.TypeFor[Ingest](), reflect.TypeFor[Worker](), reflect.TypeFor[Up](), reflect.TypeFor[CLI](),
	} {
		more, err := settingsOf(program)
		if err != nil {
			return nil, err
		}
		settings = slices.Concat(settings, more)
	}
	for i := range settings {
		known[settings[i].Name] = true
	}
	return known, nil
}

// suggestion returns ", did you mean ...?" with the name closest to the one
// given, or "" when none is close. With a prefix it is spelt as a variable.
func suggestion(name string, known map[string]bool, prefix string) string {
	best, bestDistance := "", len(name)/3+1
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	switch {
	case best == "":
		return ""
	case prefix != "":
		best = prefix + strings.ToUpper(best)
	}
	return ", did you mean " + best + "?"
}

// distance is the number of characters to insert, delete or replace to make a
// from b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

const dataDirName = "data_dir"

// defaultDataDir returns where a private instance lives: for root the place of
// system services, for others nexero in XDG's state directory. "" when the
// environment does not say where that is.
func defaultDataDir(env []string, euid int) string {
	if euid == 0 {
		return "/var/lib/nexero"
	}
	var home, state string
	for _, pair := range env {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "HOME":
			home = value
		case "XDG_STATE_HOME":
			state = value
		}
	}
	switch {
	case filepath.IsAbs(state): // XDG tells to ignore a relative one
		return filepath.Join(state, "nexero")
	case home != "":
		return filepath.Join(home, ".local", "state", "nexero")
	default:
		return ""
	}
}
