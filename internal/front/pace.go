package front

import (
	"reflect"
	"slices"

	"github.com/nexero-vr/nexero/internal/gate"
)

// Pace is the rates of a service at work, and the keys that keep the higher ones
// whatever is reloaded. It is used by one goroutine at a time.
type Pace struct {
	rates    gate.Rates
	favoured []string
	set      func(gate.Rates) error
}

// NewPace keeps the rates that a service began with; set is its guard's.
func NewPace(rates gate.Rates, set func(gate.Rates) error) *Pace {
	return &Pace{rates: rates, set: set}
}

// Rates are those at work.
func (p *Pace) Rates() gate.Rates { return p.rates }

// Favour lets one more key have the higher rates.
func (p *Pace) Favour(keyID string) error {
	p.favoured = append(p.favoured, keyID)
	return p.Set(p.rates)
}

// Set puts rates to work, unless they are. The exception matters: new rates
// forget what clients have used up. What is refused changes nothing.
func (p *Pace) Set(rates gate.Rates) error {
	for _, keyID := range p.favoured {
		if !slices.Contains(rates.HighKeys, keyID) {
			rates.HighKeys = append(slices.Clone(rates.HighKeys), keyID)
		}
	}
	if reflect.DeepEqual(rates, p.rates) {
		return nil
	}
	if err := p.set(rates); err != nil {
		return err
	}
	p.rates = rates
	return nil
}
