package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// RunFile says where a running pipeline is and how to get in. It holds secrets,
// so only its owner can read it. Parts that this process does not run and was
// not told of are empty.
type RunFile struct {
	// URL is where events are posted, QueryURL where they are read,
	// MetricsURL where Prometheus scrapes.
	URL        string `json:"url"`
	QueryURL   string `json:"query_url"`
	MetricsURL string `json:"metrics_url"`
	// NATSURL and DatabaseURL are the queue and the database.
	NATSURL     string `json:"nats_url"`
	DatabaseURL string `json:"database_url"`
	// APIKey may do everything.
	APIKey string `json:"api_key"`
	// PID is the process that wrote the file and serves what it names.
	PID int `json:"pid"`
}

const (
	runFileName = "run.json"
	// lockFileName is locked by the process that uses a data directory.
	lockFileName = "nexero.lock"
)

// write replaces the run file of a data directory in one step.
func (r RunFile) write(dataDir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("local: encode %s: %w", runFileName, err)
	}
	path := filepath.Join(dataDir, runFileName)
	// A reader sees the old file or the new one, never half of one.
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("local: write %s: %w", runFileName, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("local: write %s: %w", runFileName, err)
	}
	return nil
}

// remove takes the run file away, so that nobody looks for a stopped pipeline.
func (RunFile) remove(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, runFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pollInterval is how often FindRunFile looks again.
const pollInterval = 100 * time.Millisecond

// noticePatience is how long FindRunFile waits for a process to take the data
// directory: a start does so first of all.
const noticePatience = 2 * time.Second

// FindRunFile waits until the data directory has a run file whose process
// lives, at most for wait. A pipeline that is still starting is thus found;
// where none is, that is said after two seconds.
func FindRunFile(ctx context.Context, dataDir string, wait time.Duration) (RunFile, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	noticeBy := time.Now().Add(noticePatience)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		run, err := readRunFile(dataDir)
		if err == nil {
			return run, nil
		}
		if time.Now().Before(noticeBy) || held(dataDir) {
			select {
			case <-ticker.C:
				continue
			case <-ctx.Done():
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("it has no " + runFileName)
		}
		return RunFile{}, fmt.Errorf("no running pipeline in %s: %w; start one with: nexero up --data-dir %[1]s", dataDir, err)
	}
}

// held reports whether a process has taken the data directory. It makes no lock
// file, which would belong to whoever asks.
func held(dataDir string) bool {
	path := filepath.Join(dataDir, lockFileName)
	if _, err := os.Stat(path); err != nil {
		return false
	}
	lock := flock.New(path)
	free, err := lock.TryRLock()
	if err != nil || !free {
		return err == nil
	}
	return lock.Unlock() != nil
}

func readRunFile(dataDir string) (RunFile, error) {
	var run RunFile
	text, err := os.ReadFile(filepath.Join(dataDir, runFileName))
	if err != nil {
		return run, err
	}
	if err := json.Unmarshal(text, &run); err != nil {
		return run, fmt.Errorf("read %s: %w", runFileName, err)
	}
	// Signal 0 asks whether the process exists; EPERM says that it does.
	if err := syscall.Kill(run.PID, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return run, fmt.Errorf("its process %d is gone", run.PID)
	}
	// The number may be another process's by now, and the addresses too. The lock
	// went with the process: whoever can share it looks at a stale file.
	lock := flock.New(filepath.Join(dataDir, lockFileName))
	stale, err := lock.TryRLock()
	if err != nil {
		return run, fmt.Errorf("look at the lock: %w", err)
	}
	if stale {
		return run, errors.Join(fmt.Errorf("its process %d is gone", run.PID), lock.Unlock())
	}
	return run, nil
}
