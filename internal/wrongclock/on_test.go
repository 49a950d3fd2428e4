//go:build chaos

package wrongclock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "offset")
	if got, err := read(file); got != 0 || err != nil {
		t.Errorf("without a file: %s, %v; want a right clock", got, err)
	}
	for text, want := range map[string]time.Duration{"-240h\n": -240 * time.Hour, "36h": 36 * time.Hour, "0s": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(file); got != want || err != nil {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	if err := os.WriteFile(file, []byte("late"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(file); err == nil {
		t.Errorf("late: %s and no error", got)
	}
}
