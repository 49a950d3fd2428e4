package sim

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/recording"
)

// When a client sends a batch: whichever comes first.
const (
	batchEvents = 50
	batchMS     = 5_000
)

const (
	batchPath   = "/api/v1/unreal/tracking/batch"
	sessionPath = "/api/v1/unreal/session"
)

// app is the tour application on a headset during one tour: it hears what
// happens and decides what is posted of it.
type app struct {
	headset *headset
	client  *client
	rand    *rand.Rand
	session *session
	id      event.UUID
	levels  bool // the plan has several

	// now is the latest time that was heard of; begun is when the tour began.
	now, begun int64
	// crashAt is when it dies.
	crashAt int64
	crashed bool

	// events are those that wait for the next post, content what they say.
	events  []byte
	count   int
	content *content
	posts   int
	seq     int64
	flushed int64
	body    []byte

	// kept is what could not be sent: until a time, or until the tour is over.
	kept         []Post
	offlineUntil int64
	late         bool
}

// Offline spells and what may come before an upload, in milliseconds.
const (
	shortestSpell = 15_000
	longestSpell  = 180_000
	longestDelay  = 600_000
)

// newApp starts the application for a tour that takes about length milliseconds.
func newApp(h *headset, tour int, plan *layout, customer string, at, length int64) *app {
	r := h.run.chances(h.number, tour, forHabits)
	habits := &h.run.options.Habits
	a := &app{
		headset: h, client: h.client, rand: r, levels: plan.Levels() > 1,
		now: at, begun: at, flushed: at, crashAt: math.MaxInt64,
		id: event.NameUUID("simulated session", strconv.FormatUint(h.run.options.Seed, 10), strconv.FormatInt(h.run.startMS, 10),
			strconv.Itoa(h.number), strconv.Itoa(tour)),
	}
	a.session = &session{
		id: a.client.spell(a.id), headset: h.number, tour: tour, plan: plan.Plan, aheadMS: a.client.aheadMS, customer: customer,
	}
	crash, when := chance(r, habits.Crash), r.Int64N(max(length, 1))
	if crash {
		a.crashAt = at + when
		a.session.crashed = true
	}
	a.late = chance(r, habits.LateUpload)
	a.content = &content{session: a.session}
	return a
}

// begin posts the start of the session, as some clients do. One whose clock is
// wrong has not asked for the time yet and leaves it out.
func (a *app) begin() {
	if !a.client.announces {
		return
	}
	said := &report{customer: a.session.customer, property: a.session.plan.PropertyID, device: a.client.device}
	if a.client.aheadMS == 0 {
		said.start = a.wholeSeconds(a.begun, 0)
	}
	a.postReport(said)
}

// wholeSeconds is the time that a session post declares: its clock's at a time
// of the run, on the second before or, with up of 999, behind it.
func (a *app) wholeSeconds(at, up int64) int64 {
	return (a.headset.run.startMS + at + a.client.aheadMS + up) / 1000 * 1000
}

// advance lets time pass up to now and reports whether the application lives.
func (a *app) advance(now int64) bool {
	if a.crashed || a.headset.stopped {
		return false
	}
	if now >= a.crashAt {
		a.crash()
		return false
	}
	for a.flushed+batchMS <= now {
		a.now = max(a.now, a.flushed+batchMS)
		a.flush(a.flushed + batchMS)
	}
	a.now = max(a.now, now)
	if len(a.kept) > 0 && !a.late && a.now >= a.offlineUntil {
		a.release(a.now)
	}
	a.headset.emit(now)
	return !a.headset.stopped
}

// note hears of a moment.
func (a *app) note(m *moment) {
	if a.crashed || m.at >= a.crashAt {
		return
	}
	a.now = max(a.now, m.at)
	if !a.namesZone(m.kind) {
		m.zone = ""
	}
	if a.client.counts {
		a.seq++
	}
	shown := a.client.clock(a.headset.run.startMS, m.at)
	a.separate()
	a.events = a.client.dialect.appendEvent(a.events, m, shown, a.seq, a.levels)
	a.content.note(m, shown)
	if chance(a.rand, a.headset.run.options.Habits.Bad) {
		a.separate()
		var code event.Code
		a.events, code = a.appendBad(a.events, shown)
		a.content.rejected = append(a.content.rejected, code)
	}
	if a.count >= batchEvents {
		a.flush(a.now)
	}
}

// namesZone says whether events of a kind carry their zone.
func (a *app) namesZone(kind event.Type) bool {
	switch kind {
	case event.ZoneEnter, event.ZoneExit:
		return true
	case event.Pose:
		return false
	default:
		return a.client.zoned
	}
}

// losesExit says whether a teleport reports no exit. With a wrong clock none
// does: where such a visit ends would depend on when the posts arrive.
func (a *app) losesExit() bool {
	return chance(a.rand, a.headset.run.options.Habits.LostExit) && a.client.aheadMS == 0
}

// separate begins another event.
func (a *app) separate() {
	if a.count > 0 {
		a.events = append(a.events, ',')
	}
	a.count++
}

