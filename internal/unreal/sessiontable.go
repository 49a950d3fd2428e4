package unreal

import (
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// sessionState is what a text turned out to be as a session id.
type sessionState uint8

const (
	sessionGood sessionState = iota
	// sessionMissing is an all-zero GUID or empty braces: an id that was not set.
	sessionMissing
	sessionInvalid
)

// sessionRule is what a session id must be, for people.
const sessionRule = "it needs a GUID or at most 128 letters, digits and . _ : @ -"

// sessionEntry is one spelling of a session id and what is known of it.
type sessionEntry struct {
	text     string
	key      event.UUID
	state    sessionState
	position int // in Batch.Sessions, -1 until something accepted refers to it
}

// sessionTable finds the sessions of a batch by the text that events carry.
// Nearly every batch has one session, so the last one found is tried first and
// the maps stay empty.
type sessionTable struct {
	tenant  string
	entries []sessionEntry
	last    int
	byText  map[string]int
	byKey   map[event.UUID]int
}

// find returns the number of the entry for a text that is not empty.
func (t *sessionTable) find(text string) int {
	if t.last < len(t.entries) && t.entries[t.last].text == text {
		return t.last
	}
	if len(t.entries) > 0 {
		if k, ok := t.byText[text]; ok {
			t.last = k
			return k
		}
	}
	return t.add(text)
}

// add works out what a text is. That takes about a microsecond, so it is done
// once for each spelling.
func (t *sessionTable) add(text string) int {
	entry := sessionEntry{text: text, position: -1}
	switch id, ok := event.NormaliseSessionID(text); {
	case ok && event.CheckText(text, maxSessionText) != "":
		entry.state = sessionInvalid
	case ok:
		entry.key = event.SessionKey(t.tenant, id)
	case id != "" || strings.Trim(text, " \t\r\n{}()") == "":
		entry.state = sessionMissing
	default:
		entry.state = sessionInvalid
	}
	return t.append(entry)
}

// maxSessionText bounds a session id as sent: the longest id and what may
// surround it.
const maxSessionText = 256

// invalid returns the number of an entry for an id that was no text at all.
func (t *sessionTable) invalid() int {
	return t.append(sessionEntry{state: sessionInvalid, position: -1})
}

// append makes an entry findable and the last one found.
func (t *sessionTable) append(entry sessionEntry) int {
	t.last = len(t.entries)
	t.entries = append(t.entries, entry)
	if t.last > 0 {
		if t.byText == nil {
			t.byText = make(map[string]int)
		}
		// The first entry was not in the map as long as it was alone.
		t.byText[t.entries[0].text] = 0
		t.byText[entry.text] = t.last
	}
	return t.last
}

// place returns the entry's position in b.Sessions, where it puts it when an
// accepted event refers to it for the first time. Spellings of one id share a
// position.
func (t *sessionTable) place(k int, b *event.Batch) int {
	entry := &t.entries[k]
	if entry.position >= 0 {
		return entry.position
	}
	position, known := t.byKey[entry.key]
	switch {
	case len(b.Sessions) > 0 && b.Sessions[0].Key == entry.key:
		position = 0
	case !known:
		position = len(b.Sessions)
		b.Sessions = append(b.Sessions, event.Session{Key: entry.key, ClientID: entry.text})
		if position > 0 {
			if t.byKey == nil {
				t.byKey = make(map[event.UUID]int)
			}
			t.byKey[entry.key] = position
		}
	}
	entry.position = position
	return position
}

// maxIdleSessions is how many sessions' memory is kept for the next request.
const maxIdleSessions = 64

// forget empties the table and lets go of the body.
func (t *sessionTable) forget() {
	if len(t.entries) > maxIdleSessions {
		*t = sessionTable{}
		return
	}
	clear(t.entries)
	clear(t.byText)
	clear(t.byKey)
	*t = sessionTable{entries: t.entries[:0], byText: t.byText, byKey: t.byKey}
}
