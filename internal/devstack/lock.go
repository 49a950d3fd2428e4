package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// lockName is the file whose lock makes a process the owner of a directory.
const lockName = "nexero.lock"

// ErrInUse is wrapped when another process, or another server of this one, owns
// the directory.
var ErrInUse = errors.New("directory is in use")

// dirLock is ownership of a data directory. The kernel drops it when the process
// dies, however it dies; children do not inherit it.
type dirLock struct {
	file *flock.Flock
}

// lockDir takes the lock of dir without waiting. The file stays when the lock is
// released: removing it would let two processes lock two files of one name.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockName)
	file := flock.New(path)
	ok, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%s is held by process %s: %w", dir, lockHolder(path), ErrInUse)
	}
	// The number is for people only; nothing decides by it.
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write owner of %s: %w", dir, err), file.Close())
	}
	return &dirLock{file: file}, nil
}

// release gives the directory up; what was started in it must have ended.
func (l *dirLock) release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// lockHolder is whom to ask. The file can be empty for a moment, between lock and
// number.
func lockHolder(path string) string {
	text, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
