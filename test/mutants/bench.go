package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// outcome is what became of a mutant.
type outcome string

const (
	caught   outcome = "caught"
	survived outcome = "SURVIVED"
	broken   outcome = "BROKEN" // it does not apply or does not compile
	notTried outcome = "not tried"
)

// verdict is an outcome with its evidence.
type verdict struct {
	outcome outcome
	// by is the first test that failed, or why there was none.
	by     string
	took   time.Duration
	output string
}

// bench compiles and runs tests in a copy of the tree. Its methods may be
// called at the same time: a mutant never changes the copy.
type bench struct {
	tree string // the copy
	work string // where patched files and test programs go
}

// try compiles the tests of m's package with m applied and runs them until the
// first failure or until timeout.
func (b *bench) try(ctx context.Context, m mutant, timeout time.Duration) verdict {
	begun := time.Now()
	v := b.compileAndRun(ctx, m, timeout)
	v.took = time.Since(begun)
	return v
}

func (b *bench) compileAndRun(ctx context.Context, m mutant, timeout time.Duration) verdict {
	dir, err := os.MkdirTemp(b.work, m.Pkg+"-")
	if err != nil {
		return verdict{outcome: broken, by: err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// PostgreSQL refuses to run as root; the user it runs as has to get through.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		return verdict{outcome: broken, by: err.Error()}
	}
	overlay, err := m.Overlay(b.tree, dir)
	if err != nil {
		return verdict{outcome: broken, by: "does not apply", output: err.Error()}
	}
	program := filepath.Join(dir, m.Pkg+".test")
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, "./internal/"+m.Pkg)
	compile.Dir = b.tree
	if out, err := compile.CombinedOutput(); err != nil {
		return verdict{outcome: broken, by: "does not compile", output: string(out)}
	}
	return b.run(ctx, m, dir, program, timeout)
}

// run runs a test program in a process group of its own, and ends the group
// when the first test has failed or the program has ended: a test that is cut
// short leaves children, and whatever else it leaves is in dir.
func (b *bench) run(ctx context.Context, m mutant, dir, program string, timeout time.Duration) verdict {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watch := &watch{failed: stop}
	// Verbose, so that a failure is told when it happens and not when the tests
	// that run beside it have ended.
	cmd := exec.CommandContext(ctx, program,
		"-test.v", "-test.failfast", "-test.timeout", timeout.String())
	if m.only != "" {
		cmd.Args = append(cmd.Args, "-test.run", "^("+m.only+")$")
	}
	cmd.Dir = filepath.Join(b.tree, "internal", m.Pkg)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = watch, watch
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH when nothing is left
	}
	out := watch.text.String()
	switch {
	case err == nil && strings.Contains(out, "no tests to run"):
		return verdict{outcome: broken, by: "there is no test " + m.only}
	case err == nil:
		return verdict{outcome: survived}
	case watch.by != "":
		return verdict{outcome: caught, by: watch.by, output: out}
	case stopped(err):
		// By somebody else: that says nothing about the mutant.
		return verdict{outcome: broken, by: "its tests were stopped", output: out}
	case strings.Contains(out, "panic: test timed out"):
		return verdict{outcome: caught, by: "its tests hang", output: out}
	default:
		return verdict{outcome: caught, by: "the test program died: " + err.Error(), output: out}
	}
}

// stopped reports whether err is a program that was asked to end.
func stopped(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGINT)
}

// watch takes a test program's output and reports the first failure. It is
// written to by one goroutine.
type watch struct {
	failed func()
	text   strings.Builder
	by     string // the test that failed first
	line   int    // where the unfinished line begins
}

func (w *watch) Write(p []byte) (int, error) {
	w.text.Write(p)
	rest := w.text.String()[w.line:]
	for w.by == "" {
		line, after, whole := strings.Cut(rest, "\n")
		if !whole {
			break
		}
		w.line += len(line) + 1
		rest = after
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			w.by, _, _ = strings.Cut(name, " ")
			w.failed()
		}
	}
	return len(p), nil
}

// moduleRoot finds the directory of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("not in a module")
	}
	return filepath.Dir(file), nil
}

// copyTree copies what git knows of the tree at root, and what it would add.
func copyTree(ctx context.Context, root, to string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the tree's files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			return fmt.Errorf("copy the tree: %w", err)
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // an unprivileged PostgreSQL may have to pass
			return fmt.Errorf("copy the tree: %w", err)
		}
		if err := os.WriteFile(target, data, 0o644); err != nil { //nolint:gosec // as above
			return fmt.Errorf("copy the tree: %w", err)
		}
	}
	return nil
}
