package devstack

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startPG(t *testing.T, dir string) *Postgres {
	t.Helper()
	server, err := StartPostgres(t.Context(), PostgresConfig{
		DataDir:  dir,
		Settings: map[string]string{"work_mem": "5MB", "port": "1", "listen_addresses": "*"},
		Log:      testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	return server
}

func stopPG(t *testing.T, server *Postgres) {
	t.Helper()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rule 3, rule 7
func TestPostgres_IsPrivateAndDurable(t *testing.T) {
	t.Parallel()
	server := startPG(t, filepath.Join(tempDir(t), "new"))
	for query, want := range map[string]string{
		"SHOW fsync":                   "on",
		"SHOW full_page_writes":        "on",
		"SHOW synchronous_commit":      "on",
		"SHOW server_encoding":         "UTF8",
		"SHOW data_checksums":          "on",
		"SHOW listen_addresses":        "127.0.0.1",
		"SHOW unix_socket_directories": "",
		"SHOW work_mem":                "5MB",
		"SELECT current_database()":    "nexero",
		"SELECT datcollate FROM pg_database WHERE datname = current_database()": "C",
	} {
		if got := ask(t, server.URL(), query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if err := execute(t.Context(), strings.Replace(server.URL(), server.password, "wrong", 1), "SELECT"); err == nil {
		t.Error("the server took a wrong password")
	}
	info, err := os.Stat(filepath.Join(server.files.dir, passwordName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v, want mode 0600", info.Mode(), err)
	}

	if err := CreateDatabase(t.Context(), server.URL(), `odd "name"`); err != nil {
		t.Error(err)
	}
	if err := CloneDatabase(t.Context(), server.URL(), `odd "name"`, "copy"); err != nil {
		t.Error(err)
	}
	for range 2 { // dropping what is gone is no error
		if err := DropDatabase(t.Context(), server.URL(), "copy"); err != nil {
			t.Error(err)
		}
	}
}

// rule 2: nothing that was committed is lost or started over, however the server
// and its owner end.
func TestPostgres_KeepsItsData(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	leaveUnfinished(t, dir)
	server := startPG(t, dir)
	if err := execute(t.Context(), server.URL(), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresConfig{DataDir: dir, Log: testLog(t)})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second start: %v, want ErrInUse with our process id", err)
	}
	url := server.URL()

	for _, end := range []struct {
		name string
		do   func()
	}{
		{"stop", func() {}},
		{"stop in a hurry", func() { stopDeaf(t, server) }},
		{"server killed", func() { killServer(t, server) }},
		{"number of another process in postmaster.pid", func() {
			killServer(t, server)
			renumber(t, server)
		}},
	} {
		end.do()
		_ = server.Stop(t.Context())
		server = startPG(t, dir)
		if got := ask(t, server.URL(), "SELECT n::text FROM kept"); got != "42" {
			t.Errorf("after %s: %q, want 42", end.name, got)
		}
		if server.URL() != url {
			t.Errorf("after %s the address changed", end.name)
		}
	}
	stopPG(t, server)
	stopPG(t, server) // a second time is the same stop
	if pids, known := processesIn(server.files.cluster()); len(pids) != 0 {
		t.Errorf("processes %v are left (%v)", pids, known)
	}
}

// leaveUnfinished is a cluster whose making was interrupted.
func leaveUnfinished(t *testing.T, dir string) {
	t.Helper()
	unfinished := filepath.Join(dir, unfinishedName)
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unfinished, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func killServer(t *testing.T, server *Postgres) {
	t.Helper()
	server.process.wanted.Store(false)
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-server.process.exited
}

// renumber lets postmaster.pid name a living process that is none of the
// server's, as it can after the machine was restarted.
func renumber(t *testing.T, server *Postgres) {
	t.Helper()
	account, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	stranger := account.command(t.Context(), "/", "/bin/sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Wait() }) // ended with the test's context
	path := filepath.Join(server.files.cluster(), "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	//nolint:gosec // a path of the test's own
	if err := os.WriteFile(path, []byte(strconv.Itoa(stranger.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rule 10: a server that outlived its owner is taken over with all it has.
func TestPostgres_IsTakenOverAfterAKill(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	pid, kill := startChild(t, "postgres", dir)
	kill()
	server := startPG(t, dir)
	if got := strconv.Itoa(server.PID()); got != pid {
		t.Errorf("server is process %s, want the old one, %s", got, pid)
	}
	if got := ask(t, server.URL(), "SELECT n::text FROM kept"); got != "42" {
		t.Errorf("table holds %q, want 42", got)
	}
	stopPG(t, server)
	if server.process.running() {
		t.Error("the server still runs")
	}
}

// stopDeaf stops a server that does not hear the first request in time.
func stopDeaf(t *testing.T, server *Postgres) {
	t.Helper()
	if err := syscall.Kill(server.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = syscall.Kill(server.PID(), syscall.SIGCONT) })
	_ = server.Stop(ctx) // which request it heard first is up to the scheduler
	if server.process.running() {
		t.Error("the server still runs")
	}
}

func TestPostgres_RefusesWhatItMayNotUse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files   map[string]string
		binDir  string
		want    string
		missing bool // also wraps ErrNoPostgres
	}{
		"strange directory": {
			files: map[string]string{"thesis.odt": "precious"},
			want:  "holds thesis.odt and no cluster of ours",
		},
		"somebody's cluster": {
			files: map[string]string{"PG_VERSION": "15\n", "postgresql.conf": ""},
			want:  "is a cluster of another installation",
		},
		"older version": {
			files:   map[string]string{"cluster/PG_VERSION": "13\n"},
			want:    "the data needs version 13",
			missing: true,
		},
		"no version": {
			files: map[string]string{"cluster/PG_VERSION": "fifteen\n"},
			want:  "PG_VERSION",
		},
		"no programs": {
			binDir:  "/nonexistent",
			want:    "/nonexistent/postgres",
			missing: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			for file, text := range test.files {
				path := filepath.Join(dir, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := StartPostgres(t.Context(), PostgresConfig{DataDir: dir, BinDir: test.binDir, Log: testLog(t)})
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrNoPostgres) != test.missing {
				t.Errorf("error %v, want %q (ErrNoPostgres %v)", err, test.want, test.missing)
			}
			for file, text := range test.files {
				if got, err := os.ReadFile(filepath.Join(dir, file)); string(got) != text || err != nil {
					t.Errorf("%s is now %q, %v", file, got, err)
				}
			}
		})
	}
}

// Root gives the server to another user, who has to reach the directory.
func TestPostgres_RefusesADirectoryOutOfReach(t *testing.T) {
	t.Parallel()
	someone := &account{name: "someone", uid: 54321, gid: 54321}
	dir := t.TempDir() // closed to others
	if err := someone.reach(dir); err == nil || !strings.Contains(err.Error(), "someone, which may not enter") {
		t.Errorf("reach: %v, want it refused", err)
	}
	if err := someone.reach(tempDir(t)); err != nil {
		t.Errorf("reach: %v", err)
	}
	if err := (*account)(nil).reach(dir); err != nil {
		t.Errorf("reach as ourselves: %v", err)
	}
}

// Everything above again as an ordinary user, when we are root; as one, it was
// that already.
func TestPostgres_AsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return
	}
	nobody := &account{name: "nobody", uid: 65534, gid: 65534}
	dir := tempDir(t)
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Mkdir(home, 0o700), nobody.own(home)); err != nil {
		t.Fatal(err)
	}
	self, err := selfPath()
	if err != nil {
		t.Fatal(err)
	}
	tests := "-test.run=^TestPostgres_(KeepsItsData|RefusesWhatItMayNotUse)$"
	cmd := nobody.command(t.Context(), home, self, tests)
	cmd.Env = slices.Concat(cmd.Env, []string{"TMPDIR=" + home, "HOME=" + home})
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Errorf("exit code %d", exit.ExitCode())
	}
}
