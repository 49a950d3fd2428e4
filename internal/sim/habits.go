package sim

// Habits are how often headsets do what is not in any manual: probabilities
// between 0 and 1. The zero value is a headset as one would wish it: V1's own
// words, a right clock, every batch sent once and at once, nothing bad in it.
type Habits struct {
	// Of a headset, for the whole run.

	// Dialects is the share that speaks other words than V1's, writes times in
	// other forms, names its batches or samples gaze instead of summing it.
	Dialects float64
	// WrongClock is the share whose clock is wrong by hours, DeadClock the share
	// whose clock has lost its date.
	WrongClock, DeadClock float64

	// Of a tour.

	// Crash is the share that ends without a word: what was not sent is lost.
	Crash float64
	// LateUpload is the share whose posts are all kept and sent after the tour.
	LateUpload float64

	// Of a post.

	// Offline is how often an offline spell begins, of 15 s to 3 minutes, after
	// which everything is sent at once.
	Offline float64
	// Retry is how often no answer is heard and the same bytes are sent again
	// after seconds, Duplicate how often they are sent twice at once.
	Retry, Duplicate float64

	// Of an event.

	// Bad is how often an event goes along that must be rejected.
	Bad float64
	// LostExit is how often a teleport out of a zone reports no exit.
	LostExit float64
}

// Usual returns habits as they are seen in the field.
func Usual() Habits {
	return Habits{
		Dialects: 0.5, WrongClock: 0.08, DeadClock: 0.03,
		Crash: 0.06, LateUpload: 0.05,
		Offline: 0.004, Retry: 0.02, Duplicate: 0.01,
		Bad: 0.0005, LostExit: 0.3,
	}
}

// valid reports whether all of h are probabilities.
func (h Habits) valid() bool {
	for _, p := range [...]float64{
		h.Dialects, h.WrongClock, h.DeadClock, h.Crash, h.LateUpload, h.Offline, h.Retry, h.Duplicate, h.Bad, h.LostExit,
	} {
		if !(p >= 0 && p <= 1) { // NaN is none
			return false
		}
	}
	return true
}
