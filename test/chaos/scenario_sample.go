package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sampler reads how much memory services hold, every second, until it is
// stopped.
type sampler struct {
	stop  chan struct{}
	group sync.WaitGroup

	mu      sync.Mutex
	samples map[string][]sample
}

type sample struct {
	at    time.Time
	bytes int64
}

// startSampler watches all services of some kinds. The caller calls finish.
func startSampler(ctx context.Context, s *stand, kinds ...kind) *sampler {
	w := &sampler{stop: make(chan struct{}), samples: map[string][]sample{}}
	w.group.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			for _, k := range kinds {
				for _, service := range s.of(k) {
					w.look(ctx, service)
				}
			}
			select {
			case <-tick.C:
			case <-w.stop:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

func (w *sampler) finish() {
	close(w.stop)
	w.group.Wait()
}

func (w *sampler) look(ctx context.Context, v *service) {
	text, err := v.asked(ctx, "rss")
	if err != nil {
		return // it has just ended
	}
	kib, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples[v.name] = append(w.samples[v.name], sample{time.Now(), kib << 10})
}

// asked is one of the columns that ps has of a process.
func (p *process) asked(ctx context.Context, column string) (string, error) {
	life := p.current()
	if life == nil || !life.running() {
		return "", errNoProcess
	}
	output, err := exec.CommandContext(ctx, "ps", "-o", column+"=", "-p", strconv.Itoa(life.command.Process.Pid)).Output()
	if err != nil {
		return "", fmt.Errorf("ask for %s of %s: %w", column, p.name, err)
	}
	return strings.TrimSpace(string(output)), nil
}

var errNoProcess = errors.New("it does not run")

// span is how much memory a service held in some time.
type span struct {
	least, most int64
	// grew is by how much the most of the last third exceeds that of the first.
	grew int64
}

func (w *sampler) between(name string, from, to time.Time) span {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s span
	var first, last int64
	third := to.Sub(from) / 3
	for _, one := range w.samples[name] {
		if one.at.Before(from) || !one.at.Before(to) {
			continue
		}
		s.most = max(s.most, one.bytes)
		if s.least == 0 || one.bytes < s.least {
			s.least = one.bytes
		}
		switch {
		case one.at.Before(from.Add(third)):
			first = max(first, one.bytes)
		case !one.at.Before(to.Add(-third)):
			last = max(last, one.bytes)
		}
	}
	s.grew = last - first
	return s
}

// flatWithin is by how much memory may grow and still be called flat: the
// garbage collector lets a heap of some ten MiB breathe by as much.
const flatWithin = 24 << 20

// flat notes for each service of a kind what it held, which must not grow.
func (a *act) flat(w *sampler, k kind, when string, from, to time.Time) {
	for _, service := range a.of(k) {
		s := w.between(service.name, from, to)
		a.promise(s.grew <= flatWithin, "RSS of "+service.name+" "+when, "last third at most "+mib(flatWithin)+" above the first",
			"%s to %s (max − min %s), last third %+.1f MiB", mib(s.least), mib(s.most), mib(s.most-s.least), float64(s.grew)/(1<<20))
	}
}

// counter reads one metric of a service, or those of its series that have a
// label of some value, summed up. Of a histogram it is the count.
func (v *service) counter(ctx context.Context, name, label, value string) (float64, error) {
	families, err := v.scrape(ctx)
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, m := range families[name].GetMetric() {
		matches := label == ""
		for _, pair := range m.GetLabel() {
			matches = matches || pair.GetName() == label && pair.GetValue() == value
		}
		if matches {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, nil
}

// ingestCounter sums a metric over all ingests.
func (a *act) ingestCounter(ctx context.Context, name, label, value string) (sum float64, err error) {
	for _, service := range a.of(kindIngest) {
		n, err := service.counter(ctx, name, label, value)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// loadAverage is how busy the machine is, which figures depend on.
func loadAverage(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "uptime").Output()
	if err != nil {
		return "unknown"
	}
	_, averages, found := strings.Cut(string(output), "average")
	fields := strings.FieldsFunc(averages, func(r rune) bool { return r == ',' || r == ':' || r == ' ' || r == 's' || r == '\n' })
	if !found || len(fields) == 0 {
		return "unknown"
	}
	return fields[0]
}
