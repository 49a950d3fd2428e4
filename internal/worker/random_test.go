package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/nexero-vr/nexero/internal/event"
)

// chaos is one random history of workers on one queue and one store.
type chaos struct {
	seed uint64
	// good, damaged and refused messages, and those that are refused for a while.
	good, damaged, refused, doubted int

	loops, maxMessages int
	maxEvents          int
	probability        map[string]float64
	// faulty is how long operations fail; lives are how long each worker lives
	// before it is stopped and another takes over.
	faulty time.Duration
	lives  []time.Duration
}

func drawChaos(t *rapid.T) chaos {
	probability := map[string]float64{}
	for _, operation := range []string{"fetch", "load", "keep", "partitions", "ack", "nak", "in progress", "oldest"} {
		probability[operation] = rapid.SampledFrom([]float64{0, .1, .5, .95}).Draw(t, operation)
	}
	return chaos{
		seed:        rapid.Uint64().Draw(t, "seed"),
		good:        rapid.IntRange(0, 40).Draw(t, "good"),
		damaged:     rapid.IntRange(0, 4).Draw(t, "damaged"),
		refused:     rapid.IntRange(0, 4).Draw(t, "refused"),
		doubted:     rapid.IntRange(0, 4).Draw(t, "doubted"),
		loops:       rapid.IntRange(1, 3).Draw(t, "loops"),
		maxMessages: rapid.IntRange(1, 10).Draw(t, "max_messages"),
		maxEvents:   rapid.IntRange(1, 30).Draw(t, "max_events"),
		probability: probability,
		faulty:      time.Duration(rapid.IntRange(0, 300).Draw(t, "faulty")) * time.Second,
		lives: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 120_000).Draw(t, "ms")) * time.Millisecond
		}), 0, 4).Draw(t, "lives"),
	}
}

// Whatever fails, in whatever order, with and without effect, and however often
// workers are stopped: nothing is acknowledged before it is kept, and in the
// end everything is kept and acknowledged.
//
// rule 2, rule 3, rule 5, rule 7, rule 10
func TestRun_RandomFaults(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := drawChaos(rt)
		var problems []string
		// The inner test only reports: rapid prints what it drew and shrinks it.
		synctest.Test(t, func(t *testing.T) { problems = c.run(t) })
		for _, problem := range problems {
			rt.Errorf("%+v: %s", c, problem)
		}
	})
}

func (c chaos) run(t *testing.T) (problems []string) {
	t.Helper()
	opts := Options{Loops: c.loops, MaxMessages: c.maxMessages, MaxEvents: c.maxEvents}
	b := &bench{T: t, store: newModelStore()}
	b.queue = newModelQueue(b.store)
	random := rand.New(rand.NewPCG(c.seed, 0))
	end := time.Now().Add(c.faulty)
	b.queue.fault = randomFaults(random, c.probability, nil, end)
	b.store.fault = randomFaults(rand.New(rand.NewPCG(c.seed, 1)), c.probability,
		map[string]time.Duration{"load": 25 * time.Second, "keep": 25 * time.Second}, end)
	c.publish(b, random)
	for _, life := range append(c.lives, c.faulty+10*time.Minute) {
		b.renew(opts)
		b.start()
		b.pass(life)
		_ = b.stop() // ErrDrain is fine: the next worker gets what was given back
	}

	problems = b.queue.violations()
	if left := b.queue.left(); left > 0 {
		problems = append(problems, fmt.Sprintf("%d messages are never written", left))
	}
	for i, m := range b.queue.messages {
		if missing := b.store.missing(m); missing > 0 {
			problems = append(problems, fmt.Sprintf("message %d lacks %d batches", i, missing))
		}
	}
	return append(problems, b.wronglyKept()...)
}

// wronglyKept lists messages that were kept as damaged without one of the only
// two reasons: nobody can read them, or one of their batches is condemned.
func (b *bench) wronglyKept() (problems []string) {
	for _, kept := range b.store.kept {
		i := slices.IndexFunc(b.queue.messages, func(m *modelMessage) bool { return bytes.Equal(m.data, kept.data) })
		if i < 0 {
			problems = append(problems, "bytes are kept that no message has")
		} else if ids := b.queue.messages[i].ids; len(ids) > 0 && !slices.ContainsFunc(ids, b.store.condemned) {
			problems = append(problems, fmt.Sprintf("message %d is kept as damaged: %s", i, kept.reason))
		}
	}
	return problems
}

// publish puts the messages of c into the queue in random order, some of them
// with the batches of another: a client's repeat.
func (c chaos) publish(b *bench, random *rand.Rand) {
	type made struct {
		data []byte
		ids  []event.UUID
	}
	var all []made
	for i := range c.good + c.refused + c.doubted {
		data, ids := b.message(1+random.IntN(5), random.IntN(3), random.IntN(3))
		if bad := ids[random.IntN(len(ids))]; i >= c.good+c.refused {
			b.store.doubted[bad] = time.Now().Add(time.Duration(random.Int64N(int64(2 * refusalPause))))
		} else if i >= c.good {
			b.store.refused[bad] = true
		} else if random.IntN(5) == 0 {
			all = append(all, made{data, ids})
		}
		all = append(all, made{data, ids})
	}
	for range c.damaged {
		data, _ := b.message(1)
		data[len(data)-1-random.IntN(20)] ^= byte(1 + random.IntN(255))
		all = append(all, made{data: data})
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, m := range all {
		b.queue.publish(m.data, m.ids...)
	}
}
