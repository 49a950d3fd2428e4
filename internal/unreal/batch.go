package unreal

import (
	"slices"
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// Batch reads a tracking batch into b, whatever was in b before:
//
//	{"session_id": "…", "sent_at": 1755265374.5, "batch_id": "…", "events": [ … ]}
//
// Only events is needed, and members may come in any order. An event that
// cannot be stored becomes a rejection and the rest goes on, so that accepted
// and rejected together are the elements of events. The error is a *[BodyError]
// for a body that cannot be read at all; b then holds no events.
func (d *Decoder) Batch(req *Request, b *event.Batch) error {
	req.stamp(b)
	text, err := plainText(req.Body)
	if err != nil {
		return err
	}
	work := d.begin(req, text, b)
	defer d.end(work)
	if err := work.readBatch(); err != nil {
		req.stamp(b)
		return err.located(req.Body, text)
	}
	events := text[work.eventsStart:work.eventsEnd]
	b.Digest = event.DigestOf(events)
	b.ID = work.identity(req, text[:work.eventsStart], text[work.eventsEnd:])
	work.finish()
	return nil
}

// readBatch reads the whole body. The error is nil or says what is wrong.
func (d *decoding) readBatch() *BodyError {
	end := d.readTop()
	if end >= 0 && end != len(d.text) {
		end = ^skipSpace(d.text, end)
	}
	switch {
	case d.refusal != nil:
		return d.refusal
	case end < 0:
		return describeBreak(d.text, ^end)
	case d.badEvents:
		return &BodyError{
			Code: CodeInvalidEvents, Field: "events", ReceivedKeys: receivedKeys(d.text),
			Detail: "events must be a list of objects",
		}
	case !d.seenEvents:
		return &BodyError{
			Code: CodeMissingEvents, Field: "events", ReceivedKeys: receivedKeys(d.text),
			Detail: "the body has no list named events",
		}
	}
	return nil
}

// readTop reads the members of the body; plainText has seen its first brace.
func (d *decoding) readTop() (end int) {
	s := d.text
	i := skipSpace(s, skipSpace(s, 0)+1)
	if i < len(s) && s[i] == '}' {
		return i + 1
	}
	for {
		nameEnd, value, m := scanMember(s, i)
		if value < 0 {
			return value
		}
		if end = d.readTopMember(memberName(s[i+1:nameEnd], m), value); end < 0 {
			return end
		}
		var more bool
		if i, more = scanSeparator(s, end, '}'); !more {
			return i
		}
	}
}

// readTopMember reads one member of the body. Members of the batch that we do
// not know are read past: there is no row that they could go to.
func (d *decoding) readTopMember(name string, i int) (end int) {
	s := d.text
	switch batchField(name) {
	case fieldEvents:
		d.forgetEvents()
		if i < len(s) && s[i] == '[' {
			d.seenEvents, d.eventsStart = true, i
			end = d.readEvents(i)
			d.eventsEnd = end
			return end
		}
		end, _ = scanValue(s, i, d.limits.Depth)
		d.badEvents = end >= 0 && s[i:end] != "null"
		return end
	case fieldSession:
		var code event.Code
		d.session, code, end = textAt(s, i, d.limits.StringBytes)
		d.sessionBad = code != ""
		return end
	case fieldBatchID:
		// An id that is no text is none: the content then decides.
		d.batchID, _, end = textAt(s, i, d.limits.StringBytes)
		return end
	case fieldSentAt:
		// sent_at corrects times and is not stored, so a sent_at that nobody can
		// read corrects nothing and harms nothing.
		var present, ok bool
		var form timeForm
		d.sentAt, form, present, ok, end = timeAt(s, i)
		d.hasSentAt, d.sentDoubt = present && ok, doubt(d.sentAt, form)
		return end
	default:
		end, _ = scanValue(s, i, d.limits.Depth)
		return end
	}
}

// forgetEvents undoes what an earlier member named events brought: of equal
// names the last one holds.
func (d *decoding) forgetEvents() {
	clear(d.batch.Events)
	d.batch.Events = d.batch.Events[:0]
	d.batch.Rejected = d.batch.Rejected[:0]
	d.traces, d.props = d.traces[:0], d.props[:0]
	d.seenEvents, d.badEvents, d.fine, d.hasDead = false, false, false, false
	d.firstSession = ""
}

// readEvents reads the list whose bracket is at i.
func (d *decoding) readEvents(i int) (end int) {
	s := d.text
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == ']' {
		return i + 1
	}
	for index := 0; ; index++ {
		// Lists that a later one replaces count too: they cost as much.
		d.elements++
		if d.elements > d.limits.Events {
			d.refusal = tooManyEvents(d.limits.Events, i)
			return ^i
		}
		if i < len(s) && s[i] == '{' {
			end = d.readEvent(index, i)
		} else {
			end, _ = scanValue(s, i, d.limits.Depth)
			if end >= 0 {
				d.reject(index, event.NotAnObject, "", "an event must be a JSON object", i, end)
			}
		}
		if end < 0 {
			return end
		}
		var more bool
		if i, more = scanSeparator(s, end, ']'); !more {
			return i
		}
	}
}

// reject keeps an event that was refused, cut to the size that is stored.
func (d *decoding) reject(index int, code event.Code, name, detail string, start, end int) {
	d.batch.Rejected = append(d.batch.Rejected, event.Rejection{
		Index: index, Code: code, Field: name, Detail: detail,
		Raw: cut(d.text[start:end], d.limits.EventBytes),
	})
}

// finish judges what can be judged only when the whole body was read, since
// sent_at and session_id may follow the events.
func (d *decoding) finish() {
	b := d.batch
	correction := d.correction()
	home := d.home()
	texts := string(d.props)
	early := len(b.Rejected)
	kept := 0
	for k := range b.Events {
		e, t := &b.Events[k], &d.traces[k]
		if t.propsEnd > t.propsStart {
			e.Props = texts[t.propsStart:t.propsEnd]
		}
		if len(e.Props) > 0 && strings.IndexByte(e.Props[1:], '{') >= 0 {
			e.Props = maskCredentials(e.Props)
		}
		if refusal := d.settle(e, t, correction, home); refusal.code != "" {
			d.reject(e.Index, refusal.code, refusal.name, refusal.detail, t.start, t.end)
			continue
		}
		if kept != k {
			b.Events[kept] = *e
		}
		kept++
	}
	clear(b.Events[kept:])
	b.Events = b.Events[:kept]
	if kept == 0 && len(b.Rejected) > 0 && home >= 0 && d.sessions.entries[home].state == sessionGood {
		// Nothing refers to it, but what was rejected belongs to it, and only this
		// says so when it is replayed.
		d.sessions.place(home, b)
	}
	if early > 0 && len(b.Rejected) > early {
		slices.SortFunc(b.Rejected, func(x, y event.Rejection) int { return x.Index - y.Index })
	}
	d.scrub()
}

// settle gives an event its corrected time and its session and checks it last.
func (d *decoding) settle(e *event.Event, t *trace, clocks correction, home int) verdict {
	shift := clocks.shiftOf(e.OccurredAt)
	e.ClockShiftMS = shift
	e.OccurredAt += event.Micros(shift) * 1000
	if e.OccurredAt > clocks.latest+t.doubt {
		return futureVerdict(e.OccurredAt, d.batch.ReceivedAt)
	}
	session := home
	if t.session != "" {
		if own := d.sessions.find(t.session); d.sessions.entries[own].state != sessionMissing {
			session = own
		}
	}
	switch {
	case session < 0 || d.sessions.entries[session].state == sessionMissing:
		return verdict{event.MissingSession, "session_id", "neither the event nor its batch names a session"}
	case d.sessions.entries[session].state == sessionInvalid:
		return verdict{event.InvalidSession, "session_id", "the session id is no id: " + sessionRule}
	}
	if code, name := e.Check(d.limits); code != "" {
		return verdict{code, name, explain(code, name, "")}
	}
	e.Session = d.sessions.place(session, d.batch)
	return verdict{}
}

// home returns the session of events that name none: the batch's.
func (d *decoding) home() int {
	switch {
	case d.sessionBad:
		return d.sessions.invalid()
	case d.session == "":
		return -1
	}
	return d.sessions.find(d.session)
}
