package unreal

import "github.com/nexero-vr/nexero/internal/event"

const (
	// allowedSkew is how far a client's clock may be ahead before it is not
	// believed, in microseconds.
	allowedSkew = 60 * 1_000_000
	// deadClock is 2015-01-01 UTC. A headset with an earlier date has lost its
	// clock: they start at 1970, 2000 or year 1.
	deadClock event.Micros = 1_420_070_400_000_000
)

// correction says how a batch's times are moved. One shift holds for all times
// of a kind, so that order and distances within the batch stay as they were.
type correction struct {
	// shift is added to times of a clock that is ahead, dead to times of a clock
	// that has lost its date; in milliseconds.
	shift, dead int64
	// latest is the latest time that is believed.
	latest event.Micros
}

// correction works out the shifts: a batch that was sent in the server's future
// was sent at its receipt; the newest event of a dead clock happened at its
// receipt.
func (d *decoding) correction() correction {
	received := d.batch.ReceivedAt
	c := correction{latest: received + allowedSkew}
	if d.hasSentAt {
		c.shift = sentShift(received, d.sentAt, d.sentDoubt)
	}
	if d.hasDead {
		// Cut, not rounded: the newest event must not lie behind its receipt.
		c.dead = int64(received-d.latestDead) / 1000
	}
	return c
}

// sentShift returns the shift for a request that says it was sent at sentAt, in
// milliseconds, rounded; 0 when its clock is believed. within is how far sentAt
// may lie from what was meant: rounding alone is no sign of a wrong clock.
func sentShift(received, sentAt, within event.Micros) int64 {
	if sentAt <= received+allowedSkew+within {
		return 0
	}
	return -int64(sentAt-received+500) / 1000
}

// shiftOf returns what is added to a time, in milliseconds.
func (c correction) shiftOf(at event.Micros) int64 {
	if at < deadClock {
		return c.dead
	}
	return c.shift
}
