package query

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/gate"
)

// parameters are what a request's address has behind the "?". The first thing
// that is wrong with them is kept in err; nothing of what was sent is quoted.
type parameters struct {
	values url.Values
	err    error
}

// parametersOf reads an address's parameters, all of which must be known: one
// that is mistyped would otherwise widen a listing without a word.
func parametersOf(x *exchange, known ...string) *parameters {
	values, err := url.ParseQuery(x.Request.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.err = gate.Refused(codeInvalidParameter, "The part of the address behind the ? cannot be read.")
		return p
	}
	for name, sent := range values {
		switch {
		case !slices.Contains(known, name):
			p.err = gate.Refused(codeInvalidParameter, "The address has a parameter that does not exist here; there are: "+strings.Join(known, ", ")+".")
		case len(sent) != 1:
			p.err = badParameter(name, "can be given once.")
		case sent[0] == "":
			p.err = badParameter(name, "is empty; leave it out instead.")
		}
	}
	return p
}

func (p *parameters) fail(name, detail string) {
	if p.err == nil {
		p.err = badParameter(name, detail)
	}
}

// text returns a parameter of at most some bytes, "" without it.
func (p *parameters) text(name string, most int) string {
	value := p.values.Get(name)
	if len(value) > most {
		p.fail(name, fmt.Sprintf("has at most %d bytes.", most))
		return ""
	}
	return value
}

// number returns a whole number within bounds, or otherwise without it.
func (p *parameters) number(name string, least, most, otherwise int) int {
	text := p.values.Get(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < least || value > most {
		p.fail(name, fmt.Sprintf("is a whole number from %d to %d.", least, most))
		return otherwise
	}
	return value
}

// instant returns a time, the zero time without it.
func (p *parameters) instant(name string) time.Time {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	// A "+" that was not escaped has become a space.
	at, err := time.Parse(time.RFC3339, strings.ReplaceAll(text, " ", "+"))
	if err != nil || at.Year() < 2000 || at.Year() > 9999 {
		p.fail(name, "is a time like 2026-01-31T12:00:00Z.")
		return time.Time{}
	}
	return at.UTC()
}
