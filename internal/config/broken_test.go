package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// A file that is no YAML, or no list of settings, is refused without a word of
// what it holds, which may be a password.
//
// rule 8
func TestLoad_BrokenFileIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"hidden\n", "nats_url: *hidden\n", "nats_url: *'hidden'\n", "nats_url: !!int hidden\n", "nats_url: !!int hid`den\n",
		"nats_url: \"nats://u:hidden@127.0.0.1:4222\n", "nats_url: nats://u:hidden@127.0.0.1:4222: x\n", "- nats_url: hidden\n",
		"? &hidden [*hidden]\n: 1\n",
	} {
		path := filepath.Join(t.TempDir(), "nexero.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		if err := Register[Ingest](fs); err != nil {
			t.Fatal(err)
		}
		_, err := Load[Ingest](fs, []string{"NEXERO_CONFIG=" + path})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", content, err)
			continue
		}
		for _, part := range []string{"hid", "den"} {
			if strings.Contains(strings.ReplaceAll(err.Error(), path, ""), part) {
				t.Errorf("%q is repeated: %v", content, err)
			}
		}
	}
}
