package config

import (
	"io"
	"testing"

	"github.com/spf13/pflag"
)

func TestChosen(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "log_level: info\n")
	for _, test := range []struct {
		name string
		args []string
		env  []string
		want bool
	}{
		{"default", nil, nil, false},
		{"another", []string{"--log-format=json"}, []string{"NEXERO_LISTEN=:1"}, false},
		{"flag with the default's value", []string{"--log-level=info"}, nil, true},
		{"environment", nil, []string{"NEXERO_LOG_LEVEL=debug"}, true},
		{"file", []string{"--config", file}, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			fs.SetOutput(io.Discard)
			if err := Register[Up](fs); err != nil {
				t.Fatal(err)
			}
			if err := fs.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			if got, err := Chosen[Up](fs, test.env, "log_level"); got != test.want || err != nil {
				t.Errorf("Chosen = %v, %v, want %v", got, err, test.want)
			}
			if _, err := Chosen[Up](fs, test.env, "log_levels"); err == nil {
				t.Error("a setting that is not there is chosen")
			}
		})
	}
}
