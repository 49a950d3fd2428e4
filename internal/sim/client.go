package sim

import (
	"math/rand/v2"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// naming is how a headset lets a server know a repeat.
type naming uint8

const (
	namedByContent naming = iota // not at all: by equal bytes
	namedByBatchID
	namedByHeader
)

// client is a headset's model and build: what does not change during a run.
type client struct {
	dialect *dialect
	device  string
	headers map[string]string // of a request without a name; shared
	naming  naming
	// spell and spellReport write a session's id, which some builds do
	// differently in batches and in session posts.
	spell, spellReport func(event.UUID) string
	// sampled clients send each gaze sample, others each look with its length.
	// padded ones give a sample a length of 0.
	sampled, padded bool
	// announces says that it posts a session's start too, not only its end.
	announces bool
	// counts says that it numbers its events, zoned that looks and touches name
	// their zone.
	counts, zoned bool
	// declares says that it reports when it is taken off; others fall silent.
	declares bool
	// stamps says that batches carry sent_at.
	stamps bool
	// newestFirst is the order in which it sends what was kept.
	newestFirst bool
	// aheadMS is how far its clock is ahead of the right time; decades behind when
	// it has lost its date.
	aheadMS int64
}

// devices are what session posts call headsets.
func devices() []string {
	return []string{"Quest 3", "Quest 3", "Quest 3S", "Quest 2", "Pico 4", "Vive Focus 3", "PCVR"}
}

const hourMS = 3_600_000

// newClient draws a headset. All chances are drawn whatever the habits are, so
// that one habit does not change the others.
func newClient(r *rand.Rand, habits *Habits, startMS int64) *client {
	models := devices()
	c := &client{
		device: models[r.IntN(len(models))], headers: map[string]string{"Content-Type": "application/json"},
		spell: upperDigits, spellReport: upperDigits,
		announces: chance(r, 0.6), declares: chance(r, 0.6), counts: chance(r, 0.5),
		stamps: true, zoned: chance(r, 0.3),
	}
	other := chance(r, habits.Dialects)
	tongues := dialects()
	chosen := tongues[1+r.IntN(len(tongues)-1)]
	name, spelling := naming(r.IntN(3)), r.IntN(4)
	sampled, padded, stamps, newestFirst := chance(r, 0.3), chance(r, 0.3), chance(r, 0.8), chance(r, 0.5)
	c.dialect = tongues[0]
	if other {
		c.dialect, c.naming = chosen, name
		c.sampled, c.padded, c.stamps, c.newestFirst = sampled, padded, stamps, newestFirst
		switch spelling {
		case 0:
			c.spell, c.spellReport = event.UUID.String, event.UUID.String
		case 1:
			c.spellReport = event.UUID.String
		case 2:
			c.spell = braced
		}
	}
	c.setClock(r, habits, startMS)
	return c
}

// setClock sets the clock wrong, perhaps. Typical is local time that is sent as
// UTC: wrong by whole hours.
func (c *client) setClock(r *rand.Rand, habits *Habits, startMS int64) {
	wrong, dead := chance(r, habits.WrongClock), chance(r, habits.DeadClock)
	hours, drift, upMS := 1+r.Int64N(11), r.Int64N(4000)-2000, r.Int64N(24*hourMS)
	behind := chance(r, 0.5)
	switch {
	case dead:
		// A day in 2000, the date of many batteries. One in 1970 would have so few
		// digits that milliseconds pass for seconds.
		const reset = 946_684_800_000
		c.aheadMS = reset + upMS - startMS
	case wrong && behind:
		c.aheadMS = -hours*hourMS + drift
	case wrong:
		c.aheadMS = hours*hourMS + drift
	}
	// Without sent_at nobody could see that a clock is ahead.
	c.stamps = c.stamps || c.aheadMS != 0
}

// A 32-bit float rounds today's Unix times to multiples of these, so a time that
// is one by chance looks rounded and a repeat of its batch cannot be known.
const (
	coarseSeconds = 128_000
	coarseMillis  = 131_072
)

// clock returns the client's time in Unix milliseconds at a time of the run.
func (c *client) clock(startMS, at int64) int64 {
	shown := startMS + at + c.aheadMS
	if shown%coarseSeconds == 0 || shown%coarseMillis == 0 {
		shown++
	}
	return shown
}

// chance is true with a probability.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// upperDigits is how Unreal writes a GUID by itself.
func upperDigits(id event.UUID) string {
	return strings.ToUpper(strings.ReplaceAll(id.String(), "-", ""))
}

func braced(id event.UUID) string { return "{" + strings.ToUpper(id.String()) + "}" }
