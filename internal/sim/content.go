package sim

import "github.com/nexero-vr/nexero/internal/event"

// session is one tour as its client names it.
type session struct {
	id       string // as batches spell it
	headset  int
	tour     int
	plan     *Plan
	aheadMS  int64
	crashed  bool
	customer string
}

// content is what one post says, once an ingest has judged it.
type content struct {
	session *session
	report  *report
	// events counts the accepted ones by type.
	events   [event.Error + 1]int
	accepted int
	rejected []event.Code
	// first and last are the clock's at the earliest and latest accepted event,
	// Unix milliseconds; valid when accepted is not 0.
	first, last int64
	marks       []mark
	looks       []look
	runs        []sampleRun
	touches     []contact
	walkedCM    float64
}

// report is what a session post says.
type report struct {
	start, end                 int64 // Unix milliseconds, 0 when not said
	customer, property, device string
}

// mark is a zone_enter or a zone_exit.
type mark struct {
	at    int64
	zone  string
	level int16
	enter bool
}

// look is a gaze with its length.
type look struct {
	target string
	ms     int64
}

// sampleRun is gaze samples of one target without a hole.
type sampleRun struct {
	target   string
	from, to int64
}

// contact is an object that was touched.
type contact struct{ object, kind string }

// note counts an accepted event that the client's clock shows at shown.
func (c *content) note(m *moment, shown int64) {
	if c.accepted == 0 {
		c.first, c.last = shown, shown
	}
	c.first, c.last = min(c.first, shown), max(c.last, shown)
	c.accepted++
	c.events[m.kind]++
	switch m.kind {
	case event.Pose:
	case event.Gaze:
		c.noteGaze(m, shown)
	case event.ZoneEnter, event.ZoneExit:
		c.marks = append(c.marks, mark{shown, m.zone, m.level, m.kind == event.ZoneEnter})
	default:
		if m.object != "" {
			c.touches = append(c.touches, contact{m.object, Touch{m.kind, m.action}.Kind()})
		}
	}
}

func (c *content) noteGaze(m *moment, shown int64) {
	if m.lengthMS > 0 {
		c.looks = append(c.looks, look{m.target, m.lengthMS})
		return
	}
	if n := len(c.runs); n > 0 && c.runs[n-1].continues(m.target, shown) {
		c.runs[n-1].to = shown
		return
	}
	c.runs = append(c.runs, sampleRun{m.target, shown, shown})
}

// continues reports whether a sample belongs to the run: a hole of up to 200 ms
// does not end it.
func (r *sampleRun) continues(target string, at int64) bool {
	const longestHole = 200
	return r.target == target && at-r.to <= longestHole
}
