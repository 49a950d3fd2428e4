package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nexero-vr/nexero/internal/recording"
)

// Options say what is played and how fast.
type Options struct {
	// File is the path of a recording.
	File string
	// Copies is how many times it is played side by side. Copy 1 is the bytes as
	// recorded, each further copy has session ids of its own.
	Copies int
	// Speed multiplies the recording's own pace; 0 is as fast as answers come.
	Speed float64
	// Connections bounds the tours under way at once when Speed is 0.
	Connections int
	// Progress is called after each answer, from many goroutines; it may be nil.
	Progress func(Answer)
}

// Run plays a recording with client and sums up the answers. A request that is
// refused for good is counted and does not end the run; one that stays
// unanswered does.
func Run(ctx context.Context, client *Client, options Options) (*Summary, error) {
	if options.Copies < 1 || options.Speed < 0 || options.Connections < 1 {
		return nil, errors.New("replay: copies and connections must be at least 1, speed at least 0")
	}
	tours, err := readTours(options.File)
	if err != nil {
		return nil, err
	}
	player := player{client: client, options: options, pace: StartPace(options.Speed), summary: EmptySummary()}
	group, ctx := errgroup.WithContext(ctx)
	if options.Speed == 0 {
		group.SetLimit(options.Connections)
	}
	for copyNumber := 1; copyNumber <= options.Copies && ctx.Err() == nil; copyNumber++ {
		for _, tour := range tours {
			group.Go(func() error { return player.tour(ctx, tour, copyNumber) })
		}
	}
	err = group.Wait()
	player.summary.Elapsed = time.Since(player.pace.start)
	if err != nil {
		return player.summary, fmt.Errorf("replay %s: %w", options.File, err)
	}
	return player.summary, nil
}

// readTours reads a recording and groups its requests by session, both in the
// order of the file.
func readTours(file string) ([][]recording.Request, error) {
	reader, err := recording.Open(file)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var tours [][]recording.Request
	bySession := map[string]int{}
	for {
		request, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return tours, nil
		}
		if err != nil {
			return nil, err
		}
		session := request.SessionID()
		at, known := bySession[session]
		if !known {
			at = len(tours)
			bySession[session] = at
			tours = append(tours, nil)
		}
		tours[at] = append(tours[at], request)
	}
}

// player is what the tours of one run share.
type player struct {
	client  *Client
	options Options
	pace    Pace

	// mu guards summary.
	mu      sync.Mutex
	summary *Summary
}

// tour plays one session's requests, one after the other.
func (p *player) tour(ctx context.Context, requests []recording.Request, copyNumber int) error {
	for i := range requests {
		request := requests[i].ForCopy(copyNumber)
		if err := p.pace.Wait(ctx, request.AtMS); err != nil {
			return err
		}
		answer, err := p.client.Post(ctx, request.Path, request.Headers, []byte(request.Body))
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.summary.Add(answer)
		p.mu.Unlock()
		if p.options.Progress != nil {
			p.options.Progress(answer)
		}
	}
	return nil
}

// Pace says when requests are due. It is safe for concurrent use.
type Pace struct {
	start time.Time
	speed float64
}

// StartPace begins now and goes on at a multiple of real time; 0 waits for
// nothing.
func StartPace(speed float64) Pace { return Pace{start: time.Now(), speed: speed} }

// Wait waits until a request is due that is made atMS milliseconds after the
// first. The error is the context's.
func (p Pace) Wait(ctx context.Context, atMS int64) error {
	if p.speed == 0 {
		return ctx.Err()
	}
	at := time.Duration(float64(atMS) / p.speed * float64(time.Millisecond))
	timer := time.NewTimer(time.Until(p.start.Add(at)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
