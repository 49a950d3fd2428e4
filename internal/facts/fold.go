package facts

import (
	"strings"

	"github.com/nexero-vr/nexero/internal/event"
)

// fold adds e, which admits has let through, and reports whether it lies within
// the limits. It runs once per pose, so its usual path allocates nothing.
func (s *State) fold(e *Event) bool {
	at := milliseconds(e.time(s.stepped))
	switch {
	case s.events == 0:
		s.first = at
	case s.events >= MaxEvents || at-s.first > MaxSpan.Milliseconds():
		s.over++
		return false
	default:
		s.first = min(s.first, at)
	}
	s.events++
	s.clock.count(e.ShiftMS)
	quarter := s.hours.count(e.OccurredAt, e.Type)
	if e.Has&event.FieldSeq != 0 {
		s.seq.add(e.Seq)
	}
	if e.Type == event.Pose {
		s.active.add(at, at)
		s.pose(e, at, quarter)
		return true
	}
	s.meaning(e, at, quarter)
	return true
}

// meaning folds what e says beyond having happened.
func (s *State) meaning(e *Event, at int64, quarter int32) {
	until := at
	switch e.Type {
	case event.Gaze, event.Fixation:
		until += max(0, e.length())
		s.look(e, at, quarter)
	case event.ZoneEnter:
		s.idle.end(at)
		s.enter(e)
	case event.ZoneExit:
		s.idle.end(at)
		s.exit(e)
	case event.IdleStart:
		s.idle.start(at)
	case event.IdleEnd:
		s.idle.end(at)
	case event.SessionEnd:
		s.sawEnd = true
	default:
		if kind := interactionKind(e); kind != "" {
			s.interact(e, kind, quarter)
		}
	}
	s.active.add(at, until)
}

// names returns the names that folding e would make known, and empty strings.
func (e *Event) names() [3]string {
	text := e.text()
	switch e.Type {
	case event.ZoneEnter:
		return [3]string{text.Zone}
	case event.Gaze, event.Fixation:
		if text.Target == "" {
			return [3]string{}
		}
		return [3]string{text.Zone, text.Target}
	default:
		if kind := interactionKind(e); kind != "" {
			return [3]string{text.Zone, text.Object, kind}
		}
		return [3]string{}
	}
}

// interactionKind returns the kind under which e counts as an interaction:
// what was done, or for types that are a kind themselves their name, with what
// was done behind a colon ("cta:book"). It is "" for all other types.
func interactionKind(e *Event) string {
	action := e.text().Action
	switch e.Type {
	case event.Interaction:
		if action == "" {
			return e.Type.String()
		}
		return action
	case event.FeatureSelect, event.UnitSelect, event.HotspotOpen, event.MediaPlay, event.CTA,
		event.SurveyAnswer, event.View, event.POI, event.Contact, event.VoiceCommand:
		if action == "" {
			return e.Type.String()
		}
		return e.Type.String() + ":" + action
	default:
		return ""
	}
}

// interactionKey is what interactions are counted by.
type interactionKey struct {
	place        place
	object, kind uint32
	quarter      int32
}

func (s *State) interact(e *Event, kind string, quarter int32) {
	text := e.text()
	s.interactions[interactionKey{s.placeOf(e), s.names.intern(text.Object), s.names.intern(kind), quarter}]++
}

// lexicon numbers the names that a session uses. Number 0 is the empty name.
type lexicon struct {
	texts   []string
	numbers map[string]uint32
	// known is how many names count towards MaxNames: all but "" and OtherName.
	known int
}

func newLexicon() lexicon {
	return lexicon{texts: []string{""}, numbers: map[string]uint32{"": 0}}
}

func (l *lexicon) has(name string) bool {
	_, ok := l.numbers[Name(name)]
	return ok
}

// find returns the number under which name is known, OtherName's included.
func (l *lexicon) find(name string) (number uint32, ok bool) {
	if number, ok = l.numbers[Name(name)]; !ok {
		number, ok = l.numbers[OtherName]
	}
	return number, ok
}

// room returns how many more names can become known.
func (l *lexicon) room() int { return MaxNames - l.known }

// intern returns the number of name, or OtherName's when there is no room.
func (l *lexicon) intern(name string) uint32 {
	name = Name(name)
	if number, ok := l.numbers[name]; ok {
		return number
	}
	if name != OtherName {
		if l.room() <= 0 {
			return l.intern(OtherName)
		}
		l.known++
	}
	name = strings.Clone(name) // it may be part of a request's body, which would live as long as the state
	number := uint32(len(l.texts))
	l.texts = append(l.texts, name)
	l.numbers[name] = number
	return number
}
