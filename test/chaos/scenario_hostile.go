package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// hostileTenant is whose key attackers have: a limit before the key would refuse
// what is tried here without having looked at it. What is kept of their bodies
// is theirs and in no book of the headsets.
const hostileTenant = "hostile"

// Limits that attacks run into, short so that each is reached often.
const (
	hostileHeaderTimeout = 3 * time.Second
	hostileConnections   = 200 // of one address
	hostileInFlight      = 64 << 20
	// rssAllowed is what attackers may add to the memory of an ingest: the bytes
	// in flight, as much again until the garbage collector has been there, and
	// what connections, limiters and decoders need.
	rssAllowed = 2*hostileInFlight + 64<<20
)

// hostile attacks an ingest in all ways at once.
//
// rule 9
func hostile() scenario {
	return scenario{
		name: "hostile", minutes: 2 * time.Minute,
		about: "attackers with a valid key of their own and an address each do all at once what limits are for; headsets post as before",
		settings: []string{
			"NEXERO_HEADER_TIMEOUT=" + hostileHeaderTimeout.String(), fmt.Sprintf("NEXERO_MAX_CONNECTIONS_PER_ADDRESS=%d", hostileConnections),
			fmt.Sprintf("NEXERO_MAX_IN_FLIGHT_BYTES=%d", hostileInFlight),
		},
		play: playHostile,
	}
}

func playHostile(ctx context.Context, a *act) error {
	output, err := a.nexero(ctx, "keys", "create", "--tenant", hostileTenant, "--name", "attackers", "--scopes", "post")
	if err != nil {
		return err
	}
	l, err := startLoad(ctx, a, headsets, meanPause)
	if err != nil {
		return err
	}
	memory := startSampler(ctx, a.stand, kindIngest)
	defer memory.finish()
	begun := time.Now()
	if !pause(ctx, warmUp) {
		return ctx.Err()
	}
	attacked := time.Now()
	s, err := startSiege(ctx, l.bases, strings.TrimSpace(output))
	if err != nil {
		return err
	}
	// Those that came shortly before the end have their answers after it.
	pause(ctx, a.lasts)
	over := time.Now()
	s.finish()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, what := range s.attacks {
		what.report(a)
	}
	before, during := l.meter.between(begun, attacked), l.meter.between(attacked, over)
	a.promise(during.unwell() == 0 && len(during.accepted) > 0, "posts of headsets meanwhile",
		"every one answered 202 (a session 201) at its first attempt", "%s", during)
	a.show("answers to headsets before", "%s", quantiles(before.accepted))
	a.show("answers to headsets meanwhile", "%s", quantiles(during.accepted))
	for _, ingest := range a.of(kindIngest) {
		quiet, siege := memory.between(ingest.name, begun, attacked), memory.between(ingest.name, attacked, over)
		a.promise(siege.most <= quiet.most+rssAllowed, "RSS of "+ingest.name, "at most "+mib(rssAllowed)+" more than before",
			"at most %s before, %s meanwhile", mib(quiet.most), mib(siege.most))
	}
	panics, err := a.ingestCounter(ctx, "nexero_ingest_panics_total", "", "")
	if err != nil {
		return err
	}
	a.promise(panics == 0, "panics", "none", "%.0f", panics)
	return l.finish()
}

// attack is one way to do harm, and what came of it.
type attack struct {
	name string
	// clients is how many do it at once to each ingest.
	clients int
	// once does it once and says how it was refused.
	once func(ctx context.Context, t *target) outcome
	// fine are the refusals that there may be, besides 429 and 503 of limits for
	// all, and a closed connection.
	fine []int
	// closes says that being cut off is how it is refused.
	closes bool
	// limit is what it may take.
	limit time.Duration
	// events is how many events one body has, for the count.
	events int

	mu       sync.Mutex
	outcomes map[string]int
	wrong    map[string]int
	took     []time.Duration
}

// outcome is how an attempt ended.
type outcome struct {
	status int // 0: cut off
	took   time.Duration
	err    error
}

// target is an ingest as an attacker sees it.
type target struct {
	base, key string
	client    *http.Client
	dialer    net.Dialer
}

// note keeps an outcome.
func (k *attack) note(o outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := strconv.Itoa(o.status)
	if o.status == 0 {
		name = "cut off"
	}
	k.outcomes[name]++
	k.took = append(k.took, o.took)
	good := slices.Contains(k.fine, o.status) || o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable || o.status == 0
	switch {
	case o.err != nil:
		k.wrong[o.err.Error()]++
	case !good:
		k.wrong[name]++
	case o.took > k.limit:
		k.wrong[name+", late"]++
	}
}

// report notes what came of it.
func (k *attack) report(a *act) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var parts []string
	reached := k.closes && k.outcomes["cut off"] > 0
	for _, name := range slices.Sorted(maps.Keys(k.outcomes)) {
		parts = append(parts, fmt.Sprintf("%d × %s", k.outcomes[name], name))
	}
	for _, status := range k.fine {
		reached = reached || k.outcomes[strconv.Itoa(status)] > 0
	}
	text := strings.Join(parts, ", ") + "; " + quantiles(k.took)
	if k.events > 0 {
		text = fmt.Sprintf("%.1f million events; ", float64(k.events*len(k.took))/1e6) + text
	}
	promised := fmt.Sprintf("%v", k.fine)
	if k.closes {
		promised = "cut off"
		if len(k.fine) > 0 {
			promised = fmt.Sprintf("%v or cut off", k.fine)
		}
	}
	a.promise(reached && len(k.wrong) == 0, k.name, promised+" within "+k.limit.String()+", some 429 or 503", "%s", text)
	for _, what := range slices.Sorted(maps.Keys(k.wrong))[:min(len(k.wrong), mostNamed)] {
		a.report.wrong = append(a.report.wrong, fmt.Sprintf("%s: %s, %d times", k.name, what, k.wrong[what]))
		a.say("  %s: %s, %d times\n", k.name, what, k.wrong[what])
	}
}

// siege is all attacks at once.
type siege struct {
	attacks []*attack
	stop    chan struct{}
	group   sync.WaitGroup
}

// startSiege lets all attackers begin. The caller calls finish.
func startSiege(ctx context.Context, bases []string, key string) (*siege, error) {
	all, err := attacks()
	if err != nil {
		return nil, err
	}
	s := &siege{attacks: all, stop: make(chan struct{})}
	for number, k := range all {
		k.outcomes, k.wrong = map[string]int{}, map[string]int{}
		for _, base := range bases {
			for range k.clients {
				s.group.Go(func() { s.attackAlways(ctx, k, newTarget(base, key, number)) })
			}
		}
	}
	return s, nil
}

func (s *siege) finish() {
	close(s.stop)
	s.group.Wait()
}

func (s *siege) attackAlways(ctx context.Context, k *attack, t *target) {
	defer t.client.CloseIdleConnections()
	for {
		o := k.once(ctx, t)
		select {
		case <-s.stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		k.note(o)
	}
}

// newTarget gives each kind of attack an address of its own, so that no limit
// of addresses makes attackers take turns.
func newTarget(base, key string, number int) *target {
	dialer := net.Dialer{Timeout: attackTimeout, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(number+1), 1)}}
	return &target{base: base, key: key, dialer: dialer, client: &http.Client{
		Timeout: attackTimeout, Transport: &http.Transport{DialContext: dialer.DialContext, DisableCompression: true},
	}}
}
