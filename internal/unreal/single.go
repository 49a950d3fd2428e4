package unreal

import "github.com/nexero-vr/nexero/internal/event"

// Event reads the post of a single tracking event into b, whatever was in b
// before:
//
//	{"event_type": "zone_enter", "timestamp": 1755265374.5, "session_id": "…", "zone_name": "…"}
//
// It is an event as it stands in a batch, or the same members as a form, and it
// may bring the sent_at and batch_id of a batch of its own. An event that cannot
// be stored becomes b's one rejection. The error is a *[BodyError] for a body
// that cannot be read, and for one that names no session: the first version
// refused that too, and there is no batch around it that could say.
func (d *Decoder) Event(req *Request, b *event.Batch) error {
	req.stamp(b)
	if body, ok := unformed(req); ok && body != req.Body {
		formed := *req
		formed.Body = body
		req = &formed
	}
	text, err := plainText(req.Body)
	if err != nil {
		return err
	}
	work := d.begin(req, text, b)
	defer d.end(work)
	if problem := work.readSingle(); problem != nil {
		req.stamp(b)
		return problem.located(req.Body, text)
	}
	b.Digest = event.DigestOf(text[work.eventsStart:work.eventsEnd])
	b.ID = work.identity(req, text[:work.eventsStart], text[work.eventsEnd:])
	work.finish()
	return nil
}

// readSingle reads the whole body as one event; plainText has seen its brace.
func (d *decoding) readSingle() *BodyError {
	start := skipSpace(d.text, 0)
	end := d.readEvent(0, start)
	d.eventsStart, d.eventsEnd = start, end
	if end >= 0 && skipSpace(d.text, end) != len(d.text) {
		end = ^skipSpace(d.text, end)
	}
	if end < 0 {
		return describeBreak(d.text, ^end)
	}
	if d.namesNoSession() {
		return &BodyError{
			Code: string(event.MissingSession), Field: fieldNames[fieldSession],
			Detail: "session_id is required", ReceivedKeys: receivedKeys(d.text),
		}
	}
	d.readAround(start)
	return nil
}

// namesNoSession reports whether the event that was just read says of no
// session that it belongs to it. One that is refused for its size was not read
// so far; a session id that is none is the event's own fault.
func (d *decoding) namesNoSession() bool {
	if r := d.batch.Rejected; len(r) > 0 && r[0].Code == event.EventTooLarge {
		return false
	}
	return d.current.session == "" && !d.current.bad.has(fieldSession)
}

// readAround reads what the body says of its post and not of the event. The
// grammar of the object at start is known to hold.
func (d *decoding) readAround(start int) {
	s := d.text
	i := skipSpace(s, start+1)
	for more := s[i] != '}'; more; {
		nameEnd, value, m := scanMember(s, i)
		switch batchField(memberName(s[i+1:nameEnd], m)) {
		case fieldBatchID:
			d.batchID, _, _ = textAt(s, value, d.limits.StringBytes)
		case fieldSentAt:
			var present, ok bool
			var form timeForm
			d.sentAt, form, present, ok, _ = timeAt(s, value)
			d.hasSentAt, d.sentDoubt = present && ok, doubt(d.sentAt, form)
		default:
		}
		end, _ := scanValue(s, value, d.limits.Depth)
		i, more = scanSeparator(s, end, '}')
	}
}
