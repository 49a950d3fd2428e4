package link

import (
	"sync"
	"time"
)

// Bundle are the links of one program to all servers of a cluster, of which it
// uses one at a time and changes to another when that one is away. What is said
// to a bundle is said to each of its links, one after the other, so it takes the
// place of a [Link] wherever one server became several.
type Bundle []*Link

// Pass is [Link.Pass] of each.
func (b Bundle) Pass() { b.each((*Link).Pass) }

// Cut is [Link.Cut] of each.
func (b Bundle) Cut() { b.each((*Link).Cut) }

// Refuse is [Link.Refuse] of each.
func (b Bundle) Refuse() { b.each((*Link).Refuse) }

// Stop is [Link.Stop] of each.
func (b Bundle) Stop() { b.each((*Link).Stop) }

// Blackhole is [Link.Blackhole] of each.
func (b Bundle) Blackhole(directions ...Direction) {
	b.each(func(l *Link) { l.Blackhole(directions...) })
}

// Delay is [Link.Delay] of each.
func (b Bundle) Delay(d time.Duration) { b.each(func(l *Link) { l.Delay(d) }) }

// HalfClose is [Link.HalfClose] of each.
func (b Bundle) HalfClose(d Direction) { b.each(func(l *Link) { l.HalfClose(d) }) }

// CutOn is [Link.CutOn] of each, and each counts for itself. The channel is
// closed when the first of them has cut; the others stay armed until
// [Bundle.Pass], and may cut the connection that is opened in place of it.
func (b Bundle) CutOn(steps ...Said) <-chan struct{} {
	return b.arm(func(l *Link, told func()) { l.arm(l.cut, steps, told) })
}

// HoldOn is [Link.HoldOn] of each, as [Bundle.CutOn] is of [Link.CutOn].
func (b Bundle) HoldOn(steps ...Said) <-chan struct{} {
	return b.arm(func(l *Link, told func()) { l.arm(l.hold, steps, told) })
}

func (b Bundle) arm(on func(l *Link, told func())) <-chan struct{} {
	fired := make(chan struct{})
	told := sync.OnceFunc(func() { close(fired) })
	b.each(func(l *Link) { on(l, told) })
	return fired
}

func (b Bundle) each(do func(*Link)) {
	for _, l := range b {
		do(l)
	}
}
