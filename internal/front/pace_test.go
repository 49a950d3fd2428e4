package front

import (
	"errors"
	"slices"
	"testing"

	"github.com/nexero-vr/nexero/internal/gate"
)

// Favoured keys stay so, and rates that are at work are not set again.
func TestPace(t *testing.T) {
	t.Parallel()
	var times int
	var refuse error
	p := NewPace(gate.DefaultRates(), func(gate.Rates) error {
		times++
		return refuse
	})
	if err := p.Favour("own"); err != nil || times != 1 {
		t.Fatalf("favoured: %v, set %d times", err, times)
	}
	if err := p.Set(gate.DefaultRates()); err != nil || times != 1 {
		t.Errorf("the same rates: %v, set %d times", err, times)
	}
	changed := gate.DefaultRates()
	changed.KeyRequests, changed.HighKeys = 5000, []string{"a", "b"}
	if err := p.Set(changed); err != nil || times != 2 || !slices.Equal(p.Rates().HighKeys, []string{"a", "b", "own"}) {
		t.Errorf("other rates: %v, set %d times, high are %v", err, times, p.Rates().HighKeys)
	}
	refuse = errors.New("no")
	if err := p.Set(gate.Rates{}); !errors.Is(err, refuse) || p.Rates().KeyRequests != 5000 {
		t.Errorf("refused rates: %v, at work are %v", err, p.Rates())
	}
}
