package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// errStillThere is a process that did not end when it was asked to.
var errStillThere = errors.New("did not end in time")

// process is one program of the stand, which is started again and again on the
// same addresses and data. Its methods may be called at the same time.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	logPath string
	// endedAlone is told when it ended and nobody had asked for it.
	endedAlone func(name string, err error)

	mu   sync.Mutex
	life *life // nil before the first start
}

// life is one start of a process until its end.
type life struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended, with err
	err     error
	mu      sync.Mutex
	asked   bool // its end is wanted, or a crash point is armed
	frozen  bool
}

// start starts the process unless it runs. It says nothing about readiness.
func (p *process) start() error { return p.launch(false) }

// startDoomed does the same with settings on top of its own that will end it:
// its end is no surprise.
func (p *process) startDoomed(settings ...string) error { return p.launch(true, settings...) }

func (p *process) launch(doomed bool, settings ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil && p.life.running() {
		return nil
	}
	output, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	// No context ends it: that is what faults, and the stand's end, are for.
	command := exec.CommandContext(context.Background(), p.program, p.args...)
	command.Env = slices.Concat(p.env, settings)
	command.Stdout, command.Stderr = output, output
	// A group of its own keeps the terminal's Ctrl-C away: the stand ends it in
	// its turn.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), output.Close())
	}
	l := &life{command: command, ended: make(chan struct{}), asked: doomed}
	p.life = l
	go func() {
		l.err = command.Wait()
		_ = output.Close()
		close(l.ended)
		if !l.wanted() {
			p.endedAlone(p.name, l.err)
		}
	}()
	return nil
}

func (p *process) current() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// running reports whether the process is there, frozen or not.
func (p *process) running() bool {
	l := p.current()
	return l != nil && l.running()
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill(ctx context.Context) error {
	l := p.current()
	if l == nil || !l.running() {
		return nil
	}
	l.ask()
	if err := l.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	_, err := p.await(ctx, l, killPatience)
	return err
}

// terminate asks the process to end and returns its exit status. errStillThere
// says that it did not within patience; it is killed then.
func (p *process) terminate(ctx context.Context, patience time.Duration) (status int, err error) {
	l := p.current()
	if l == nil || !l.running() {
		return 0, nil
	}
	l.ask()
	if err := l.signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("terminate %s: %w", p.name, err)
	}
	status, err = p.await(ctx, l, patience)
	if err != nil {
		// Its stacks say what it waits for; then it has to go.
		_ = l.signal(syscall.SIGQUIT)
		if _, quit := p.await(ctx, l, quitPatience); quit != nil {
			_ = l.signal(syscall.SIGKILL)
			_, _ = p.await(context.WithoutCancel(ctx), l, killPatience)
		}
	}
	return status, err
}

const (
	killPatience = 20 * time.Second
	quitPatience = 5 * time.Second
)

func (p *process) await(ctx context.Context, l *life, patience time.Duration) (status int, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.ended:
		return l.command.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("%s: %w (%s)", p.name, errStillThere, patience)
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of %s: %w", p.name, ctx.Err())
	}
}

// freeze stops the process where it is, thaw lets it go on.
func (p *process) freeze() error { return p.signal(syscall.SIGSTOP, true) }

func (p *process) thaw() error { return p.signal(syscall.SIGCONT, false) }

// isFrozen reports whether freeze was the last that was done to it.
func (p *process) isFrozen() bool {
	l := p.current()
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}

func (p *process) signal(sig syscall.Signal, frozen bool) error {
	l := p.current()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	l.frozen = frozen
	l.mu.Unlock()
	if err := l.signal(sig); err != nil {
		return fmt.Errorf("%s to %s: %w", sig, p.name, err)
	}
	return nil
}

func (l *life) running() bool {
	select {
	case <-l.ended:
		return false
	default:
		return true
	}
}

func (l *life) ask() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = true
}

func (l *life) wanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

func (l *life) signal(sig syscall.Signal) error {
	err := l.command.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
