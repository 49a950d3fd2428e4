package main

import (
	"log/slog"
	"os"
	"syscall"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
)

func TestRun_GivesTheCommandACluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, dir + "/.."} { // the server's user has to pass
		if err := os.Chmod(path, 0o711); err != nil { //nolint:gosec // nothing can be listed
			t.Fatal(err)
		}
	}
	script := `case "$` + testkit.URLVariable + `" in postgres://*) exit 7;; esac; exit 9`
	code, err := run(dir, []string{"sh", "-c", script}, slog.New(slog.DiscardHandler))
	if code != 7 || err != nil {
		t.Errorf("%d, %v, want the command's 7", code, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCommand_EndsAsItsCommandDoes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command []string
		signal  os.Signal
		want    int
		failed  bool
	}{
		"success":         {[]string{"true"}, nil, 0, false},
		"failure":         {[]string{"sh", "-c", "exit 7"}, nil, 7, false},
		"our signal":      {[]string{"sleep", "600"}, syscall.SIGTERM, exitSignalled + 15, false},
		"no such command": {[]string{"/nonexistent/command"}, nil, exitNoCluster, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signals := make(chan os.Signal, 1)
			if test.signal != nil {
				signals <- test.signal
			}
			code, err := command(test.command, "postgres://nowhere", signals)
			if code != test.want || (err != nil) != test.failed {
				t.Errorf("%d, %v, want %d", code, err, test.want)
			}
		})
	}
}