// flush posts what waits; nothing is posted as nothing.
func (a *app) flush(at int64) {
	a.flushed = at
	if a.count == 0 {
		return
	}
	c, d := a.client, a.client.dialect
	a.posts++
	body := append(a.body[:0], '{')
	body = d.appendText(body, "session_id", a.session.id)
	if c.stamps {
		body = d.appendTime(d.name(body, d.sentAt), d.form, c.clock(a.headset.run.startMS, a.now))
	}
	var header string
	switch c.naming {
	case namedByBatchID:
		body = d.appendText(body, d.batchID, "b"+strconv.Itoa(a.posts))
	case namedByHeader:
		header = a.id.String() + "-" + strconv.Itoa(a.posts)
	case namedByContent:
	}
	body = append(d.name(body, "events"), '[')
	body = append(body, a.events...)
	body = append(body, ']', '}')
	a.body = body
	post := a.request(batchPath, header)
	post.said = a.content
	post.Accepted, post.Rejected = a.content.accepted, len(a.content.rejected)
	a.events, a.count = a.events[:0], 0
	a.content = &content{session: a.session}
	a.send(post)
}

// request makes a request of the body.
func (a *app) request(path, key string) Post {
	headers := a.client.headers
	if key != "" {
		headers = maps.Clone(headers)
		headers["Idempotency-Key"] = key
	}
	return Post{Request: recording.Request{Method: "POST", Path: path, Headers: headers, Body: string(a.body)}}
}

// postReport posts what is said of the session as a whole.
func (a *app) postReport(said *report) {
	c, d := a.client, a.client.dialect
	body := append(a.body[:0], '{')
	body = d.appendText(body, "session_id", c.spellReport(a.id))
	if said.start != 0 {
		body = d.appendTime(d.name(body, d.start), d.reportForm, said.start)
	}
	if said.end != 0 {
		body = d.appendTime(d.name(body, d.end), d.reportForm, said.end)
		seconds := (said.end - a.wholeSeconds(a.begun, 0)) / 1000
		body = d.appendText(body, "duration", fmt.Sprintf("%d:%02d", seconds/60, seconds%60))
	}
	body = d.appendText(body, "customer_id", said.customer)
	body = d.appendText(body, "property_id", said.property)
	body = d.appendText(body, "device_type", said.device)
	if c.stamps {
		body = d.appendTime(d.name(body, d.sentAt), d.form, c.clock(a.headset.run.startMS, a.now))
	}
	a.body = append(body, '}')
	post := a.request(sessionPath, "")
	post.said = &content{session: a.session, report: said}
	a.send(post)
}

// finish posts the end of the session, half a second after its last event, and
// returns when the headset is free again.
func (a *app) finish() (at int64) {
	if !a.crashed && !a.headset.stopped {
		a.flush(a.now)
		end := a.now
		a.now += 500
		a.postReport(&report{
			start: a.wholeSeconds(a.begun, 0), end: a.wholeSeconds(end, 999),
			customer: a.session.customer, property: a.session.plan.PropertyID, device: a.client.device,
		})
	}
	delay := a.rand.Int64N(longestDelay)
	switch {
	case a.late:
		a.release(a.now + shortestSpell + delay)
	case !a.crashed && len(a.kept) > 0:
		a.release(max(a.now, a.offlineUntil))
	}
	return a.now
}

// crash loses everything that only memory holds. What is kept for an upload
// after the tour lies on disk.
func (a *app) crash() {
	a.crashed = true
	a.now = max(a.now, a.crashAt)
	if !a.late {
		a.headset.forget(a.session, a.crashAt)
		a.kept = nil
	}
}

// send sends a post now, or keeps it.
func (a *app) send(post Post) {
	habits := &a.headset.run.options.Habits
	offline, spell := chance(a.rand, habits.Offline), a.rand.Int64N(longestSpell-shortestSpell)
	if a.late {
		a.kept = append(a.kept, post)
		return
	}
	if offline && a.now >= a.offlineUntil {
		a.offlineUntil = a.now + shortestSpell + spell
	}
	if a.now < a.offlineUntil {
		a.kept = append(a.kept, post)
		return
	}
	a.transmit(post, a.now)
}

// release sends what was kept, five posts a second.
func (a *app) release(at int64) {
	const gap = 200
	if a.client.newestFirst {
		slices.Reverse(a.kept)
	}
	for i, post := range a.kept {
		a.transmit(post, at+int64(i)*gap)
	}
	a.kept = nil
}

// transmit sends a post and, perhaps, the same bytes again.
func (a *app) transmit(post Post, at int64) {
	const longestWait = 8_000
	habits := &a.headset.run.options.Habits
	a.headset.put(post, at)
	post.Repeat = true
	if chance(a.rand, habits.Duplicate) {
		a.headset.put(post, at+a.rand.Int64N(40))
	}
	for again := at; chance(a.rand, habits.Retry); {
		again += 1_000 + a.rand.Int64N(longestWait)
		a.headset.put(post, again)
	}
}
