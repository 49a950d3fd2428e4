package config

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Chosen reports whether somebody chose the setting of a name, by flag, variable
// or file: a program may have a better default in one of its modes. fs and env
// are those that [Load] was given for the same T.
func Chosen[T any](fs *pflag.FlagSet, env []string, name string) (bool, error) {
	settings, err := settingsOf(reflect.TypeFor[T]())
	if err != nil {
		return false, err
	}
	variables, err := readEnvironment(env, settings)
	l := layers{values: viper.New(), flags: fs, variables: variables}
	if err := errors.Join(err, l.stack(settings, env)); err != nil {
		return false, err
	}
	for i := range settings {
		if settings[i].Name == name {
			return l.source(&settings[i]) != "", nil
		}
	}
	return false, fmt.Errorf("config: no setting is called %q", name)
}
