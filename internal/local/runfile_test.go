package local

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRunFile_IsFoundByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := RunFile{
		URL: "http://127.0.0.1:1", MetricsURL: "http://127.0.0.1:2/metrics", NATSURL: "nats://127.0.0.1:3",
		DatabaseURL: "postgres://127.0.0.1:4/nexero", APIKey: "key", PID: os.Getpid(),
	}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	// Somebody else has the number by now: nothing holds the lock.
	if _, err := FindRunFile(t.Context(), dir, time.Millisecond); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("error %v, want one that says that the process is gone", err)
	}
	hold(t, dir)
	got, err := FindRunFile(t.Context(), dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run file (-want +got):\n%s", diff)
	}
	// rule 8: it holds a key and a password.
	info, err := os.Stat(filepath.Join(dir, runFileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := want.remove(dir); err != nil {
		t.Error(err)
	}
	if err := want.remove(dir); err != nil {
		t.Errorf("removing it twice: %v", err)
	}
}

// hold takes the data directory as a running pipeline does.
func hold(t *testing.T, dir string) {
	t.Helper()
	lock, err := lockDataDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lock.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

// The names are a contract: scripts read them.
func TestRunFile_Names(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(RunFile{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"url":"","query_url":"","metrics_url":"","nats_url":"","database_url":"","api_key":"","pid":0}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestFindRunFile_WaitsForALivingProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A process that is gone, whose number is not given again at once.
	command := exec.CommandContext(t.Context(), "true")
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	if err := (RunFile{PID: command.Process.Pid}).write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := FindRunFile(t.Context(), dir, time.Millisecond); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("error %v, want one that says that the process is gone", err)
	}
	hold(t, dir)
	found := make(chan error, 1)
	go func() {
		_, err := FindRunFile(context.WithoutCancel(t.Context()), dir, time.Minute)
		found <- err
	}()
	if err := (RunFile{PID: os.Getpid()}).write(dir); err != nil {
		t.Fatal(err)
	}
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestFindRunFile_SaysHowToStartOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := FindRunFile(t.Context(), dir, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "nexero up --data-dir "+dir) {
		t.Errorf("error %v", err)
	}
}

func TestFindRunFile_WaitsOnlyForWhoTookTheDirectory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		took := func() time.Duration {
			begun := time.Now()
			if _, err := FindRunFile(t.Context(), dir, time.Minute); err == nil || !strings.Contains(err.Error(), "no run.json") {
				t.Errorf("error %v, want one that says what is missing", err)
			}
			return time.Since(begun)
		}
		if got := took(); got != noticePatience {
			t.Errorf("nobody was there and it waited for %s, want %s", got, noticePatience)
		}
		if _, err := os.Stat(filepath.Join(dir, lockFileName)); !os.IsNotExist(err) {
			t.Errorf("looking made a lock file: %v", err)
		}
		hold(t, dir)
		if got := took(); got != time.Minute {
			t.Errorf("a start is under way and it waited for %s, want a minute", got)
		}
	})
}
