package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/sim"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// screen is what a person reads while the program prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	wait string
	seen chan struct{}
}

// await says which text closes seen.
func await(text string) *screen { return &screen{wait: text, seen: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if s.wait != "" && strings.Contains(s.text.String(), s.wait) {
		s.wait = ""
		close(s.seen)
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// fewTours are enough for numbers in every table.
func fewTours() sim.Options {
	return sim.Options{Headsets: 3, Duration: 25 * time.Minute, Rate: 2, Habits: sim.Usual()}
}

// showDemo runs the demo until it has printed everything, then look, then stops it.
func showDemo(t *testing.T, env []string, look func(printed string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := await("check it"), make(chan error, 1)
	command := newUp(env, fewTours())
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetArgs([]string{"--demo", "--listen", "127.0.0.1:0", "--log-level", "warn"})
	command.SetOut(out)
	command.SetErr(io.Discard)
	go func() { ended <- command.ExecuteContext(ctx) }()
	select {
	case <-out.seen:
		look(out.String())
	case err := <-ended:
		t.Fatalf("ended before its time: %v\n%s", err, out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	if !strings.Contains(out.String(), "Stopped. The data is still in ") {
		t.Errorf("the stop is not announced:\n%s", out)
	}
}

// column adds up a column of the table below a title.
func column(t *testing.T, printed, view, header string) (sum int) {
	t.Helper()
	_, table, _ := strings.Cut(printed, view+"\n\n")
	lines := strings.Split(table, "\n")
	before, _, found := strings.Cut(lines[0], header)
	if !found {
		t.Fatalf("no column %q of %s in:\n%s", header, view, printed)
	}
	end := len(before) + len(header) // numbers stand at the right
	for _, line := range lines[2:] {
		if line == "" {
			break
		}
		cell := string([]rune(line)[:end])
		number, err := strconv.Atoi(strings.ReplaceAll(cell[strings.LastIndex(cell, " ")+1:], ",", ""))
		if err != nil {
			t.Fatalf("column %q of %s: %v in %q", header, view, err, line)
		}
		sum += number
	}
	return sum
}

// What the tables must add up to. The short lists are cut as they are printed.
const (
	allSessions = "SELECT count(*) FROM nexero.sessions WHERE $1 <> $2"
	allEvents   = "SELECT count(*) FROM nexero.events WHERE $1 <> $2"
	onTheDay    = " WHERE property_name = $1 AND to_char(day, 'FMDD FMMonth') = $2"
	visits      = "SELECT count(*) FROM analytics.zone_visits" + onTheDay
	looks       = "SELECT sum(n) FROM (SELECT looks AS n FROM analytics.gaze_targets_daily" + onTheDay + " ORDER BY look_s DESC, target, zone LIMIT 9) t"
	touches     = "SELECT sum(n) FROM (SELECT interactions AS n FROM analytics.interactions_daily" + onTheDay + " ORDER BY n DESC, object, kind, zone LIMIT 9) t"
)

// What is printed is what is stored, and a second run adds to it.
func TestDemo(t *testing.T) {
	t.Parallel()
	database, dir := testkit.Database(t), t.TempDir()
	env := []string{"NEXERO_DATABASE_URL=" + database, "NEXERO_DATA_DIR=" + dir, "NEXERO_SERVICES=nats,ingest,worker", "NEXERO_METRICS_LISTEN=127.0.0.1:0"}
	db := connectDatabase(t, database)
	checked, shown := regexp.MustCompile(`every one of ([0-9,]+) events is counted`), regexp.MustCompile(`Rooms of (.+) on (\d+ \w+)`)
	events := 0
	for _, start := range []string{"first", "second"} {
		showDemo(t, env, func(printed string) {
			said, where := checked.FindStringSubmatch(printed), shown.FindStringSubmatch(printed)
			if said == nil || where == nil || strings.Contains(printed, "WRONG") || strings.Contains(printed, "\x1b") {
				t.Fatalf("the %s run prints:\n%s", start, printed)
			}
			stored := func(query string) (n int) {
				t.Helper()
				if err := db.QueryRow(t.Context(), query, where[1], where[2]).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for _, table := range []struct{ view, header, query string }{
				{"analytics.properties_daily", "tours", allSessions},
				{"analytics.properties_daily", "events", allEvents},
				{"analytics.zones_daily", "visits", visits},
				{"analytics.gaze_targets_daily", "looks", looks},
				{"analytics.interactions_daily", "times", touches},
			} {
				if got, want := column(t, printed, table.view, table.header), stored(table.query); got != want || want == 0 {
					t.Errorf("the %s run prints %d %s of %s, stored are %d:\n%s", start, got, table.header, table.view, want, printed)
				}
			}
			before := events
			events = stored(allEvents)
			if n, err := strconv.Atoi(strings.ReplaceAll(said[1], ",", "")); err != nil || n == 0 || n != events-before {
				t.Errorf("the %s run checked %s events, %d were added", start, said[1], events-before)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "run.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("run.json: %v", err)
	}
}

// A demo that fails takes nothing down, and says what happened.
func TestDemo_Fails(t *testing.T) {
	t.Parallel()
	database := testkit.Database(t)
	if _, err := connectDatabase(t, database).Exec(t.Context(), `
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no properties today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON nexero.properties FOR EACH ROW EXECUTE FUNCTION refuse()`); err != nil {
		t.Fatal(err)
	}
	env := []string{"NEXERO_DATABASE_URL=" + database, "NEXERO_DATA_DIR=" + t.TempDir(), "NEXERO_SERVICES=nats,ingest,worker", "NEXERO_METRICS_LISTEN=127.0.0.1:0"}
	showDemo(t, env, func(printed string) {
		if !strings.Contains(printed, "no properties today") || !strings.Contains(printed, "Nexero is up.") || strings.Contains(printed, "Tours a day") {
			t.Errorf("prints:\n%s", printed)
		}
	})
}

// asProgram makes the test binary the program, in a process of its own.
const asProgram = "-as-nexero"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asProgram {
		os.Args = append(os.Args[:1], os.Args[2:]...)
		main()
	}
	testkit.Main(m)
}

// rule 10: Ctrl-C in the middle of the demo leaves nothing behind but the data.
func TestDemo_Interrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// PostgreSQL may run as another user, who must pass through.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // a directory of a test
		t.Fatal(err)
	}
	program := exec.CommandContext(t.Context(), os.Args[0], asProgram, "up", "--demo", "--data-dir", dir, "--listen", "127.0.0.1:0") //nolint:gosec // this program
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	program.Stderr = &stderr
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	var printed strings.Builder
	postmaster := 0
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Playing ") {
			postmaster = postmasterOf(t, dir)
			if err := program.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	if err := program.Wait(); err != nil || postmaster == 0 {
		t.Fatalf("ends with %v, PostgreSQL was %d:\n%s\n%s", err, postmaster, printed.String(), stderr.String())
	}
	if text := printed.String(); !strings.Contains(text, "Stopping.") || strings.Contains(text, "Tours a day") || strings.Contains(text, "Nexero is up") {
		t.Errorf("prints:\n%s", text)
	}
	if err := syscall.Kill(postmaster, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("PostgreSQL is still there: %v", err)
	}
	if err := syscall.Kill(-program.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("processes of the group are still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("run.json: %v", err)
	}
}

// postmasterOf returns the process of the private PostgreSQL.
func postmasterOf(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "postgres", "*", "postmaster.pid"))
	if err != nil || len(files) != 1 {
		t.Fatalf("postmaster.pid: %v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestDemo_Refused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, args, want string }{
		{"no worker", "--services=nats,ingest", "needs the service worker"},
		{"no ingest", "--services=nats,postgres,worker", "needs the service ingest"},
		{"production", "--environment=production", "must not meet real ones"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			sh := &shell{t: t, env: []string{"NEXERO_DATA_DIR=" + dir}}
			if stdout, stderr, code := sh.run("up", "--demo", test.args); code != exitUsage || !strings.Contains(stderr, test.want) || stdout != "" {
				t.Errorf("exit %d, %q, %q", code, stdout, stderr)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the data directory: %v", err)
			}
		})
	}
}

// A person who watches a demo sees what is printed, unless routine is asked for.
func TestUpLevel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		args     []string
		env      string
		terminal bool
		want     string
	}{
		{"demo", []string{"--demo"}, "", true, "WARN"},
		{"demo by a variable", nil, "NEXERO_DEMO=true", true, "WARN"},
		{"demo without a person", []string{"--demo"}, "", false, "INFO"},
		{"no demo", nil, "", true, "INFO"},
		{"chosen", []string{"--demo", "--log-level=info"}, "", true, "INFO"},
		{"chosen by a variable", []string{"--demo"}, "NEXERO_LOG_LEVEL=debug", true, "DEBUG"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := []string{test.env}
			command := newUp(env, fewTours())
			if err := command.ParseFlags(test.args); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load[config.Up](command.Flags(), env)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := upLevel(command, env, cfg, test.terminal); err != nil || got.String() != test.want {
				t.Errorf("level %s, %v, want %s", got, err, test.want)
			}
		})
	}
}
