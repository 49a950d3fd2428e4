package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// immediateWait is how long a server may take to die without writing
	// anything: after 5 s it kills its own children.
	immediateWait = 10 * time.Second

	pollTick = 20 * time.Millisecond
)

// process is the server's first process: a child of ours, or one that we took
// over and can only watch.
type process struct {
	pid    int
	exited chan struct{} // closed when a child ended; nil when taken over
	output *serverOutput // nil when taken over
	// cluster is where a server that was taken over is known from.
	cluster string
	// wanted is set from when a child was ready until it is stopped.
	wanted atomic.Bool
}

// spawn starts the server. It outlives a crash of ours; its messages then go
// nowhere, which it survives.
func spawn(ctx context.Context, f files, log *slog.Logger, program string, args []string) (*process, error) {
	ctx = context.WithoutCancel(ctx) // a server outlives the call that started it
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := f.account.command(ctx, f.dir, program, args...)
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	if err = errors.Join(err, write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	p := &process{pid: cmd.Process.Pid, exited: make(chan struct{}), output: &serverOutput{log: log}}
	var reading sync.WaitGroup
	reading.Go(func() { p.output.read(ctx, read) })
	go func() {
		defer close(p.exited)
		waitErr := cmd.Wait()
		if p.wanted.Load() {
			log.ErrorContext(ctx, "postgresql ended by itself", "pid", p.pid, "error", waitErr)
		}
		// Its children end with it, or hold the pipe a little longer; they have
		// nothing to say that somebody waits for.
		_ = read.SetReadDeadline(time.Now().Add(time.Second))
		reading.Wait()
		_ = read.Close()
	}()
	return p, nil
}

// running tells whether the server is still there. For a child the answer is
// certain; of one that was taken over, the file and the process have to agree.
func (p *process) running() bool {
	if p.exited == nil {
		// The number alone may mean somebody else by now.
		file, ok, err := readPostmaster(p.cluster)
		return err == nil && ok && file.pid == p.pid && alive(p.pid) && residenceOf(p.pid, p.cluster) != livesElsewhere
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop ends the server in order and, when ctx is done first, at once.
func (p *process) stop(ctx context.Context, log *slog.Logger) error {
	p.wanted.Store(false)
	if !p.running() {
		return nil
	}
	began := time.Now()
	if err := p.signal(syscall.SIGINT); err != nil { // fast: roll back and write
		return err
	}
	if p.awaitExit(ctx) {
		log.InfoContext(ctx, "postgresql stopped", "pid", p.pid, "duration", time.Since(began))
		return nil
	}
	if err := p.signal(syscall.SIGQUIT); err != nil { // immediate: recovery repairs
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), immediateWait)
	defer cancel()
	if !p.awaitExit(ctx) {
		return fmt.Errorf("process %d does not end", p.pid)
	}
	return fmt.Errorf("process %d did not end in %s and was ended at once; it recovers at the next start",
		p.pid, time.Since(began).Round(time.Millisecond))
}

// signal reaches only the process that we own.
func (p *process) signal(sig syscall.Signal) error {
	if !p.running() {
		return nil
	}
	err := syscall.Kill(p.pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// awaitExit waits for the end: a child's is told to us, another's has to be polled.
func (p *process) awaitExit(ctx context.Context) bool {
	if p.exited != nil {
		select {
		case <-p.exited:
			return true
		case <-ctx.Done():
			return false
		}
	}
	ticker := time.NewTicker(pollTick)
	defer ticker.Stop()
	for p.running() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// said tells whether the server's last messages hold text.
func (p *process) said(text string) bool { return strings.Contains(p.output.last(), text) }

// serverOutput hands the server's messages to slog and keeps the last of them
// for the error of a failed start.
type serverOutput struct {
	log *slog.Logger

	mu   sync.Mutex
	tail []string // guarded by mu
}

// read runs until the last process of the server has closed its end.
func (o *serverOutput) read(ctx context.Context, from io.Reader) {
	const tailLines, lineBytes = 12, 64 << 10
	lines := bufio.NewReaderSize(from, lineBytes)
	for {
		line, _, err := lines.ReadLine() // a longer line comes in pieces
		if err != nil {
			return
		}
		text := string(line)
		o.mu.Lock()
		if o.tail = append(o.tail, text); len(o.tail) > tailLines {
			o.tail = o.tail[1:]
		}
		o.mu.Unlock()
		o.log.LogAttrs(ctx, serverLevel(text), "postgresql server", slog.String("text", text))
	}
}

func (o *serverOutput) last() string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.tail, "\n")
}

// serverLevel maps the server's words. Its LOG is routine; ERROR and FATAL are
// what a statement or a connection was answered, which its client reports, and a
// start that fails quotes.
func serverLevel(text string) slog.Level {
	word, _, _ := strings.Cut(text, ":")
	switch word {
	case "PANIC":
		return slog.LevelError
	case "WARNING":
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}
