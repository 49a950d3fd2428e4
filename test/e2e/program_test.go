package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/local"
)

// patience bounds every wait for a process. It is a bound on a hang, never a
// measure of speed.
const patience = 2 * time.Minute

// build compiles the programs once for all tests of a run.
func build(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	// Without the race detector: a kill must be able to hit a process at speed.
	output, err := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "../../cmd/...").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, output)
	}
	return nil
}

// dataRoot makes a directory for data directories, which the test takes away.
// t.TempDir is closed to the unprivileged user that PostgreSQL runs as when the
// tests run as root.
func dataRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nexero-e2e-data-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the data: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nothing in it is open to others
		t.Fatal(err)
	}
	return dir
}

// process is a running program.
type process struct {
	t       *testing.T
	command *exec.Cmd
	// dataDir is where a `nexero up` keeps its data.
	dataDir string
	output  *output
	// ended is closed when the process has ended, with err.
	ended chan struct{}
	err   error
}

// up starts `nexero up` with its own data directory and waits until it is ready.
// Settings are NEXERO_* names; secrets go this way, as an operator would do it.
func up(t *testing.T, dataDir string, settings []string, args ...string) *process {
	t.Helper()
	p := start(t, "nexero", settings, append([]string{"up", "--data-dir", dataDir, "--log-format", "json"}, args...)...)
	p.dataDir = dataDir
	p.run()
	return p
}

// start starts a program.
func start(t *testing.T, name string, settings []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, output: new(output), ended: make(chan struct{})}
	p.command = exec.Command(filepath.Join(programs, name), args...)
	p.command.Stdout, p.command.Stderr = p.output, p.output
	p.command.Env = append(environment(), settings...)
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %v: %v", args, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
	}()
	t.Cleanup(p.cleanup)
	return p
}

// output is what a process prints. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}

// environment is the test's own without any setting of the program's.
func environment() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !bytes.HasPrefix([]byte(entry), []byte("NEXERO_")) {
			env = append(env, entry)
		}
	}
	return env
}

// run waits for the process to be ready and returns what it says of itself.
func (p *process) run() local.RunFile {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		run, err := local.FindRunFile(ctx, p.dataDir, time.Second)
		if err == nil && run.PID == p.command.Process.Pid {
			return run
		}
		select {
		case <-p.ended:
			p.t.Fatalf("nexero up ended before it was ready: %v\n%s", p.err, p.tail())
		case <-ctx.Done():
			p.t.Fatalf("nexero up is not ready: %v\n%s", err, p.tail())
		default:
		}
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		p.t.Fatalf("kill: %v", err)
	}
	if p.await() == nil {
		p.t.Error("a killed process ended well")
	}
}

// stop ends the process as Ctrl-C does and checks that it leaves in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatalf("interrupt: %v", err)
	}
	if err := p.await(); err != nil {
		p.t.Fatalf("nexero up did not stop in order: %v\n%s", err, p.tail())
	}
	if _, err := os.Stat(filepath.Join(p.dataDir, "run.json")); err == nil {
		p.t.Errorf("run.json is left behind")
	}
}

func (p *process) await() error {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		p.t.Fatalf("process %d does not end\n%s", p.command.Process.Pid, p.tail())
		return nil
	}
}

// cleanup asks a process that is still there to stop, so that it takes its
// PostgreSQL with it, and insists when it does not.
func (p *process) cleanup() {
	select {
	case <-p.ended:
		return
	default:
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Logf("terminate: %v", err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("process %d ignores SIGTERM; kill: %v", p.command.Process.Pid, p.command.Process.Kill())
		<-p.ended
	}
	if p.t.Failed() {
		p.t.Logf("output of %s:\n%s", p.dataDir, p.tail())
	}
}

// tail is the end of what the process printed so far.
func (p *process) tail() []byte {
	text := p.output.bytes()
	return text[max(0, len(text)-8<<10):]
}

// nexero runs one of the operator's commands and returns its standard output.
func nexero(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, "nexero"), args...)
	command.Env = environment()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if err != nil {
		err = fmt.Errorf("nexero %s: %w\n%s%s", args[0], err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), err
}

// replay plays a recording and returns the summary.
func replay(t *testing.T, dataDir, file string, copies int) summary {
	t.Helper()
	s, err := tryReplay(t, dataDir, file, copies)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// summary is what `nexero replay --json` prints.
type summary struct {
	Answered int `json:"answered"`
	Refused  int `json:"refused"`
	Accepted int `json:"accepted"`
	Rejected int `json:"rejected"`
	Retries  int `json:"retries"`
}

func tryReplay(t *testing.T, dataDir, file string, copies int) (s summary, err error) {
	t.Helper()
	output, err := nexero(t, "replay", file, "--data-dir", dataDir,
		"--speed", "0", "--copies", strconv.Itoa(copies), "--json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(output, &s)
}

// verify runs `nexero verify` and fails the test unless it exits 0.
func verify(t *testing.T, dataDir string) {
	t.Helper()
	output, err := nexero(t, "verify", "--data-dir", dataDir, "--wait", patience.String())
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("verify exits %d: %v", exit.ExitCode(), err)
		}
		t.Fatal(err)
	}
	t.Logf("%s", output)
}
