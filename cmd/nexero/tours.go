package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/replay"
	"github.com/nexero-vr/nexero/internal/sim"
)

// player posts what simulated headsets send and keeps the ledger of it.
type player struct {
	client *replay.Client
	pace   replay.Pace
	bar    *runBar

	// mu guards what follows.
	mu            sync.Mutex
	summary       *replay.Summary
	ledger        sim.Ledger
	surprises     int
	firstSurprise string
}

// play plays all headsets, atOnce of them side by side, each in its own order.
func (p *player) play(ctx context.Context, run *sim.Run, headsets, atOnce int) error {
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for number := 0; number < headsets && ctx.Err() == nil; number++ {
		group.Go(func() error { return p.headset(ctx, run, number) })
	}
	err := group.Wait()
	p.bar.finish()
	p.summary.Elapsed = time.Since(begun)
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	return nil
}

func (p *player) headset(ctx context.Context, run *sim.Run, number int) error {
	for post := range run.Headset(number) {
		if err := p.pace.Wait(ctx, post.AtMS); err != nil {
			return err
		}
		answer, err := p.client.Post(ctx, post.Path, post.Headers, []byte(post.Body))
		if err != nil {
			return err
		}
		p.note(post, answer)
		p.bar.reach(number, post.AtMS)
	}
	p.bar.leave(number)
	return nil
}

// note counts an answer and compares it with the truth. What was refused is not
// in the ledger: no database will hold it.
func (p *player) note(post sim.Post, answer replay.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.summary.Add(answer)
	if answer.Status < 300 {
		p.ledger.Add(post)
		if answer.Processed == post.Accepted && answer.Failed == post.Rejected {
			return
		}
	}
	p.surprises++
	if p.firstSurprise == "" {
		p.firstSurprise = fmt.Sprintf("status %d with %d events accepted and %d rejected instead of %d and %d %s",
			answer.Status, answer.Processed, answer.Failed, post.Accepted, post.Rejected, answer.Detail)
	}
}

// runBar shows how much of the simulated time is over, on a terminal only.
type runBar struct {
	duration int64 // ms

	mu      sync.Mutex
	bar     *progressbar.ProgressBar
	reached []int64 // by headset, in whole seconds
}

func newRunBar(w io.Writer, doing string, duration time.Duration, headsets int) *runBar {
	if !obs.IsTerminal(w) {
		return &runBar{}
	}
	return &runBar{
		duration: duration.Milliseconds(),
		reached:  make([]int64, headsets),
		bar: progressbar.NewOptions(int(duration/time.Second)*headsets,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(doing),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("simulated s"),
			progressbar.OptionClearOnFinish()),
	}
}

// reach moves the bar to where a headset is. A bar that cannot be drawn is no
// reason to stop.
func (b *runBar) reach(headset int, atMS int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar == nil {
		return
	}
	if seconds := min(atMS, b.duration) / 1000; seconds > b.reached[headset] {
		_ = b.bar.Add64(seconds - b.reached[headset])
		b.reached[headset] = seconds
	}
}

// leave says that a headset sends no more.
func (b *runBar) leave(headset int) { b.reach(headset, b.duration) }

func (b *runBar) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
