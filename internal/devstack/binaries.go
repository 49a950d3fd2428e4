package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	oldestMajor = 15
	newestMajor = 18

	// programTimeout bounds one run of a program that prints something or, on a
	// slow disk, of initdb.
	programTimeout = 2 * time.Minute
)

// ErrNoPostgres is wrapped when no usable PostgreSQL server is on this machine.
var ErrNoPostgres = errors.New("no usable postgresql server found")

// binaries is a directory with programs of one PostgreSQL version.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// search finds binaries. The account decides what can be executed.
type search struct {
	account *account
	binDir  string // when set, the only place
	major   int    // when not 0, the only version: that of the data
	// patterns are places besides PATH and pg_config.
	patterns []string
}

// places are where packages put server programs, outside PATH on most systems.
func places() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
}

// find returns the first usable place: the given one, else that of PATH, then of
// the known places the newest version.
func (s search) find(ctx context.Context) (binaries, error) {
	if s.binDir != "" {
		found, err := s.probe(ctx, s.binDir)
		if err != nil {
			return binaries{}, fmt.Errorf("%w: %w", ErrNoPostgres, err)
		}
		return found, nil
	}
	var seen []string
	var refused []error
	try := func(dirs []string) (best binaries) {
		for _, dir := range dirs {
			if slices.Contains(seen, dir) {
				continue
			}
			seen = append(seen, dir)
			found, err := s.probe(ctx, dir)
			if err != nil {
				refused = append(refused, err)
			} else if found.major > best.major {
				best = found
			}
		}
		return best
	}
	// PATH is what a person chose, so its order beats a newer version elsewhere.
	for _, dirs := range [][]string{fromPath(ctx), s.installed()} {
		if best := try(dirs); best.major != 0 {
			return best, nil
		}
	}
	return binaries{}, fmt.Errorf("%w; %s%w", ErrNoPostgres, s.advice(), errors.Join(refused...))
}

// fromPath lists the directories that PATH leads to. A link in PATH stands for
// its target: the programs find their shared files relative to where they are.
func fromPath(ctx context.Context) []string {
	var dirs []string
	for _, program := range []string{"initdb", "postgres"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		if text, err := (*account)(nil).output(ctx, "/", path, "--bindir"); err == nil {
			dirs = append(dirs, strings.TrimSpace(text))
		}
	}
	return dirs
}

// installed lists what the patterns match, in no order that matters.
func (s search) installed() []string {
	var dirs []string
	for _, pattern := range s.patterns {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

// probe tells whether dir holds a complete server that the account can run, of a
// version that we and the data can use. initdb --show looks for a postgres of
// its own version and for the shared files.
func (s search) probe(ctx context.Context, dir string) (binaries, error) {
	found := binaries{dir: dir}
	text, err := s.account.output(ctx, "/", found.path("postgres"), "--version")
	if err != nil {
		return binaries{}, err
	}
	if found.major, err = majorOf(text); err != nil {
		return binaries{}, fmt.Errorf("%s: %w", dir, err)
	}
	if found.major < oldestMajor || found.major > newestMajor {
		return binaries{}, fmt.Errorf("%s: version %d; need %d to %d", dir, found.major, oldestMajor, newestMajor)
	}
	if s.major != 0 && found.major != s.major {
		return binaries{}, fmt.Errorf("%s: version %d", dir, found.major)
	}
	if _, err := s.account.output(ctx, "/", found.path("initdb"), "--show", "--pgdata=/nonexistent", "--username="+superuser, "--locale=C", "--encoding=UTF8"); err != nil {
		return binaries{}, err
	}
	return found, nil
}

// majorOf reads "postgres (PostgreSQL) 15.18 (Debian ...)" and "18beta1".
func majorOf(text string) (int, error) {
	_, version, ok := strings.Cut(text, "(PostgreSQL) ")
	if !ok {
		return 0, fmt.Errorf("no version in %q", text)
	}
	if end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		version = version[:end]
	}
	major, err := strconv.Atoi(version)
	if err != nil {
		return 0, fmt.Errorf("no version in %q", text)
	}
	return major, nil
}

// advice names the command that installs what is missing: the person who reads it
// wanted to run something else.
func (s search) advice() string {
	version := ""
	if s.major != 0 {
		version = fmt.Sprintf("the data needs version %d: ", s.major)
	}
	if runtime.GOOS == "darwin" {
		return version + fmt.Sprintf("install one with: brew install postgresql@%d\n", max(s.major, newestMajor-1))
	}
	for _, manager := range []struct{ probe, command string }{
		{"/usr/bin/apt-get", "apt-get install postgresql"},
		{"/usr/bin/dnf", "dnf install postgresql-server"},
		{"/usr/bin/pacman", "pacman -S postgresql"},
		{"/sbin/apk", "apk add postgresql17"},
	} {
		if _, err := os.Stat(manager.probe); err == nil {
			return version + "install one with: " + manager.command + "\n"
		}
	}
	return version + "install the postgresql server of your system\n"
}

// command prepares a program that runs as the account. Nothing of our
// environment reaches it: PGDATA, PGPORT and locales would change what it does.
func (a *account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = a.attributes()
	// A grandchild that keeps a pipe open must not keep us.
	cmd.WaitDelay = time.Second
	return cmd
}

// output runs a program that prints something and ends soon.
func (a *account) output(ctx context.Context, dir, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	text, err := a.command(ctx, dir, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, lastLines(string(text)))
	}
	return string(text), nil
}

// lastLines keeps what fits into an error message.
func lastLines(text string) string {
	const most = 600
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	return text
}
