package worker

import (
	"context"
	"sync"

	"github.com/cenkalti/backoff/v5"
)

// loop gathers and writes in turn. All but its keeper belongs to one
// goroutine.
type loop struct {
	w      *Worker
	number int
	keeper *keeper
	// pauses grow from one failed write to the next, fetchPauses from one failed
	// fetch to the next.
	pauses, fetchPauses *backoff.ExponentialBackOff
	// failing is whether the last write found a store that cannot work.
	failing bool
	// metNewer is whether this gather met a message of a newer layout.
	metNewer bool
}

func newLoop(w *Worker, number int) *loop {
	return &loop{
		w: w, number: number, keeper: newKeeper(w.opts, w.metrics),
		pauses: newPauses(), fetchPauses: newPauses(),
	}
}

// run works until soft ends; hard cuts off the writes that the drain is waiting
// for. When it returns, nothing is in hand. The error is a store that needs a
// person, or ErrDrain.
func (l *loop) run(soft, hard context.Context) error {
	// Messages are kept to the end of the drain.
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(soft))
	var keeper sync.WaitGroup
	keeper.Go(func() { l.keeper.run(keeping) })
	defer keeper.Wait()
	defer stopKeeping()

	for l.w.newer.pause(soft, &l.w.state) {
		if l.failing && !wait(soft, l.pauses.NextBackOff()) {
			return nil
		}
		gathered := l.gather(soft)
		if len(gathered) == 0 {
			continue
		}
		if err := l.write(soft, hard, gathered); err != nil {
			return err
		}
	}
	return nil
}
