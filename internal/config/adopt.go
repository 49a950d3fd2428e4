package config

import (
	"errors"
	"fmt"
	"reflect"
)

// Changes are the settings in which two configurations differ, by name and in
// the order of the struct. Values are not in it, since some are secret.
type Changes struct {
	// Adopted are those that a running program takes over.
	Adopted []string
	// Restart are those that wait for the next start.
	Restart []string
}

// Adopt returns the configuration that a running program goes on with after
// fresh was loaded: its own, with those settings of fresh that are tagged as
// reloadable. Both arguments stay as they are. The error is a mix that makes no
// sense, such as a rate that fits only a body size that needs a restart.
func Adopt[T any](running, fresh *T) (*T, Changes, error) {
	settings, err := settingsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, Changes{}, err
	}
	adopted := new(T)
	*adopted = *running // lists are shared: nobody writes to them
	root, loaded := reflect.ValueOf(adopted).Elem(), reflect.ValueOf(fresh).Elem()
	var changes Changes
	for i := range settings {
		s := &settings[i]
		was, is := s.field(root), s.field(loaded)
		switch {
		case reflect.DeepEqual(was.Interface(), is.Interface()):
		case s.Reload:
			was.Set(is)
			changes.Adopted = append(changes.Adopted, s.Name)
		default:
			changes.Restart = append(changes.Restart, s.Name)
		}
	}
	// fresh makes sense by itself, which says nothing of the mix.
	if err := errors.Join(validate(root), checkSecrets(settings, root)); err != nil {
		return nil, changes, fmt.Errorf("config: not without a restart, for other settings stay as they are: %w", err)
	}
	return adopted, changes, nil
}
