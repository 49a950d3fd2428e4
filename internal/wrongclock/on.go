//go:build chaos

package wrongclock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

//nolint:gochecknoglobals // a process has one clock
var path = sync.OnceValue(func() string {
	return os.Getenv(Variable) //nolint:forbidigo // builds for fault runs only, and no configuration of the product
})

// Now is the time as wrong as the file says. A file that says something else
// ends the process: a fault run whose fault never happens would pass.
func Now() time.Time {
	if path() == "" {
		return time.Now()
	}
	offset, err := read(path())
	if err != nil {
		panic(err)
	}
	return time.Now().Add(offset)
}

func read(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", Variable, err)
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", Variable, err)
	}
	return offset, nil
}
