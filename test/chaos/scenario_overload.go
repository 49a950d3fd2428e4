package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// crowdPosts is how many posts are under way at each ingest besides those of
	// the headsets, each of crowdBody bytes: twice as much as fits.
	crowdPosts = 256
	crowdBody  = 64 << 10
	// inFlightBytes is the limit for the bodies of an ingest.
	inFlightBytes = 8 << 20
	// refusedWithin is what a refusal without reading the body may take on a busy
	// machine.
	refusedWithin = time.Second
	comparison    = 30 * time.Second
)

// overload keeps more bytes in flight than an ingest takes.
//
// rule 9
func overload() scenario {
	return scenario{
		name: "overload", minutes: 10 * time.Minute,
		about: fmt.Sprintf("a crowd keeps %d bodies of %d KiB under way at each ingest, whose limit for all together is %d MiB; headsets post as before",
			crowdPosts, crowdBody>>10, inFlightBytes>>20),
		settings: []string{fmt.Sprintf("NEXERO_MAX_IN_FLIGHT_BYTES=%d", inFlightBytes)},
		play:     playOverload,
	}
}

func playOverload(ctx context.Context, a *act) error {
	l, err := startLoad(ctx, a, headsets, meanPause)
	if err != nil {
		return err
	}
	memory := startSampler(ctx, a.stand, kindIngest)
	defer memory.finish()
	if !pause(ctx, warmUp) {
		return ctx.Err()
	}
	begun := time.Now()
	if !pause(ctx, comparison) {
		return ctx.Err()
	}
	crowded := time.Now()
	c := startCrowd(ctx, a, l.bases)
	most := a.watchInFlight(ctx, a.lasts)
	over := time.Now()
	c.finish()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	before, during, crowd := l.meter.between(begun, crowded), l.meter.between(crowded, over), c.meter.between(crowded, over)
	a.show("overloaded for", "%s", over.Sub(crowded).Round(time.Second))
	a.promise(most <= inFlightBytes, "bytes of bodies in flight at an ingest", "at most "+mib(inFlightBytes), "at most %s", mib(most))
	a.show("attempts of the crowd", "%s; no answer: it was let in, held its room for two seconds, and left", crowd)
	a.promise(len(crowd.refused) > 0 && quantile(crowd.refused, 0.99) <= refusedWithin && crowd.mute == 0, "refusals of the crowd",
		"p99 within "+refusedWithin.String()+", each with Retry-After", "%s", quantiles(crowd.refused))
	a.promise(during.others(http.StatusServiceUnavailable) == len(during.accepted), "attempts of headsets", "202, or 503 and repeated", "%s", during)
	a.promise(quantile(during.refused, 0.99) <= refusedWithin, "refusals of headsets", "p99 within "+refusedWithin.String(), "%s", quantiles(during.refused))
	a.show("accepted posts before", "%d: %s", len(before.accepted), quantiles(before.accepted))
	// As much again is within what this machine does to a latency by itself.
	limit50, limit99 := 2*quantile(before.accepted, 0.5)+100*time.Millisecond, 2*quantile(before.accepted, 0.99)+300*time.Millisecond
	a.promise(len(during.accepted) > 0 && quantile(during.accepted, 0.5) <= limit50 && quantile(during.accepted, 0.99) <= limit99,
		"accepted posts during", fmt.Sprintf("p50 within %s, p99 within %s", limit50, limit99), "%d: %s", len(during.accepted), quantiles(during.accepted))
	a.flat(memory, kindIngest, "during", crowded, over)
	return l.finish()
}

// watchInFlight looks at the ingests for some time and returns the most bytes
// that one said it had in flight.
func (a *act) watchInFlight(ctx context.Context, lasts time.Duration) (most int64) {
	end := time.Now().Add(lasts)
	for time.Now().Before(end) && pause(ctx, min(time.Second, time.Until(end))) {
		for _, ingest := range a.of(kindIngest) {
			if n, err := ingest.counter(ctx, "nexero_ingest_in_flight_bytes", "", ""); err == nil {
				most = max(most, int64(n))
			}
		}
	}
	return most
}

// crowd is clients that keep bodies under way and never finish one.
type crowd struct {
	meter *meter
	stop  chan struct{}
	group sync.WaitGroup
}

func startCrowd(ctx context.Context, a *act, bases []string) *crowd {
	c := &crowd{meter: &meter{}, stop: make(chan struct{})}
	for _, base := range bases {
		for n := range crowdPosts {
			c.group.Go(func() {
				// Not all at the same instant.
				for wait := time.Duration(n) * 10 * time.Millisecond; c.rest(ctx, wait); wait = time.Second {
					c.meter.note(c.attempt(ctx, base, a.key))
				}
			})
		}
	}
	return c
}

// rest waits and reports whether to go on.
func (c *crowd) rest(ctx context.Context, wait time.Duration) bool {
	select {
	case <-c.stop:
		return false
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func (c *crowd) finish() {
	close(c.stop)
	c.group.Wait()
}

// attempt announces a body and sends its beginning, for which the ingest takes
// room for all of it; waits for two seconds whether it is refused, and goes away:
// nothing of it counts as a post.
func (c *crowd) attempt(ctx context.Context, base, key string) heard {
	const patience = 2 * time.Second
	h := heard{host: base, begun: time.Now()}
	dialer := net.Dialer{Timeout: patience}
	connection, err := dialer.DialContext(ctx, "tcp", base)
	if err != nil {
		return h
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(2 * patience))
	head := fmt.Sprintf("POST /api/v1/unreal/tracking/batch HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n", base, key, crowdBody)
	h.begun = time.Now()
	if _, err := io.WriteString(connection, head+strings.Repeat(" ", 1<<10)); err != nil {
		return h // refused while it was being sent, and the answer was lost with the connection
	}
	_ = connection.SetReadDeadline(time.Now().Add(patience))
	h.status, h.retryAfter = readStatus(connection)
	h.took = time.Since(h.begun)
	return h
}
