package devstack

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMajorOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18.3\n":                           18,
		"postgres (PostgreSQL) 19beta2\n":                        19,
		"postgres (PostgreSQL) devel\n":                          0,
		"mysqld 8":                                               0,
		"":                                                       0,
	} {
		if got, err := majorOf(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("majorOf(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestServerLevel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slog.Level{
		"LOG:  database system is ready":  slog.LevelDebug,
		"WARNING:  there is something":    slog.LevelWarn,
		"ERROR:  duplicate key":           slog.LevelDebug,
		"PANIC:  could not write":         slog.LevelError,
		"postgres: could not find itself": slog.LevelDebug,
	} {
		if got := serverLevel(text); got != want {
			t.Errorf("serverLevel(%q) = %v, want %v", text, got, want)
		}
	}
}

// found is the server that this machine has, which the tests need anyway.
func found(t *testing.T) binaries {
	t.Helper()
	account, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := search{account: account, patterns: places()}.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// wrapServer makes a directory that holds a complete server, in a few bytes.
func wrapServer(dir string, bin binaries) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's user runs them
		return err
	}
	for _, program := range []string{"postgres", "initdb"} {
		text := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", bin.path(program))
		if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o755); err != nil { //nolint:gosec // see above
			return err
		}
	}
	return nil
}

func TestSearch_TakesTheVersionOfTheData(t *testing.T) {
	t.Parallel()
	bin, dir := found(t), tempDir(t)
	if err := wrapServer(filepath.Join(dir, "lib", "x", "bin"), bin); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "lib", "broken", "bin")
	if err := wrapServer(broken, bin); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(broken, "initdb")); err != nil {
		t.Fatal(err)
	}
	places := search{account: nil, major: bin.major, patterns: []string{filepath.Join(dir, "lib/*/bin")}}
	if account, err := serverAccount(); err != nil {
		t.Fatal(err)
	} else {
		places.account = account
	}
	if dirs := places.installed(); len(dirs) != 2 {
		t.Fatalf("installed: %v, want 2", dirs)
	}
	if _, err := places.probe(t.Context(), broken); err == nil {
		t.Error("a place without initdb was taken")
	}
	got, err := places.find(t.Context())
	if err != nil || got.major != bin.major {
		t.Errorf("find: %v, %v", got, err)
	}
	places.major = bin.major + 100
	if got, err := places.find(t.Context()); !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "install one with") {
		t.Errorf("find: %v, %v, want ErrNoPostgres with advice", got, err)
	}
}

// fakeFetch is the child of a download whose archive is this machine.
func fakeFetch(args []string) error {
	archive, work, version := args[0], args[1], args[2]
	if archive == "" {
		return errors.New("no such archive for " + version)
	}
	return wrapServer(filepath.Join(work, fetchedServer, "bin"), binaries{dir: archive})
}

func TestFetcher_KeepsWhatItDownloaded(t *testing.T) {
	t.Parallel()
	account, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	bin := found(t)
	f := fetcher{account: account, command: []string{childFlag + "fetch", ""}, dir: filepath.Join(tempDir(t), "cache")}
	if _, err := f.fetch(t.Context(), bin.major); err == nil || !strings.Contains(err.Error(), "no such archive") {
		t.Errorf("failing download: %v, want the child's words", err)
	}
	f.command[1] = bin.dir
	dir, err := f.fetch(t.Context(), bin.major)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (search{account: account, binDir: dir, major: bin.major}).find(t.Context()); err != nil || got.dir != dir {
		t.Errorf("find: %v, %v", got, err)
	}
	f.command = []string{childFlag + "none"}
	if again, err := f.fetch(t.Context(), bin.major); err != nil || again != dir {
		t.Errorf("second fetch: %q, %v, want what was kept", again, err)
	}
	left, err := filepath.Glob(filepath.Join(f.dir, "unfinished-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := f.fetch(t.Context(), 9); err == nil {
		t.Error("version 9 was downloaded")
	}
}

func TestFetchMain_ReportsAnArchiveWithoutTheVersion(t *testing.T) {
	t.Parallel()
	var asked string
	archive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		w.WriteHeader(http.StatusNotFound)
	}))
	defer archive.Close()
	err := fetchFrom(archive.URL, []string{t.TempDir(), "17.5.0"}, t.Output())
	if err == nil || !strings.Contains(asked, "17.5.0") {
		t.Errorf("error %v, asked for %q", err, asked)
	}
	if err := FetchMain([]string{"one"}, t.Output()); err == nil {
		t.Error("one argument was enough")
	}
}
