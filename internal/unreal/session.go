package unreal

import (
	"fmt"
	"math"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// SessionPost is what the answer to a session post says.
type SessionPost struct {
	// SessionID is the client's own id as it was sent or, when it sent none, one
	// made from the post, the same for a repeat.
	SessionID string
	// Duration is from start to end, 0 when the end lies before the start, or
	// the length that was declared when one of them is missing.
	Duration time.Duration
	// HasDuration is false when neither is known.
	HasDuration bool
	// Ignored is true for a post that says nothing, as clients send at start-up:
	// an object without values, or no body at all.
	// The batch then is empty and must not be published.
	Ignored bool
}

// Session reads a session post into b, whatever was in b before:
//
//	{"session_id": "…", "session_start": …, "session_end": …, "customer_id": "…",
//	 "property_id": "…", "device_type": "…", "duration": …}
//
// or the same members as a form, in the body or in the query of an empty body.
// Each member may be missing; what we do not know goes into the report's props.
// b gets one session and a report. A post is one statement, so it is read whole
// or refused: the error is a *[BodyError].
func (d *Decoder) Session(req *Request, b *event.Batch) (SessionPost, error) {
	req.stamp(b)
	body, ok := unformed(req)
	if !ok {
		return SessionPost{Ignored: true}, nil
	}
	if body != req.Body {
		formed := *req
		formed.Body = body
		req = &formed
	}
	text, err := plainText(req.Body)
	if err != nil {
		return SessionPost{}, err
	}
	if len(text) > d.limits.EventBytes {
		return SessionPost{}, &BodyError{
			Code: string(event.EventTooLarge), ReceivedKeys: receivedKeys(text[:d.limits.EventBytes]),
			Detail: fmt.Sprintf("a session post has at most %d bytes, this one has %d", d.limits.EventBytes, len(text)),
		}
	}
	work := d.begin(req, text, b)
	defer d.end(work)
	post, problem := work.readSession(req)
	if problem != nil {
		req.stamp(b)
		return SessionPost{}, problem.located(req.Body, text)
	}
	return post, nil
}

// sessionReading is what a session post says, before it becomes a report.
type sessionReading struct {
	report            event.Report
	session           string
	start, end        event.Micros
	hasStart, hasEnd  bool
	startAt, endAt    *member // where they were read
	fine              bool    // some time did not go through a 32-bit float
	declared          time.Duration
	hasDeclared       bool
	anything, anyName bool
}

// readSession reads the body and fills the batch. A post is small and rare, so
// all its members are put aside first and read when it is clear which ones count.
func (d *decoding) readSession(req *Request) (SessionPost, *BodyError) {
	if end := d.collectMembers(); end < 0 {
		return SessionPost{}, describeBreak(d.text, ^end)
	}
	var r sessionReading
	d.weigh(&r)
	switch {
	case !r.anything:
		return SessionPost{Ignored: true}, nil
	case !r.anyName:
		return SessionPost{}, &BodyError{
			Code: CodeUnrecognisedBody, ReceivedKeys: receivedKeys(d.text),
			Detail: "none of the body's members is one that a session post has, such as session_start",
		}
	}
	d.chooseWinners()
	for k := range d.members {
		if problem := d.readSessionMember(&r, &d.members[k]); problem != nil {
			return SessionPost{}, problem
		}
	}
	if problem := d.placeInTime(&r); problem != nil {
		return SessionPost{}, problem
	}
	if r.report.Props = d.closeProps(); r.report.Props == "" {
		r.report.Props = string(d.props)
	}
	r.report.Props = maskCredentials(r.report.Props)
	if d.current.bad.has(fieldProps) {
		return SessionPost{}, d.memberError(fieldProps, d.faults[fieldProps].code, d.faults[fieldProps].at)
	}
	return d.report(req, &r)
}

// collectMembers puts all members of the body aside; bounded by EventBytes.
func (d *decoding) collectMembers() (end int) {
	s := d.text
	d.current = eventState{}
	d.members = d.members[:0]
	d.names.forget()
	i := skipSpace(s, skipSpace(s, 0)+1)
	more := i >= len(s) || s[i] != '}'
	if !more {
		i++
	}
	for more {
		nameEnd, value, m := scanMember(s, i)
		if value < 0 {
			return value
		}
		end, valueMarks := scanValue(s, value, d.limits.Depth-1)
		if end < 0 {
			return end
		}
		f, r := sessionField(memberName(s[i+1:nameEnd], m))
		aside := member{i + 1, nameEnd, span{value, end, m | valueMarks}, f, r}
		if f == fieldMetadata {
			d.current.keep = d.current.keep.with(f)
			d.kept[f] = aside
		} else {
			d.members = append(d.members, aside)
		}
		if i, more = scanSeparator(s, end, '}'); i < 0 {
			return i
		}
	}
	if i != len(s) {
		return ^skipSpace(s, i)
	}
	return i
}

// weigh finds out whether the post says anything, and anything that we know.
func (d *decoding) weigh(r *sessionReading) {
	for k := range d.members {
		m := &d.members[k]
		if isEmpty(d.text, m.value) {
			continue
		}
		r.anything = true
		switch {
		case m.field == fieldNone, m.field == fieldSentAt, m.field == fieldBatchID,
			m.field == fieldSession && m.rank > 0:
			// These say something about a packet, whatever the packet is.
		default:
			r.anyName = true
		}
	}
	if d.current.keep.has(fieldMetadata) && !isEmpty(d.text, d.kept[fieldMetadata].value) {
		r.anything = true
	}
}

// isEmpty reports whether a value is null, "", {} or [].
func isEmpty(s string, v span) bool {
	switch s[v.start] {
	case 'n':
		return true
	case '"':
		return v.end-v.start == 2
	case '{', '[':
		return skipSpace(s, v.start+1) == v.end-1
	}
	return false
}

// readSessionMember reads one member that won its field, or keeps one that did
// not.
func (d *decoding) readSessionMember(r *sessionReading, m *member) *BodyError {
	var code event.Code
	switch m.field {
	case fieldCount: // absent, or overwritten by an equal name
	case fieldStart:
		r.startAt = m
		r.start, r.hasStart, code = d.sessionTime(r, m)
	case fieldEnd:
		r.endAt = m
		r.end, r.hasEnd, code = d.sessionTime(r, m)
	case fieldSession:
		if r.session, code, _ = textAt(d.text, m.value.start, d.limits.StringBytes); code != "" {
			code = event.InvalidSession
		}
	case fieldCustomer:
		r.report.CustomerID, code, _ = textAt(d.text, m.value.start, d.limits.StringBytes)
	case fieldProperty:
		r.report.PropertyID, code, _ = textAt(d.text, m.value.start, d.limits.StringBytes)
	case fieldDevice:
		r.report.Device, code, _ = textAt(d.text, m.value.start, d.limits.StringBytes)
	case fieldBatchID:
		d.batchID, _, _ = textAt(d.text, m.value.start, d.limits.StringBytes)
	case fieldSentAt:
		var present, ok bool
		var form timeForm
		d.sentAt, form, present, ok, _ = timeAt(d.text, m.value.start)
		d.hasSentAt, d.sentDoubt = present && ok, doubt(d.sentAt, form)
	case fieldLength:
		r.declared, r.hasDeclared = lengthAt(d.text, m.value.start)
		d.appendMember(m)
	default:
		d.appendMember(m)
	}
	if code != "" {
		return d.memberError(m.field, code, m.value.start)
	}
	return nil
}

// sessionTime reads a declared time.
func (d *decoding) sessionTime(r *sessionReading, m *member) (at event.Micros, present bool, code event.Code) {
	at, form, present, ok, _ := timeAt(d.text, m.value.start)
	if !ok {
		return 0, false, event.InvalidTimestamp
	}
	r.fine = r.fine || present && !coarse(at, form)
	return at, present, ""
}

// memberError refuses the post for the value of one of its members.
func (d *decoding) memberError(f field, code event.Code, at int) *BodyError {
	name := fieldNames[f]
	if f == fieldProps {
		name = d.faults[f].name
	}
	return &BodyError{
		Code: string(code), Field: name, Offset: int64(at), ReceivedKeys: receivedKeys(d.text),
		Detail: explain(code, name, excerpt(d.text, at)),
	}
}

// placeInTime corrects the declared times. Both move together; only one that
// was never set is dropped, and kept in props, when the other is a real time.
func (d *decoding) placeInTime(r *sessionReading) *BodyError {
	received := d.batch.ReceivedAt
	startDead, endDead := r.hasStart && r.start < deadClock, r.hasEnd && r.end < deadClock
	switch {
	case startDead && r.hasEnd && !endDead:
		r.hasStart = false
		d.appendMember(r.startAt)
	case endDead && r.hasStart && !startDead:
		r.hasEnd = false
		d.appendMember(r.endAt)
	case startDead && endDead:
		r.report.ClockShiftMS = int64(received-max(r.start, r.end)) / 1000
	case startDead && !r.hasEnd:
		r.report.ClockShiftMS = int64(received-r.start) / 1000
	case endDead && !r.hasStart:
		r.report.ClockShiftMS = int64(received-r.end) / 1000
	}
	if r.report.ClockShiftMS == 0 && d.hasSentAt {
		r.report.ClockShiftMS = sentShift(received, d.sentAt, d.sentDoubt)
	}
	for _, declared := range [...]struct {
		at      event.Micros
		present bool
		to      **event.Micros
		field   field
	}{
		{r.start, r.hasStart, &r.report.Start, fieldStart},
		{r.end, r.hasEnd, &r.report.End, fieldEnd},
	} {
		if !declared.present {
			continue
		}
		at := declared.at + event.Micros(r.report.ClockShiftMS)*1000
		if at < event.Earliest || at > event.Latest {
			return &BodyError{
				Code: string(event.InvalidTimestamp), Field: fieldNames[declared.field],
				Detail: fieldNames[declared.field] + " lies outside the years 1 to 9999 once it is corrected by sent_at",
			}
		}
		*declared.to = &at
	}
	return nil
}

// report fills the batch and the answer.
func (d *decoding) report(req *Request, r *sessionReading) (SessionPost, *BodyError) {
	b := d.batch
	entry := sessionEntry{state: sessionMissing}
	if r.session != "" {
		entry = d.sessions.entries[d.sessions.find(r.session)]
	}
	if entry.state == sessionInvalid {
		return SessionPost{}, &BodyError{
			Code: string(event.InvalidSession), Field: fieldNames[fieldSession],
			Detail: "the session id is no id: " + sessionRule, ReceivedKeys: receivedKeys(d.text),
		}
	}
	b.Digest = event.DigestOf(d.text)
	b.ID = d.sessionIdentity(req, r, entry.state == sessionGood)
	post := SessionPost{SessionID: r.session, Duration: r.declared, HasDuration: r.hasDeclared}
	if entry.state == sessionMissing {
		post.SessionID = event.NameUUID(idOfSession, string(b.ID[:])).String()
		entry.key = event.SessionKey(req.Tenant, post.SessionID)
	}
	if r.hasStart && r.hasEnd {
		post.HasDuration = true
		// Two times can lie further apart than a Duration can say.
		post.Duration = time.Duration(min(max(r.end-r.start, 0), math.MaxInt64/1000)) * time.Microsecond
	}
	b.Sessions = append(b.Sessions, event.Session{Key: entry.key, ClientID: post.SessionID})
	b.Report = &r.report
	d.scrub()
	return post, nil
}
