package unreal

// fewNames is how many names are compared one by one. More are looked up, so
// that an event of thousands of members costs no more than their number.
const fewNames = 16

// propNames are the names in one event's props and the places they came from.
type propNames struct {
	place field // where the names claimed next come from; fieldNone is the event itself
	few   []placedName
	many  map[string]field
}

type placedName struct {
	name  string
	place field
}

// claim takes a name for the present place. ok is false when another place has
// it. One place may say a name twice: jsonb keeps the last.
func (p *propNames) claim(name string) (ok bool) {
	if len(p.many) == 0 {
		for _, known := range p.few {
			if known.name == name {
				return known.place == p.place && p.place != fieldCount
			}
		}
		if len(p.few) < fewNames {
			p.few = append(p.few, placedName{name, p.place})
			return true
		}
		if p.many == nil {
			p.many = make(map[string]field)
		}
		for _, known := range p.few {
			p.many[known.name] = known.place
		}
	}
	if place, taken := p.many[name]; taken {
		return place == p.place && p.place != fieldCount
	}
	p.many[name] = p.place
	return true
}

// maxIdleNames is how large a map is kept for the next event: emptying one
// costs its size.
const maxIdleNames = 256

// forget empties the set for another event.
func (p *propNames) forget() {
	p.place = fieldNone
	p.few = p.few[:0]
	switch {
	case len(p.many) > maxIdleNames:
		p.many = nil
	case len(p.many) > 0:
		clear(p.many)
	}
}
