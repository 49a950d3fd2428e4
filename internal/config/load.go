package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// configFlag names the file; it is the one setting that a file cannot hold.
const configFlag = "config"

// fileBytes bounds a configuration file.
const fileBytes = 1 << 20

// Register adds to fs one flag for each setting of T, and --config. The error
// is a mistake in T's tags or a flag that fs has already.
func Register[T any](fs *pflag.FlagSet) error {
	settings, err := settingsOf(reflect.TypeFor[T]())
	if err != nil {
		return err
	}
	fs.String(configFlag, "", "YAML file with settings, keys as in "+envPrefix+"... in lower case ("+envOf(configFlag)+")")
	for i := range settings {
		s := &settings[i]
		name := strings.TrimPrefix(s.Flag, "--")
		if fs.Lookup(name) != nil {
			return fmt.Errorf("config: there are two flags %s", s.Flag)
		}
		flag := fs.VarPF(&flagValue{setting: s, text: s.Default}, name, "", s.Help+" ("+s.Env+")")
		if s.Type == kindBool {
			flag.NoOptDefVal = "true"
		}
	}
	return nil
}

// Load returns the configuration that flags, environment, file and defaults
// add up to. fs has been filled by [Register] for the same T and parsed; env is
// in the form of [Environ]. The error joins every mistake that was found and
// contains no secret.
func Load[T any](fs *pflag.FlagSet, env []string) (*T, error) {
	settings, err := settingsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	// The mistakes of every layer are collected: an operator repairs them in one go.
	variables, envErr := readEnvironment(env, settings)
	l := layers{values: viper.New(), flags: fs, variables: variables}
	errs := []error{envErr, l.stack(settings, env)}
	loaded := new(T)
	root := reflect.ValueOf(loaded).Elem()
	for i := range settings {
		if err := l.apply(&settings[i], root); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", title(settings[i].Name), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// Rules between settings make sense only when each one is sound.
	if err := errors.Join(validate(root), checkSecrets(settings, root)); err != nil {
		return nil, err
	}
	return loaded, nil
}

// layers are the places that a value can come from.
type layers struct {
	values    *viper.Viper
	flags     *pflag.FlagSet
	variables map[string]string // by the setting's name
	fromFile  map[string]bool
}

// stack puts the layers on top of each other. The environment is merged over
// the file instead of being bound, since viper would read it from the process.
func (l *layers) stack(settings []setting, env []string) error {
	for i := range settings {
		l.values.SetDefault(settings[i].Name, settings[i].Default)
		if settings[i].Name == dataDirName {
			l.values.SetDefault(dataDirName, defaultDataDir(env, os.Geteuid()))
		}
		if err := l.values.BindPFlag(settings[i].Name, l.flags.Lookup(strings.TrimPrefix(settings[i].Flag, "--"))); err != nil {
			return fmt.Errorf("config: %w", err)
		}
	}
	fileErr := l.readFile(settings)
	over := make(map[string]any, len(l.variables))
	for name, value := range l.variables {
		over[name] = value
	}
	if err := l.values.MergeConfigMap(over); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return fileErr
}

// quoted is what the parser repeats of a file, from the first quote in a line to
// the last: a value may have quotes in it.
var quoted = regexp.MustCompile("[`'\"].*[`'\"]")

// withoutContent is the parser's complaint about a file without what it repeats
// of it, for that may be a part of a secret.
func withoutContent(err error) string { return quoted.ReplaceAllString(err.Error(), "…") }

// readFile reads the file that --config or NEXERO_CONFIG names, if any.
func (l *layers) readFile(settings []setting) error {
	path, err := l.flags.GetString(configFlag)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if path == "" {
		path = l.variables[configFlag]
	}
	if path == "" {
		return nil
	}
	content, err := readBounded(path)
	if err != nil {
		return fmt.Errorf("%s: %w", title(configFlag), err)
	}
	l.values.SetConfigType("yaml")
	if err := l.values.ReadConfig(bytes.NewReader(content)); err != nil {
		return fmt.Errorf("%s: %s: %s", title(configFlag), path, withoutContent(err))
	}
	file := viper.New()
	file.SetConfigType("yaml")
	if err := file.ReadConfig(bytes.NewReader(content)); err != nil {
		return fmt.Errorf("%s: %s: %s", title(configFlag), path, withoutContent(err))
	}
	known, err := knownNames(settings)
	if err != nil {
		return err
	}
	var errs []error
	l.fromFile = map[string]bool{}
	for _, key := range file.AllKeys() {
		l.fromFile[key] = true
		if !known[key] || key == configFlag {
			errs = append(errs, fmt.Errorf("%s: no setting is called %q%s", path, key, suggestion(key, known, "")))
		}
	}
	return errors.Join(errs...)
}

func readBounded(path string) (content []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, fileBytes+1))
	if err == nil && len(content) > fileBytes {
		err = fmt.Errorf("%s is larger than %s", path, Bytes(fileBytes))
	}
	return content, err
}

// apply sets s's field from the topmost layer that has it.
func (l *layers) apply(s *setting, root reflect.Value) error {
	value := l.values.Get(s.Name)
	text, err := textOf(value)
	if err != nil {
		return fmt.Errorf("%w, in the file", err)
	}
	source := l.source(s)
	if text == "" && source == "" {
		if s.Required {
			return errors.New("is required")
		}
		return nil
	}
	if err := s.set(s.field(root), text); err != nil {
		if source != "" {
			return fmt.Errorf("%w, %s", err, source)
		}
		return err
	}
	if s.Required && text == "" {
		return fmt.Errorf("is required and empty, %s", source)
	}
	return nil
}

// source says which layer s comes from, "" for the default.
func (l *layers) source(s *setting) string {
	if l.flags.Changed(strings.TrimPrefix(s.Flag, "--")) {
		return "from the flag"
	}
	if _, ok := l.variables[s.Name]; ok {
		return "from the environment"
	}
	if l.fromFile[s.Name] {
		return "from the file"
	}
	return ""
}

// textOf brings a value of the file into the form of a flag.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case map[string]any:
		return "", errors.New("is a mapping")
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			part, err := textOf(element)
			if err != nil {
				return "", err
			}
			parts[i] = part
		}
		return strings.Join(parts, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// flagValue is a setting as a flag: it is checked at once, so that the mistake
// is reported with the flag as it was typed, and kept as text for the layers.
type flagValue struct {
	setting *setting
	text    string
}

func (f *flagValue) String() string { return f.text }

func (f *flagValue) Set(text string) error {
	scratch := reflect.New(f.setting.goType).Elem()
	if err := f.setting.set(scratch, text); err != nil {
		return err
	}
	f.text = text
	return nil
}

func (f *flagValue) Type() string { return f.setting.Type }
